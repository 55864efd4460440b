"""Re-indexing: every stored resource is read again and its search rows are made anew, with progress.

Needed after a SearchParameter was added or a release changed how something is indexed. It may run while the
service serves, and may be interrupted and begun again. Of the consent columns only the masks of
labelled elements are set, for rows written before such elements were known; the others are left as they stand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from app.consent import redaction
from app.fhir_mappings import registry
from app.fhir_mappings.json_text import JsonObject, dump, parse
from app.interactions.element_rows import has_layers, layered_links, searched
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
    content = dump(resource)
    found = searched(resource, content, base_urls)
    layered = has_layers(resource["resourceType"], content)
    masks: dict[tuple[int, str, str], int | None] = {}
    for ref, mask in layered_links(resource, base_urls) if layered else ():
        if ref.kind == "local":
            masks.setdefault((0, ref.type, ref.id), mask or None)
    for mask, rows in found.layers():
        for reference in rows.references:
            masks.setdefault(reference, mask or None)
    return Reindexed(
        rid=rid,
        tokens=found.open.tokens,
        dates=found.open.dates,
        strings=found.open.strings,
        numbers=found.open.numbers,
        items=found.open.items,
        words=found.words,
        masks=redaction.element_masks(resource) if layered else None,
        elements=found.elements,
        references=[
            (key, registry.type_code(type_name), id_, mask)
            for (key, type_name, id_), mask in masks.items()
            if registry.is_resource_type(type_name)
        ],
    )
