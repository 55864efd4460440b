"""What questions about consent read: the record as its custodian, survivor or privacy officer may ask.

Neighbours: `sql/review.sql` (who may ask is judged in the database), `app.interactions.access` (the answers).
Pinned: hl7.org/fhir/R4/consent.html; 45 CFR 164.528.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from app.consent.model import ResourceFacts
from app.ids import Rid
from app.storage import predicate
from app.storage.database import Caller, Database
from app.storage.scope_sql import NOT_NARROWED, mark


@dataclass(frozen=True, slots=True)
class Reviewed:
    """A resource under review. subjects: rids of its data subjects; content: as it is stored."""

    facts: ResourceFacts
    subjects: tuple[int, ...]
    content: bytes


@dataclass(frozen=True, slots=True)
class ReviewedConsent:
    """A Consent as it stood. shown: whether who asks may see it."""

    rid: int
    id: str
    recorder: int
    patient_custodian: int
    by_officer: bool
    content: bytes
    references: dict[str, int]
    shown: bool


@dataclass(frozen=True, slots=True)
class Access:
    """One audited access to a survivor's record, with the resources of it that were seen."""

    recorded: datetime
    interaction: str
    client_id: str | None
    organization: int | None
    practitioner: int | None
    purpose: str | None
    emergency_reason: str | None
    request_id: UUID
    rids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Named:
    """A resource by name, with what a decision asks of it."""

    type_code: int
    id: str
    subjects: tuple[int, ...]
    facts: ResourceFacts


def _subjects(row: asyncpg.Record) -> tuple[int, ...]:
    return tuple(v for v in (row["patient"], *(row["co_subjects"] or ())) if v is not None)


def _facts(row: asyncpg.Record, type_code: int) -> ResourceFacts:
    def rids(name: str) -> frozenset[Rid]:
        return frozenset(map(Rid, row[name]))

    return ResourceFacts(
        rid=Rid(row["rid"]),
        type_code=type_code,
        labels=row["labels"],
        custodian=Rid(row["custodian"]),
        clinical_from=row["clinical_from"],
        clinical_to=row["clinical_to"],
        codes=frozenset(row["codes"]),
        references=rids("refs"),
        referenced_by=rids("referenced_by"),
        authors=rids("authors"),
    )


async def target(database: Database, caller: Caller, type_code: int, id_: str) -> Reviewed | None:
    """The resource that the caller may ask about; None where missing, hidden, or not theirs to ask."""
    rows = await database.fetch(
        caller,
        "SELECT x.* FROM (SELECT $7::smallint AS type, r.* "
        "FROM tl.review_target($7::smallint, $8::text, $9::boolean) r) AS x "
        f"WHERE true{mark('x')}",
        type_code,
        id_,
        caller.privacy_officer,
    )
    if not rows:
        return None
    return Reviewed(_facts(rows[0], type_code), _subjects(rows[0]), rows[0]["content"])


async def consents(
    database: Database, caller: Caller, survivor: int, consent_type: int, at: datetime
) -> list[ReviewedConsent]:
    """The Consents that mention a survivor, as they stood at an instant; [] for who may not ask."""
    rows = await database.fetch(
        caller,
        # All of them decide, whatever the token's scopes are; those that they leave out are not named.
        f"SELECT x.*, (x.shown{mark('x')}) AS named FROM ("
        "SELECT $8::smallint AS type, $7::bigint AS patient, NULL::bigint[] AS co_subjects, r.* "
        "FROM tl.review_consents($7::bigint, $8::smallint, $9::boolean, $10::timestamptz) r) AS x",
        survivor,
        consent_type,
        caller.privacy_officer,
        at,
    )
    return [
        ReviewedConsent(
            row["rid"],
            row["id"],
            row["recorder"],
            row["patient_custodian"],
            row["by_officer"],
            row["content"],
            json.loads(row["refs"]),
            bool(row["named"]),
        )
        for row in rows
    ]


async def ceilings(
    database: Database, caller: Caller, consent_type: int
) -> list[tuple[bytes, dict[str, int]]]:
    """The policies for all survivors: content, and rids by literal reference."""
    rows = await database.fetch(
        caller, f"SELECT * FROM tl.ceilings($7::smallint){NOT_NARROWED}", consent_type
    )
    return [(row["content"], json.loads(row["refs"])) for row in rows]


async def record_of(
    database: Database, caller: Caller, survivor: int
) -> dict[int, tuple[int, str]]:
    """Everything about a survivor that the caller may see: rid to (type code, id)."""
    rows = await database.fetch(
        caller,
        "SELECT x.rid, x.type, x.id FROM tl.resource x WHERE NOT x.deleted "
        "AND (x.patient = $7::bigint OR x.rid IN (SELECT l.source FROM tl.link l "
        "WHERE l.target = $7::bigint AND l.parameter = 0)) "
        f"AND {predicate.for_query('x')}",
        survivor,
    )
    return {row["rid"]: (row["type"], row["id"]) for row in rows}


async def disclosures(
    database: Database, caller: Caller, survivor: int, since: datetime
) -> list[Access]:
    """Accesses to a survivor's record since an instant, the latest first; [] for who may not ask.

    Which of their resources may be named, `named` says.
    """
    rows = await database.fetch(
        caller,
        f"SELECT * FROM tl.disclosures($7::bigint, $8::timestamptz, $9::boolean){NOT_NARROWED}",
        survivor,
        since,
        caller.privacy_officer,
    )
    return [
        Access(
            row["recorded"],
            row["interaction"],
            row["client_id"],
            row["organization"],
            row["practitioner"],
            row["purpose"],
            row["emergency_reason"],
            row["request_id"],
            tuple(row["rids"]),
        )
        for row in rows
    ]


async def named(database: Database, caller: Caller, rids: Sequence[int]) -> dict[int, Named]:
    """Resources by rid as far as the caller may know them, a privacy officer all of them."""
    rows = await database.fetch(
        caller,
        f"SELECT x.* FROM tl.review_facts($7::bigint[], $8::boolean) x WHERE true{mark('x')}",
        list(rids),
        caller.privacy_officer,
    )
    return {
        row["rid"]: Named(row["type"], row["id"], _subjects(row), _facts(row, row["type"]))
        for row in rows
    }


async def consent_moments(database: Database, caller: Caller, survivor: int) -> list[datetime]:
    """When any Consent that mentions a survivor was written, the earliest first; for who may ask."""
    rows = await database.fetch(
        caller,
        f"SELECT * FROM tl.consent_moments($7::bigint, $8::boolean) AS moment{NOT_NARROWED}",
        survivor,
        caller.privacy_officer,
    )
    return [row["moment"] for row in rows]
