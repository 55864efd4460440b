"""Search rows and parameter links made anew for what is stored: for operators, never for a caller.

The connection is of a role that may become the keeper; the service's own may not. Each batch is a
transaction that locks its resources, so that a write meanwhile waits and is not undone.
Neighbour: `app.interactions.reindex`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from app.fhir_mappings.index_rows import IndexRows
from app.storage.migrate import KEEPER
from app.storage.writes import search_columns


@dataclass(frozen=True, slots=True)
class StoredContent:
    """A resource as it is served."""

    rid: int
    type_code: int
    content: bytes


@dataclass(slots=True)
class Reindexed:
    """The new rows of one resource. references: (parameter key, type code, id) of local targets."""

    rid: int
    tokens: Sequence[int]
    dates: Sequence[Any]
    strings: Sequence[Any]
    numbers: Sequence[Any]
    items: Sequence[IndexRows]
    words: tuple[str, str] | None
    references: Sequence[tuple[int, int, str]] = field(default_factory=list)


@asynccontextmanager
async def keeper(url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection as the keeper. url: of a role that may become it."""
    connection = await asyncpg.connect(url, server_settings={"timezone": "UTC"})
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


async def put(connection: asyncpg.Connection, rows: Sequence[Reindexed]) -> None:
    """Replace the search rows of resources, and the links that belong to parameters."""
    rids = [row.rid for row in rows]
    columns = search_columns(rows)
    marks = ", ".join(f"${number}" for number in range(1, len(columns) + 2))
    await connection.execute(f"SELECT tl.put_search({marks})", rids, *columns)
    await connection.execute(
        "DELETE FROM tl.link WHERE source = ANY ($1::bigint[]) AND parameter <> 0", rids
    )
    references = [(row.rid, *each) for row in rows for each in row.references]
    await connection.execute(
        "INSERT INTO tl.link SELECT DISTINCT u.source, t.rid, u.parameter, false, false "
        "FROM unnest($1::bigint[], $2::bigint[], $3::smallint[], $4::text[]) "
        "AS u(source, parameter, type, id) "
        "JOIN tl.resource t ON t.type = u.type AND t.id = u.id WHERE t.rid <> u.source",
        [each[0] for each in references],
        [each[1] for each in references],
        [each[2] for each in references],
        [each[3] for each in references],
    )
