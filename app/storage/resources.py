"""Reading stored resources: one statement each, consent inside (hl7.org/fhir/R4/http.html#read)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

import asyncpg

from app.fhir_mappings import registry
from app.storage import elements, predicate
from app.storage.database import Caller, Database, OneRow, Reader, WriteConnection

_COLUMNS = "x.rid, x.version, x.last_updated, x.deleted"
_ABOUT_ONE: Final = elements.WHOLE_TYPES - set(map(registry.type_code, registry.DIRECTORY_TYPES))
"""Types of most of whose rows are whole, and about one survivor."""


class Stored(NamedTuple):
    """A version of a resource: content is what its reader is served, byte for byte; empty when deleted."""

    rid: int
    version: int
    last_updated: datetime
    deleted: bool
    content: bytes


def _stored(row: asyncpg.Record) -> Stored:
    return Stored(
        row["rid"], row["version"], row["last_updated"], row["deleted"], elements.shown(row)
    )


def _subjects(row: asyncpg.Record) -> tuple[int, ...]:
    return tuple(v for v in (row["patient"], *(row["co_subjects"] or ())) if v is not None)


_ASKED = "x.type = $7::smallint AND x.id = $8::text AND "
_SHOWN = f"{_COLUMNS}, {elements.content('x')}"
_READ = OneRow(_SHOWN, "tl.resource", f"{_ASKED}{predicate.for_query('x')}")
_KEYED = f"{elements.whole('x')} AND {predicate.keyed_for_query('x')}"
_SHOWN_WHOLE = f"{_COLUMNS}, {elements.content_of_whole('x')}"
_READ_ABOUT_ONE = OneRow(_SHOWN_WHOLE, predicate.BY_KEY, f"{_ASKED}{_KEYED}")
_GROUP = (
    "SELECT w.place, {} FROM unnest($7::smallint[], $8::text[]) WITH ORDINALITY AS w(type, id, place) "
    "JOIN {} x ON x.type = w.type AND x.id = w.id WHERE {}"
)
_READ_GROUP = (
    _GROUP.format(_SHOWN_WHOLE, predicate.BY_KEY, _KEYED),
    _GROUP.format(_SHOWN, "tl.resource", predicate.for_query("x")),
)
# A version may say unlabelled what the present one labels: who sees less than all of that sees no older one.
_HISTORY = (
    f"SELECT {_COLUMNS}, {elements.content('x', version=True)} "
    "FROM tl.resource_history x JOIN tl.resource r ON r.rid = x.rid "
    f"WHERE r.type = $7::smallint AND r.id = $8::text AND {predicate.for_query('x', version=True)} "
    f"AND {predicate.for_query('r')} AND {elements.hidden('r', predicate.PARAMETERS)} IS NULL"
)
_VREAD = f"{_READ} AND x.version = $9::integer UNION ALL {_HISTORY} AND x.version = $9::integer"


def _alone(type_code: int) -> tuple[OneRow, ...]:
    """The statements of a read that goes alone, each asked where that before it has found nothing.

    Which come decides about speed alone: the last finds whatever may be seen.
    """
    return (_READ_ABOUT_ONE, _READ) if type_code in _ABOUT_ONE else (_READ,)


async def read(database: Reader, caller: Caller, type_code: int, id_: str) -> Stored | None:
    """The present version, also a deleted one; None where missing or hidden alike."""
    if isinstance(database, Database):
        row = await database.fetch_grouped(caller, _alone(type_code), _READ_GROUP, (type_code, id_))
        return None if row is None else _stored(row)
    for one in _alone(type_code):
        if rows := await database.fetch(caller, one, type_code, id_, by_key=True):
            return _stored(rows[0])
    return None


async def vread(
    database: Reader, caller: Caller, type_code: int, id_: str, version: int
) -> Stored | None:
    """One version; None where missing or hidden alike."""
    rows = await database.fetch(caller, _VREAD, type_code, id_, version, by_key=True)
    return _stored(rows[0]) if rows else None


@dataclass(frozen=True, slots=True)
class Current:
    """The row that a write is about to replace, with what a deletion keeps of it.

    content: as the writer may see it. redacted: that is less than what is stored, or, for somebody other than
    the custodian, not all of it may be corrected.
    """

    rid: int
    version: int
    last_updated: datetime
    deleted: bool
    open: bool
    subjects: tuple[int, ...]
    custodian: int
    labels: int
    content: bytes
    may_correct: bool
    redacted: bool


async def lock_current(
    connection: WriteConnection, caller: Caller, type_code: int, id_: str
) -> Current | None:
    """Lock a logical id for this transaction, then find what the caller may see of it.

    The advisory lock works for ids that are hidden or missing as well, so waiting tells nothing.
    """
    await lock_text(connection, type_code, id_)
    row = await connection.fetchrow(
        f"SELECT {_COLUMNS}, {elements.content('x')}, "
        "x.open, x.patient, x.co_subjects, x.custodian, x.labels, "
        f"(x.custodian = $4::bigint OR coalesce({predicate.visible('x', elements.CORRECTING)}, false)) "
        f"AS may, (x.custodian <> $4::bigint AND {elements.hidden('x', elements.CORRECTING)} IS NOT NULL) "
        "AS kept_back "
        f"FROM tl.resource x WHERE x.type = $7::smallint AND x.id = $8::text "
        f"AND $5::integer IS NOT NULL AND $6::bigint IS NOT NULL AND {predicate.for_query('x')}",
        *caller.parameters(),
        type_code,
        id_,
    )
    if row is None:
        return None
    return Current(
        rid=row["rid"],
        version=row["version"],
        last_updated=row["last_updated"],
        deleted=row["deleted"],
        open=row["open"],
        subjects=_subjects(row),
        custodian=row["custodian"],
        labels=row["labels"],
        content=elements.shown(row),
        may_correct=bool(row["may"]),
        redacted=row["hidden"] is not None or bool(row["kept_back"]),
    )


async def lock_text(connection: WriteConnection, type_code: int, text: str) -> None:
    """Hold a text of a type (an id, or the criteria of a conditional write) until the transaction ends."""
    await connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended($2::text, $1::bigint))", type_code, text
    )


@dataclass(frozen=True, slots=True)
class Target:
    """What a reference points at, and what it hands on: data subjects and labels."""

    rid: int
    subjects: tuple[int, ...]
    labels: int


async def visible_targets(
    connection: WriteConnection, caller: Caller, wanted: list[tuple[int, str]]
) -> dict[tuple[int, str], Target]:
    """The targets that exist and that this caller may see; hidden and missing are both absent."""
    if not wanted:
        return {}
    rows = await connection.fetch(
        f"SELECT x.type, x.id, x.rid, x.patient, x.co_subjects, x.labels "
        f"FROM unnest($7::smallint[], $8::text[]) AS w(type, id) "
        f"JOIN tl.resource x ON x.type = w.type AND x.id = w.id AND NOT x.deleted "
        f"WHERE $6::bigint IS NOT NULL AND {predicate.for_query('x')}",
        *caller.parameters(),
        [code for code, _ in wanted],
        [id_ for _, id_ in wanted],
    )
    return {
        (row["type"], row["id"]): Target(
            row["rid"],
            _subjects(row),
            row["labels"],
        )
        for row in rows
    }


async def canonical_targets(
    connection: WriteConnection, caller: Caller, type_code: int, keys: list[int]
) -> list[tuple[int, str, Target]]:
    """Resources by canonical address that this caller may see: (uri key, id, target) each."""
    rows = await connection.fetch(
        "SELECT k.hash, x.id, x.rid, x.patient, x.co_subjects, x.labels FROM tl.index_token k "
        "JOIN tl.resource x ON x.rid = k.rid AND NOT x.deleted AND x.type = $7::smallint "
        f"WHERE $6::bigint IS NOT NULL AND k.hash = ANY ($8::bigint[]) AND {predicate.for_query('k')} "
        f"AND {predicate.for_query('x')} ORDER BY x.rid",
        *caller.parameters(),
        type_code,
        keys,
    )
    return [
        (row["hash"], row["id"], Target(row["rid"], _subjects(row), row["labels"])) for row in rows
    ]


@dataclass(frozen=True, slots=True)
class DirectoryEntry:
    """An open entry of the directory: its rid, and that of the organization that keeps it."""

    rid: int
    custodian: int


async def directory_entry(database: Database, type_code: int, id_: str) -> DirectoryEntry | None:
    """An open directory entry; None where there is none. For administration."""
    async with database.pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT tl.enter('{0}', '{0}', 0, NULL, 1, 0)")
        row = await connection.fetchrow(
            "SELECT rid, custodian FROM tl.resource WHERE type = $1 AND id = $2 AND NOT deleted",
            type_code,
            id_,
        )
        return DirectoryEntry(row["rid"], row["custodian"]) if row else None


class Referenced(NamedTuple):
    """A resource found by its literal reference, with its label mask."""

    rid: int
    type_code: int
    id: str
    labels: int
    content: bytes


_RECORD_OF_FIRST: Final = (
    "SELECT x.patient FROM tl.resource x "
    "WHERE x.type = ($7::smallint[])[1] AND x.id = ($8::text[])[1]"
)
"""What is read together is mostly of one record."""


_PARTS: Final = f"x.rid, x.type, x.id, x.labels, {elements.content('x')}"


def _referenced(rows: list[asyncpg.Record]) -> list[Referenced]:
    shown = elements.shown
    return [
        Referenced(row["rid"], row["type"], row["id"], row["labels"], shown(row)) for row in rows
    ]


async def read_many(
    database: Reader, caller: Caller, wanted: list[tuple[int, str]]
) -> list[Referenced]:
    """Those of (type code, id) that exist and that the caller may see, in the order asked."""
    # The ids of a type together: the index is then walked once for all of them, in its order.
    rows = await database.fetch(
        caller,
        f"SELECT {_PARTS} FROM ("
        "SELECT u.type, array_agg(u.id) AS ids FROM unnest($7::smallint[], $8::text[]) AS u(type, id) "
        "GROUP BY u.type) AS w JOIN tl.resource x ON x.type = w.type AND x.id = ANY (w.ids) "
        f"AND NOT x.deleted WHERE {predicate.for_query('x', record=True)}",
        [code for code, _ in wanted],
        [id_ for _, id_ in wanted],
        by_key=True,
        record=_RECORD_OF_FIRST,
    )
    found = {(each.type_code, each.id): each for each in _referenced(rows)}
    return [found[key] for key in dict.fromkeys(wanted) if key in found]


async def read_targets(database: Reader, caller: Caller, sources: list[int]) -> list[Referenced]:
    """What resources refer to at any depth, as far as the caller may see it; in no order.

    sources: rids of resources that the caller has just seen.
    """
    # By rid and not by id: to find a row by its id takes five times as long.
    rows = await database.fetch(
        caller,
        f"SELECT {_PARTS} FROM tl.resource x WHERE x.rid = ANY (tl.targets_of($7::bigint[])) "
        f"AND NOT x.deleted AND {predicate.for_query('x', record=True)}",
        sources,
        by_key=True,
        record="SELECT x.patient FROM tl.resource x WHERE x.rid = ($7::bigint[])[1]",
    )
    return _referenced(rows)
