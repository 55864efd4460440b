"""`Patient/{id}/$accounting-of-disclosures`: who saw what of the record, when, what for, and why they could.

From the audit, six years back (45 CFR 164.528), for the survivor's own app and a privacy officer. Each access
is explained by the Consents as they stood at its moment, and by labels and memberships as they stand now. As a
Bundle of AuditEvents or as CSV. Pinned: hl7.org/fhir/R4/auditevent.html.
"""

from __future__ import annotations

import bisect
import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from app.consent import purposes
from app.consent.periods import instant, span_of
from app.errors import IssueCode, fhir_error, not_found
from app.fhir_mappings import json_text, registry
from app.fhir_mappings.bundle import BundleEntry, render_bundle
from app.ids import Rid
from app.interactions.access.explain_access import NOT_SHOWN, decide
from app.interactions.access.hypothetical import facts
from app.interactions.access.record import SubjectConsents, consents_at, reviewed
from app.storage import clients, reviews
from app.storage.database import Caller, Database
from app.storage.identities import Identity, resolve_caller
from app.storage.reviews import Access, Named

Json = dict[str, Any]

YEARS: Final = timedelta(days=6 * 365 + 2)
COLUMNS: Final = (
    "recorded",
    "organization",
    "practitioner",
    "client",
    "purpose",
    "emergency",
    "interaction",
    "resource",
    "because",
    "consent",
)
_ACT_REASON: Final = purposes.SYSTEM
_OWN: Final = frozenset({"custodian", "own-record"})


@dataclass(frozen=True, slots=True)
class Disclosure:
    """One resource of one access. because: as of `$explain-access`; own: no disclosure to others."""

    access: Access
    resource: str
    organization: str | None
    practitioner: str | None
    because: str
    consent: str | None

    @property
    def own(self) -> bool:
        """Whether the custodian or the survivor looked at what is their own."""
        return self.because in _OWN


async def accounting(
    database: Database, caller: Caller, id_: str, base_urls: Sequence[str], since: str | None
) -> list[Disclosure]:
    """Every access since `since` (a FHIR date, at most six years back), the latest first.

    FhirError 404 for who may not ask, word for word as for a missing Patient; 400 for a malformed date.
    """
    target = await reviewed(database, caller, "Patient", id_)
    survivor = target.facts.rid
    if not (caller.privacy_officer or caller.person == survivor):
        raise not_found()
    now = datetime.now(UTC)
    start = max(_start(since) or now - YEARS, now - YEARS)
    accesses = await reviews.disclosures(database, caller, survivor, start)
    rids = {rid for access in accesses for rid in access.rids}
    rids |= {v for a in accesses for v in (a.organization, a.practitioner) if v is not None}
    names = await reviews.named(database, caller, sorted(rids))
    story = _Story(database, caller, survivor, base_urls)
    await story.begin()
    found: list[Disclosure] = []
    for access in accesses:
        who = await story.who(access)
        given = await story.consents(access.recorded)
        for rid in access.rids:
            seen = names.get(rid)
            if seen is None:
                continue
            decided = decide(given, facts(who), seen.facts, access.recorded)
            shown = decided.consent is None or decided.consent in given.shown
            found.append(
                Disclosure(
                    access,
                    _reference(seen),
                    _name(names, access.organization),
                    _name(names, access.practitioner),
                    decided.because if shown else NOT_SHOWN,
                    f"Consent/{given.shown[decided.consent]}"
                    if shown and decided.consent is not None
                    else None,
                )
            )
    return found


def _start(since: str | None) -> datetime | None:
    if since is None:
        return None
    span = span_of(since)
    if span is None:
        raise fhir_error(IssueCode.INVALID, "since is a FHIR date, such as 2026-01-31.", "since")
    return instant(span.start)


def _reference(named: Named) -> str:
    return f"{registry.type_name(named.type_code)}/{named.id}"


def _name(names: dict[int, Named], rid: int | None) -> str | None:
    return _reference(names[rid]) if rid is not None and rid in names else None


class _Story:
    """The Consents at each moment and the callers of each access, each looked up once."""

    def __init__(
        self, database: Database, caller: Caller, survivor: Rid, base_urls: Sequence[str]
    ) -> None:
        self._database, self._caller = database, caller
        self._survivor, self._base_urls = survivor, base_urls
        self._moments: list[datetime] = []
        self._given: dict[int, SubjectConsents] = {}
        self._who: dict[tuple[object, ...], Caller] = {}

    async def begin(self) -> None:
        self._moments = await reviews.consent_moments(self._database, self._caller, self._survivor)

    async def consents(self, at: datetime) -> SubjectConsents:
        epoch = bisect.bisect_right(self._moments, at)
        if epoch not in self._given:
            self._given[epoch] = await consents_at(
                self._database, self._caller, self._survivor, self._base_urls, at
            )
        return self._given[epoch]

    async def who(self, access: Access) -> Caller:
        urgent = access.emergency_reason is not None
        key = (access.client_id, access.organization, access.practitioner, access.purpose, urgent)
        if key not in self._who:
            client = (
                await clients.find_client(self._database.pool, access.client_id)
                if access.client_id
                else None
            )
            self._who[key] = await resolve_caller(
                self._database.pool,
                Identity(
                    access.organization, access.practitioner, client.patient if client else None
                ),
                purpose=purposes.purpose_bit(access.purpose) if access.purpose else 0,
                emergency=urgent,
            )
        return self._who[key]


def as_csv(disclosures: Sequence[Disclosure]) -> bytes:
    """One line a resource seen; a first line with the column names (RFC 4180)."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for each in disclosures:
        cells = (
            json_text.instant(each.access.recorded),
            each.organization,
            each.practitioner,
            each.access.client_id,
            each.access.purpose,
            each.access.emergency_reason,
            each.access.interaction,
            each.resource,
            each.because,
            each.consent,
        )
        writer.writerow([_cell(cell) for cell in cells])
    return text.getvalue().encode()


def _cell(value: str | None) -> str:
    # A spreadsheet must not take what somebody wrote as a formula.
    return f"'{value}" if value and value[0] in "=+-@\t\r" else value or ""


def as_bundle(disclosures: Sequence[Disclosure]) -> bytes:
    """A collection Bundle with one AuditEvent for each access."""
    events: dict[int, list[Disclosure]] = {}
    for each in disclosures:
        events.setdefault(id(each.access), []).append(each)
    entries = [
        BundleEntry(full_url=f"urn:uuid:{group[0].access.request_id}", resource=_event(group))
        for group in events.values()
    ]
    return render_bundle(
        "collection", total=None, links=[], entries=entries, timestamp=datetime.now(UTC)
    )


def _event(group: list[Disclosure]) -> bytes:
    access = group[0].access
    agents = [
        {"who": {"reference": name}, "requestor": True}
        for name in (group[0].practitioner or group[0].organization,)
        if name
    ] or [{"who": {"display": access.client_id or "unknown"}, "requestor": True}]
    event: Json = {
        "resourceType": "AuditEvent",
        "type": {
            "system": "http://terminology.hl7.org/CodeSystem/audit-event-type",
            "code": "rest",
        },
        "subtype": [
            {"system": "http://hl7.org/fhir/restful-interaction", "code": access.interaction}
        ],
        "action": "R",
        "recorded": json_text.instant(access.recorded),
        "outcome": "0",
        "agent": agents,
        "source": {"observer": {"display": "Throughline"}},
        "entity": [
            {
                "what": {"reference": each.resource},
                "detail": [
                    {"type": "because", "valueString": each.because},
                    *([{"type": "consent", "valueString": each.consent}] if each.consent else ()),
                ],
            }
            for each in group
        ],
    }
    if access.purpose:
        event["purposeOfEvent"] = [{"coding": [{"system": _ACT_REASON, "code": access.purpose}]}]
    if access.emergency_reason:
        event["outcomeDesc"] = access.emergency_reason
    return json_text.dump(event)
