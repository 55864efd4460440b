"""Reading the audit: entries as a caller may see them, through the one predicate (tl.audit_entry).

Pinned: hl7.org/fhir/R4/auditevent.html#search. Neighbours: `app.storage.audit` (writes the rows),
`app.fhir_mappings.audit_event` (renders them).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from app.fhir_mappings.audit_event import AuditEntry
from app.fhir_mappings.search_clauses import DateRange
from app.storage import predicate
from app.storage.database import Caller, Database

_BATCH = 5000


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """What an entry must meet; each inner tuple is a choice, all must hold.

    equal: (column, values). dates: choices of ranges. after: the place (recorded, id) of the entry before.
    """

    equal: tuple[tuple[str, tuple[str, ...]], ...] = ()
    entities: tuple[tuple[str, ...], ...] = ()
    dates: tuple[tuple[DateRange, ...], ...] = ()
    oldest_first: bool = False
    after: tuple[datetime, UUID] | None = None


_COLUMNS = (
    "a.id, a.clinical_from AS recorded, a.action, a.interaction, a.outcome, a.client_id, a.organization, "
    "a.practitioner, a.purpose, a.emergency_reason, a.about, a.survivor, a.entities, a.query, a.request_id"
)
_TEXT_OF = {
    "id": "a.id::text",
    "action": "a.action::text",
    "outcome": "a.outcome::text",
    "interaction": "a.interaction",
    "survivor": "a.survivor",
    "agent": "a.organization",
    "person": "a.practitioner",
    "client": "a.client_id",
}


async def file_all(database: Database) -> None:
    """File every row that the audit holds by now, so that what follows finds it."""
    while await database.pool.fetchval("SELECT tl.index_audit($1)", _BATCH) >= _BATCH:
        continue


def _moment_test(wanted: DateRange, add: Any) -> str:
    """An event is one instant: inside [low, high) or not, before it or after."""

    def low() -> str:
        return str(add(wanted.low, "timestamptz")) if wanted.low else "'-infinity'::timestamptz"

    def high() -> str:
        return str(add(wanted.high, "timestamptz")) if wanted.high else "'infinity'::timestamptz"

    def inside() -> str:
        return f"(a.clinical_from >= {low()} AND a.clinical_from < {high()})"

    match wanted.prefix:
        case "eq" | "ap" | "po":
            return inside()
        case "ne":
            return f"NOT {inside()}"
        case "gt" | "sa":
            return f"a.clinical_from >= {high()}"
        case "ge":
            return f"a.clinical_from >= {low()}"
        case "lt" | "eb":
            return f"a.clinical_from < {low()}"
        case "le":
            return f"a.clinical_from < {high()}"


def _tests(query: AuditQuery, add: Any) -> list[str]:
    tests = [predicate.for_query("a")]
    for column, values in query.equal:
        tests.append(f"{_TEXT_OF[column]} = ANY ({add(list(values), 'text[]')})")
    for choice in query.entities:
        wanted = add(list(choice), "text[]")
        tests.append(f"(a.entities && {wanted} OR a.survivor = ANY ({wanted}))")
    for ranges in query.dates:
        either = " OR ".join(_moment_test(each, add) for each in ranges)
        tests.append(f"({either})")
    return tests


async def search(
    database: Database, caller: Caller, query: AuditQuery, count: int
) -> list[AuditEntry]:
    """Entries in the order of their moments, newest first unless asked otherwise; at most `count`."""
    arguments: list[Any] = []

    def add(value: Any, sql_type: str) -> str:
        arguments.append(value)
        return f"${predicate.QUERY_PARAMETERS + len(arguments)}::{sql_type}"

    tests = _tests(query, add)
    direction, beyond = ("ASC", ">") if query.oldest_first else ("DESC", "<")
    if query.after is not None:
        moment, id_ = query.after
        tests.append(
            f"(a.clinical_from, a.id) {beyond} ({add(moment, 'timestamptz')}, {add(id_, 'uuid')})"
        )
    order = f"a.clinical_from {direction}, a.id {direction}"
    rows = await database.fetch(
        caller,
        f"SELECT {_COLUMNS} FROM tl.audit_entry a WHERE {' AND '.join(tests)} "
        f"ORDER BY {order} LIMIT {add(count, 'integer')}",
        *arguments,
    )
    return [_entry(row) for row in rows]


async def count(database: Database, caller: Caller, query: AuditQuery) -> int:
    """How many entries there are that the caller may see."""
    arguments: list[Any] = []

    def add(value: Any, sql_type: str) -> str:
        arguments.append(value)
        return f"${predicate.QUERY_PARAMETERS + len(arguments)}::{sql_type}"

    rows = await database.fetch(
        caller,
        f"SELECT count(*) AS found FROM tl.audit_entry a WHERE {' AND '.join(_tests(query, add))}",
        *arguments,
    )
    return int(rows[0]["found"])


def _entry(row: asyncpg.Record) -> AuditEntry:
    entities: Sequence[str] = row["entities"]
    return AuditEntry(
        id=row["id"],
        recorded=row["recorded"],
        action=row["action"].decode(),
        interaction=row["interaction"],
        outcome=row["outcome"],
        client_id=row["client_id"],
        organization=row["organization"],
        practitioner=row["practitioner"],
        purpose=row["purpose"],
        emergency_reason=row["emergency_reason"],
        about=row["about"],
        survivor=row["survivor"],
        entities=tuple(entities),
        query=row["query"],
        request_id=row["request_id"],
    )
