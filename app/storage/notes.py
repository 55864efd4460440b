"""Notes of the service's own on the Tasks about a survivor: which may need one, and one more version of each.

The doors open only in a transaction that has written a Consent about the survivor, or taken up one that has run
out (`tl.consent_end`); none tells what a Task says. Neighbour: `app.care.referrals.sight`, which decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import asyncpg

from app.fhir_mappings import registry
from app.storage import elements, predicate
from app.storage.database import Caller, Pool, WriteConnection

_TASK: Final = registry.type_code("Task")
_CONSENT: Final = registry.type_code("Consent")


@dataclass(frozen=True, slots=True)
class Doubtful:
    """A Task about a survivor, whoever wrote it, held until the transaction ends."""

    rid: int
    custodian: int


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A Task as its custodian sees it."""

    rid: int
    id: str
    version: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Noted:
    """A Task that has one version more."""

    rid: int
    id: str
    custodian: int


async def tasks_in_doubt(connection: WriteConnection, survivor: int) -> list[Doubtful]:
    """Every Task about a survivor, locked as its writers lock it."""
    rows = await connection.fetch(
        "SELECT * FROM tl.tasks_in_doubt($1, $2::smallint, $3::smallint)", survivor, _TASK, _CONSENT
    )
    return [Doubtful(row["rid"], row["custodian"]) for row in rows]


async def read(connection: WriteConnection, caller: Caller, rids: Sequence[int]) -> list[TaskRow]:
    """Those of the Tasks that the caller, as whom the transaction has entered, sees whole."""
    rows = await connection.fetch(
        f"SELECT x.rid, x.id, x.version, {elements.content('x')} FROM tl.resource x "
        "WHERE x.rid = ANY ($7::bigint[]) AND NOT x.deleted AND $6::bigint IS NOT NULL "
        f"AND $5::integer IS NOT NULL AND {predicate.for_query('x')} ORDER BY x.rid",
        *caller.parameters(),
        list(rids),
    )
    return [
        TaskRow(row["rid"], row["id"], row["version"], elements.shown(row))
        for row in rows
        if row["hidden"] is None
    ]


async def put(connection: WriteConnection, now: datetime, tasks: Sequence[TaskRow]) -> list[Noted]:
    """Store the next version of Tasks of the custodian as whom the transaction has entered."""
    if not tasks:
        return []
    rows = await connection.fetch(
        "SELECT * FROM tl.note_tasks($1, $2, $3, $4, $5::smallint, $6::smallint)",
        [each.rid for each in tasks],
        [each.version for each in tasks],
        now,
        [each.content for each in tasks],
        _TASK,
        _CONSENT,
    )
    return [Noted(row["rid"], row["id"], row["custodian"]) for row in rows]


async def take_up(connection: WriteConnection) -> int | None:
    """Take up a survivor one of whose permits has ended, and hold it; the rid, None where none is due.

    What is held by another process is passed over: each end is taken up once, by whoever comes first.
    """
    # Never wait as long as it takes the database to find two that wait for each other: this one yields.
    await connection.execute("SET LOCAL lock_timeout = '500ms'")
    rid: int | None = await connection.fetchval("SELECT tl.take_up_end()")
    return rid


async def put_off(pool: Pool, seconds: float) -> None:
    """Let the ends that are due wait, after one of them could not be worked on."""
    await pool.execute("SELECT tl.put_off_ends(make_interval(secs => $1))", seconds)


YIELDS: Final = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError)
"""What a process gets that has to come again later."""
