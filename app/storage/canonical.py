"""Directory resources by their canonical URL, as a caller sees them: one statement.

Neighbours: `app.interactions.conformance` asks; `app.fhir_mappings.search_keys` made the keys of the
rows. Pinned: hl7.org/fhir/R4/references.html#canonical.
"""

from __future__ import annotations

from collections.abc import Iterable

from app.fhir_mappings import registry, search_keys
from app.storage import elements, predicate
from app.storage.database import Caller, Reader
from app.storage.search_sql import Found


async def by_url(
    database: Reader, caller: Caller, type_: str, urls: Iterable[str], *, limit: int = 1000
) -> list[Found]:
    """The resources of a type with one of these `url`s (without version), oldest first.

    Hidden and missing are both absent. At most `limit`, the newest of them.
    """
    keys = [search_keys.uri_key(type_, "url", url) for url in sorted(set(urls))]
    if not keys:
        return []
    rows = await database.fetch(
        caller,
        f"SELECT r.rid, r.type, r.id, {elements.content('r')} FROM tl.resource r WHERE r.rid IN ("
        f"SELECT d.rid FROM tl.index_token d WHERE d.hash = ANY ($7::bigint[]) "
        f"AND {predicate.for_query('d')}) AND NOT r.deleted AND r.type = $8::smallint "
        f"AND {predicate.for_query('r')} ORDER BY r.last_updated DESC, r.rid DESC "
        "LIMIT $9::integer",
        keys,
        registry.type_code(type_),
        limit,
    )
    return [
        Found(row["rid"], row["type"], row["id"], elements.shown(row)) for row in reversed(rows)
    ]
