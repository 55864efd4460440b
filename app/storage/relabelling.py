"""Stored versions read and labelled anew: for operators, never for a caller.

The connection is of a role that may become the keeper (`app.storage.reindexing.keeper`). A transaction locks
each resource as its own writer would, before it reads it again, so that no write meanwhile is undone, and puts
labels, served text and search rows in one commit. Neighbour: `app.interactions.relabel`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import asyncpg

from app.consent import labels
from app.storage.reindexing import Reindexed
from app.storage.writes import search_columns


@dataclass(frozen=True, slots=True)
class Version:
    """A stored version.

    content: as served; where deleted, that of the version before it, empty where there is none.
    about_somebody: it has a data subject. superseded: it stands in history.
    """

    rid: int
    type_code: int
    id: str
    version: int
    labels: int
    custodian: int
    custodian_labels: int
    about_somebody: bool
    deleted: bool
    superseded: bool
    content: bytes


@dataclass(frozen=True, slots=True)
class Relabelled:
    """What a version becomes. search: its search rows made anew; None of one that is not searched."""

    version: Version
    labels: int
    content: bytes
    search: Reindexed | None


Decide: TypeAlias = Callable[[Sequence[Version]], Awaitable[list[Relabelled]]]
"""What becomes of versions as they stand: those that change."""

_ATTEMPTS: Final = 5
_COMMON: Final = (
    "x.rid, x.type, r.id, x.version, x.labels, x.deleted, x.custodian, "
    "x.patient IS NOT NULL AS about_somebody, "
    "coalesce((SELECT o.labels FROM tl.resource o WHERE o.rid = x.custodian), 0) AS custodian_labels"
)
_CONTENT: Final = (
    "CASE WHEN x.deleted THEN (SELECT h.content FROM tl.resource_history h WHERE h.rid = x.rid "
    "AND NOT h.deleted AND h.version < x.version ORDER BY h.version DESC LIMIT 1) "
    "ELSE x.content END AS content"
)
_JOINED: Final = "x JOIN tl.resource r ON r.rid = x.rid"
_PRESENT: Final = f"SELECT {_COMMON}, {_CONTENT}, false AS superseded FROM tl.resource {_JOINED}"
_SUPERSEDED: Final = (
    f"SELECT {_COMMON}, {_CONTENT}, true AS superseded FROM tl.resource_history {_JOINED}"
)


def _versions(rows: Iterable[asyncpg.Record]) -> list[Version]:
    return [
        Version(
            row["rid"],
            row["type"],
            row["id"],
            row["version"],
            row["labels"],
            row["custodian"],
            row["custodian_labels"],
            row["about_somebody"],
            row["deleted"],
            row["superseded"],
            row["content"] or b"",
        )
        for row in rows
    ]


async def how_many(connection: asyncpg.Connection) -> int:
    """Versions that will be walked, superseded ones included."""
    found: int = await connection.fetchval(
        "SELECT (SELECT count(*) FROM tl.resource) + (SELECT count(*) FROM tl.resource_history)"
    )
    return found


async def present(
    connection: asyncpg.Connection, after: int, only: int | None, but: int | None, size: int
) -> list[Version]:
    """The next resources by rid. only, but: a type code that they have, or have not."""
    return _versions(
        await connection.fetch(
            f"{_PRESENT} WHERE x.rid > $1 AND ($2::smallint IS NULL OR x.type = $2) "
            "AND x.type IS DISTINCT FROM $3::smallint ORDER BY x.rid LIMIT $4",
            after,
            only,
            but,
            size,
        )
    )


async def superseded(
    connection: asyncpg.Connection, after: tuple[int, int], size: int
) -> list[Version]:
    """The next superseded versions by rid and version."""
    return _versions(
        await connection.fetch(
            f"{_SUPERSEDED} WHERE (x.rid, x.version) > ($1, $2) ORDER BY x.rid, x.version LIMIT $3",
            *after,
            size,
        )
    )


async def relabelled(
    connection: asyncpg.Connection, rids: Sequence[int], decide: Decide
) -> list[Relabelled]:
    """Label resources in one transaction, by what `decide` makes of them once they are locked."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            async with connection.transaction():
                changed = await decide(await _locked(connection, rids))
                await _put(connection, changed)
                return changed
        except asyncpg.DeadlockDetectedError:
            # Some writer holds one of them and waits for another: it is let through.
            if attempt == _ATTEMPTS:
                raise
    raise AssertionError("the last attempt returns or raises")


async def relabelled_versions(
    connection: asyncpg.Connection, keys: Sequence[tuple[int, int]], decide: Decide
) -> list[Relabelled]:
    """The same for superseded versions, by rid and version: nobody else changes one."""
    async with connection.transaction():
        changed = await decide(await _locked_versions(connection, keys))
        await _put_versions(connection, changed)
        return changed


async def _locked(connection: asyncpg.Connection, rids: Sequence[int]) -> list[Version]:
    """Resources as they stand, locked as their writers lock them; inside a transaction."""
    await connection.execute(
        "SELECT pg_advisory_xact_lock(k.key) FROM ("
        "SELECT DISTINCT hashtextextended(id, type::bigint) AS key FROM tl.resource "
        "WHERE rid = ANY ($1::bigint[]) ORDER BY 1 OFFSET 0) AS k",
        rids,
    )
    await connection.execute(
        "SELECT FROM tl.resource WHERE rid = ANY ($1::bigint[]) ORDER BY rid FOR UPDATE", rids
    )
    return await at(connection, rids)


async def at(connection: asyncpg.Connection, rids: Sequence[int]) -> list[Version]:
    """Resources by rid, in its order, not locked."""
    return _versions(
        await connection.fetch(f"{_PRESENT} WHERE x.rid = ANY ($1::bigint[]) ORDER BY x.rid", rids)
    )


async def _locked_versions(
    connection: asyncpg.Connection, keys: Sequence[tuple[int, int]]
) -> list[Version]:
    """Superseded versions by rid and version, locked; inside a transaction."""
    wanted = [key[0] for key in keys], [key[1] for key in keys]
    named = "(x.rid, x.version) IN (SELECT * FROM unnest($1::bigint[], $2::integer[]))"
    return _versions(
        await connection.fetch(
            f"{_SUPERSEDED} WHERE {named} ORDER BY 1, 4 FOR UPDATE OF x", *wanted
        )
    )


async def target_labels(
    connection: asyncpg.Connection, wanted: Iterable[tuple[int, str]]
) -> dict[tuple[int, str], tuple[int, int]]:
    """(type code, id) of what is referred to, to its rid and labels; what is not here is left out."""
    keys = sorted(set(wanted))
    rows = await connection.fetch(
        "SELECT x.type, x.id, x.rid, x.labels FROM unnest($1::smallint[], $2::text[]) AS u(type, id) "
        "JOIN tl.resource x ON x.type = u.type AND x.id = u.id",
        [key[0] for key in keys],
        [key[1] for key in keys],
    )
    return {(row["type"], row["id"]): (row["rid"], row["labels"]) for row in rows}


async def canonical_labels(
    connection: asyncpg.Connection, type_code: int, keys: Iterable[int]
) -> dict[int, list[tuple[int, int]]]:
    """Uri keys to the rid and labels of the resources of a type that have that canonical address."""
    found: dict[int, list[tuple[int, int]]] = {}
    for row in await connection.fetch(
        "SELECT k.hash, x.rid, x.labels FROM tl.index_token k JOIN tl.resource x ON x.rid = k.rid "
        "WHERE k.hash = ANY ($1::bigint[]) AND x.type = $2::smallint",
        sorted(set(keys)),
        type_code,
    ):
        found.setdefault(row["hash"], []).append((row["rid"], row["labels"]))
    return found


async def resting_on(
    connection: asyncpg.Connection, rids: Sequence[int], keys: Sequence[int]
) -> list[int]:
    """Resources into which the labels of these climb. keys: of answers that name them by address."""
    rows = await connection.fetch(
        "SELECT source FROM tl.link WHERE target = ANY ($1::bigint[]) AND parameter = 0 AND climbs "
        "UNION SELECT rid FROM tl.index_token WHERE hash = ANY ($2::bigint[]) ORDER BY 1",
        rids,
        keys,
    )
    return [row[0] for row in rows]


async def _put(connection: asyncpg.Connection, rows: Sequence[Relabelled]) -> None:
    """Labels, served text and search rows of present versions; in the transaction that locked them."""
    await connection.execute(
        "UPDATE tl.resource r SET labels = u.labels, "
        f"open = r.open AND u.labels & {labels.CLOSED} = 0, "
        "content = CASE WHEN r.deleted THEN r.content ELSE u.content END "
        "FROM unnest($1::bigint[], $2::bigint[], $3::bytea[]) AS u(rid, labels, content) "
        "WHERE r.rid = u.rid",
        *_columns(rows),
    )
    searched = [row.search for row in rows if row.search is not None]
    if searched:
        columns = search_columns(searched)
        marks = ", ".join(f"${number}" for number in range(1, len(columns) + 2))
        rids = [each.rid for each in searched]
        await connection.execute(f"SELECT tl.store_search({marks})", rids, *columns)


async def _put_versions(connection: asyncpg.Connection, rows: Sequence[Relabelled]) -> None:
    """Labels and served text of superseded versions; in the transaction that locked them."""
    await connection.execute(
        "UPDATE tl.resource_history h SET labels = u.labels, "
        f"open = h.open AND u.labels & {labels.CLOSED} = 0, "
        "content = CASE WHEN h.deleted THEN h.content ELSE u.content END "
        "FROM unnest($1::bigint[], $2::bigint[], $3::bytea[], $4::integer[]) "
        "AS u(rid, labels, content, version) WHERE h.rid = u.rid AND h.version = u.version",
        *_columns(rows),
        [row.version.version for row in rows],
    )


def _columns(rows: Sequence[Relabelled]) -> tuple[list[int], list[int], list[bytes]]:
    return (
        [row.version.rid for row in rows],
        [row.labels for row in rows],
        [row.content for row in rows],
    )
