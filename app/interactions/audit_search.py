"""Searching the audit: parameters of AuditEvent read, a page found, a cursor for the next.

Pinned: hl7.org/fhir/R4/auditevent.html#search. Of its parameters `address`, `agent-name`, `agent-role`,
`entity-name`, `entity-role`, `entity-type`, `policy`, `site` and `source` are not served: nothing that is
written down answers them.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from cryptography.fernet import Fernet, InvalidToken

from app import clock
from app.errors import IssueCode, fhir_error
from app.fhir_mappings import json_text
from app.fhir_mappings.audit_event import audit_event
from app.fhir_mappings.bundle import BundleEntry, render_bundle
from app.fhir_mappings.search_clauses import DateClause, DateRange
from app.fhir_mappings.search_query import parse, query_string
from app.storage import audit_entries
from app.storage.audit_entries import AuditQuery
from app.storage.database import Caller, Database

_CURSOR: Final = "_cursor"
_CURSOR_SECONDS: Final = 3600
_PLAIN: Final = {
    "_id": "id",
    "action": "action",
    "outcome": "outcome",
    "subtype": "interaction",
    "altid": "client",
}
_OPTIONS: Final = frozenset(
    {"_count", "_sort", "_total", "_format", "_pretty", "_summary", _CURSOR}
)


@dataclass(frozen=True, slots=True)
class AuditRules:
    """Settings that searching the audit depends on. cursor_key: 32 secret bytes."""

    base_url: str
    default_count: int
    max_count: int
    cursor_key: bytes


async def read(database: Database, caller: Caller, id_: str, base_url: str) -> bytes | None:
    """One AuditEvent as JSON; None where missing or hidden alike."""
    await audit_entries.file_all(database)
    found = await audit_entries.search(database, caller, AuditQuery(equal=(("id", (id_,)),)), 1)
    return json_text.dump(audit_event(found[0], base_url)) if found else None


async def search(
    database: Database, caller: Caller, parameters: Sequence[tuple[str, str]], rules: AuditRules
) -> bytes:
    """A searchset Bundle of AuditEvents. FhirError 400 for a parameter at fault, 410 for an old cursor."""
    await audit_entries.file_all(database)
    query, applied = _query(parameters, rules)
    options = dict(parameters)
    size = _size(options.get("_count"), rules)
    counts = options.get("_summary") == "count" or size == 0
    total = None
    if counts or options.get("_total", "none") != "none":
        total = await audit_entries.count(database, caller, query)
    binding = _binding(caller, applied)
    if _CURSOR in options:
        query = replace(query, after=_open(options[_CURSOR], rules.cursor_key, binding))
    found = [] if counts else await audit_entries.search(database, caller, query, size + 1)
    base = f"{rules.base_url}/AuditEvent"
    links = [("self", _url(base, applied))]
    if len(found) > size:
        last = found[size - 1]
        cursor = _seal(last.recorded, last.id, rules.cursor_key, binding)
        links.append(("next", _url(base, [*applied, (_CURSOR, cursor)])))
    entries = [
        BundleEntry(
            full_url=f"{base}/{each.id}",
            resource=json_text.dump(audit_event(each, rules.base_url)),
            search_mode="match",
        )
        for each in found[:size]
    ]
    return render_bundle("searchset", total=total, links=links, entries=entries)


def _query(
    parameters: Sequence[tuple[str, str]], rules: AuditRules
) -> tuple[AuditQuery, list[tuple[str, str]]]:
    equal: list[tuple[str, tuple[str, ...]]] = []
    entities: list[tuple[str, ...]] = []
    dates: list[tuple[DateRange, ...]] = []
    oldest_first = False
    for name, value in parameters:
        values = tuple(each for each in value.split(",") if each)
        if name in _PLAIN:
            # A code may come with its system: what is filed is the code.
            equal.append((_PLAIN[name], tuple(each.rpartition("|")[2] for each in values)))
        elif name == "patient":
            equal.append(("survivor", tuple(_reference(each, "Patient", rules) for each in values)))
        elif name == "agent":
            column = "person" if value.startswith("Practitioner/") else "agent"
            equal.append((column, tuple(_reference(v, "Organization", rules) for v in values)))
        elif name == "entity":
            entities.append(tuple(_reference(each, "", rules) for each in values))
        elif name in ("date", "_lastUpdated"):
            dates.append(_ranges(value))
        elif name == "_sort":
            if value not in ("date", "-date", "_lastUpdated", "-_lastUpdated"):
                raise _fault("Sort the audit by date or -date.", name)
            oldest_first = not value.startswith("-")
        elif name not in _OPTIONS:
            raise fhir_error(
                IssueCode.NOT_SUPPORTED, "The audit cannot be searched by this parameter.", name
            )
    applied = [(name, value) for name, value in parameters if name != _CURSOR]
    return AuditQuery(tuple(equal), tuple(entities), tuple(dates), oldest_first), applied


def _ranges(value: str) -> tuple[DateRange, ...]:
    query = parse(
        "AuditEvent", [("date", value)], strict=True, base_urls=(), max_count=1, default_count=1
    )
    (clause,) = query.clauses
    if not isinstance(clause, DateClause):
        raise TypeError("a date parameter makes a date clause")
    return clause.alternatives


def _reference(text: str, type_: str, rules: AuditRules) -> str:
    text = text.removeprefix(f"{rules.base_url}/")
    return text if "/" in text or not type_ else f"{type_}/{text}"


def _size(text: str | None, rules: AuditRules) -> int:
    if text is None:
        return min(rules.default_count, rules.max_count)
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise _fault("Give a whole number, 0 or more.", "_count")
    return min(int(text), rules.max_count)


def _fault(diagnostics: str, name: str) -> Exception:
    return fhir_error(IssueCode.INVALID, diagnostics, name)


def _url(base: str, parameters: Sequence[tuple[str, str]]) -> str:
    text = query_string(parameters)
    return f"{base}?{text}" if text else base


def _binding(caller: Caller, applied: Sequence[tuple[str, str]]) -> str:
    parts = ["audit", list(caller.closure), caller.purpose, [list(each) for each in applied]]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _seal(moment: datetime, id_: UUID, key: bytes, binding: str) -> str:
    place = json.dumps([moment.isoformat(), str(id_), binding])
    return Fernet(base64.urlsafe_b64encode(key)).encrypt(place.encode()).decode()


def _open(cursor: str, key: bytes, binding: str) -> tuple[datetime, UUID]:
    fernet = Fernet(base64.urlsafe_b64encode(key))
    try:
        moment, id_, bound = json.loads(fernet.decrypt(cursor.encode()))
    except (InvalidToken, ValueError) as error:
        raise _fault("The cursor is none of this server's; search again.", _CURSOR) from error
    if bound != binding:
        raise _fault("The cursor belongs to another search or caller.", _CURSOR)
    if clock.now() - fernet.extract_timestamp(cursor.encode()) > _CURSOR_SECONDS:
        raise fhir_error(IssueCode.DELETED, "The cursor has expired; search again.", _CURSOR)
    return datetime.fromisoformat(moment), UUID(id_)
