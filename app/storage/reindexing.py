"""Search rows and parameter links made anew for what is stored: for operators, never for a caller.

The connection is of a role that may become the keeper; the service's own may not. Each batch is a
transaction that locks its resources, so that a write meanwhile waits and is not undone.
Neighbour: `app.interactions.reindex`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg

from app.fhir_mappings.index_rows import IndexRows
from app.storage.migrate import KEEPER
from app.storage.writes import ElementSearch, array_text, search_columns


@dataclass(frozen=True, slots=True)
class StoredContent:
    """A resource as it is served."""

    rid: int
    type_code: int
    content: bytes


@dataclass(slots=True)
class Reindexed:
    """The new rows of one resource.

    masks, elements: of elements with labels of their own. references: (parameter key or 0, type code, id, mask)
    of local targets.
    """

    rid: int
    tokens: Sequence[int]
    dates: Sequence[Any]
    strings: Sequence[Any]
    numbers: Sequence[Any]
    items: Sequence[IndexRows]
    words: tuple[str, str] | None
    masks: Sequence[int] | None = None
    elements: Sequence[ElementSearch] = ()
    references: Sequence[tuple[int, int, str, int | None]] = field(default_factory=list)


@asynccontextmanager
async def keeper(url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection as the keeper. url: of a role that may become it."""
    connection = await asyncpg.connect(url, server_settings={"timezone": "UTC", "jit": "off"})
    try:
        await connection.execute(f"SET ROLE {KEEPER}")
        yield connection
    finally:
        await connection.close()


async def how_many(connection: asyncpg.Connection, types: Sequence[int] | None) -> int:
    """Resources that will be walked. types: their codes, None for all."""
    found: int = await connection.fetchval(
        "SELECT count(*) FROM tl.resource WHERE NOT deleted "
        "AND ($1::smallint[] IS NULL OR type = ANY ($1))",
        types,
    )
    return found


async def batch(
    connection: asyncpg.Connection, after: int, types: Sequence[int] | None, size: int
) -> list[StoredContent]:
    """The next resources by rid, locked until the transaction ends."""
    rows = await connection.fetch(
        "SELECT rid, type, content FROM tl.resource WHERE rid > $1 AND NOT deleted "
        "AND ($2::smallint[] IS NULL OR type = ANY ($2)) ORDER BY rid LIMIT $3 FOR UPDATE",
        after,
        types,
        size,
    )
    return [StoredContent(row["rid"], row["type"], row["content"]) for row in rows]


_REFERENCES: Final = (
    "FROM unnest($1::bigint[], $2::bigint[], $3::smallint[], $4::text[], $5::bigint[]) "
    "AS u(source, parameter, type, id, mask)"
)


async def put(connection: asyncpg.Connection, rows: Sequence[Reindexed]) -> None:
    """Replace the search rows of resources, and the links that belong to parameters.

    Of the links of any depth only the masks of the labelled elements in which they stand are set.
    """
    rids = [row.rid for row in rows]
    await connection.execute(
        "UPDATE tl.resource r SET inline_masks = u.masks::bigint[], code_mask = tl.code_mask(r.codes) "
        "FROM unnest($1::bigint[], $2::text[]) AS u(rid, masks) WHERE r.rid = u.rid "
        "AND (r.inline_masks IS DISTINCT FROM u.masks::bigint[] OR r.code_mask IS NULL)",
        rids,
        [array_text(row.masks) if row.masks else None for row in rows],
    )
    columns = search_columns(rows)
    marks = ", ".join(f"${number}" for number in range(1, len(columns) + 2))
    await connection.execute(f"SELECT tl.store_search({marks})", rids, *columns)
    await connection.execute(
        "DELETE FROM tl.link WHERE source = ANY ($1::bigint[]) AND parameter <> 0", rids
    )
    references = [(row.rid, *each) for row in rows for each in row.references]
    columns = [[each[i] for each in references] for i in range(5)]
    await connection.execute(
        "INSERT INTO tl.link SELECT DISTINCT u.source, t.rid, u.parameter, false, false, u.mask "
        f"{_REFERENCES} JOIN tl.resource t ON t.type = u.type AND t.id = u.id "
        "WHERE t.rid <> u.source AND u.parameter <> 0",
        *columns,
    )
    await connection.execute(
        f"UPDATE tl.link l SET inline_mask = u.mask {_REFERENCES} "
        "JOIN tl.resource t ON t.type = u.type AND t.id = u.id "
        "WHERE u.parameter = 0 AND l.parameter = 0 AND l.source = u.source AND l.target = t.rid "
        "AND l.inline_mask IS DISTINCT FROM u.mask",
        *columns,
    )
