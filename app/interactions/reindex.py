"""Re-indexing: every stored resource is read again and its search rows are made anew, with progress.

Needed after a SearchParameter was added or a release changed how something is indexed. It may run while the
service serves, and may be interrupted and begun again. Consent columns are left as they stand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from app.fhir_mappings import index_rows, registry, search_keys, text_rows
from app.fhir_mappings.json_text import JsonObject, parse
from app.storage import reindexing
from app.storage.reindexing import Reindexed

Progress = Callable[[int, int], None]
"""Told how many resources are done, of how many."""

BATCH: Final = 500
_DEPTH: Final = 200


async def reindex(
    url: str,
    base_urls: tuple[str, ...],
    progress: Progress,
    types: Sequence[str] | None = None,
) -> int:
    """Make the search rows of all resources anew; how many there were.

    url: of a role that may become the keeper. types: only these resource types.
    """
    codes = None if types is None else [registry.type_code(each) for each in types]
    async with reindexing.keeper(url) as connection:
        total = await reindexing.how_many(connection, codes)
        done = after = 0
        progress(done, total)
        while True:
            async with connection.transaction():
                found = await reindexing.batch(connection, after, codes, BATCH)
                if not found:
                    break
                rows = [
                    search_rows(each.rid, parse(each.content, max_depth=_DEPTH), base_urls)
                    for each in found
                ]
                await reindexing.put(connection, rows)
            after = found[-1].rid
            done += len(found)
            progress(done, max(done, total))
    return done


def search_rows(rid: int, resource: JsonObject, base_urls: tuple[str, ...]) -> Reindexed:
    """The search rows of a stored resource, made anew."""
    type_ = str(resource["resourceType"])
    found = index_rows.extract(resource, base_urls)
    return Reindexed(
        rid=rid,
        tokens=[*found.tokens, search_keys.parameter_key(type_, "")],
        dates=found.dates,
        strings=found.strings,
        numbers=found.numbers,
        items=found.items,
        words=text_rows.words(resource),
        references=[
            (key, registry.type_code(type_name), id_)
            for key, type_name, id_ in found.references
            if registry.is_resource_type(type_name)
        ],
    )
