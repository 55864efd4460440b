"""Emergency access is told at once: to every custodian of the record, and so to the survivor who may know.

A Communication for each custodian, in that custodian's own record of the survivor, written before the answer
leaves (42 CFR 2.51: documented at once). The survivor sees it as any part of the own record, unless what was
seen is labelled NOPAT: then so is the Communication. Pinned: hl7.org/fhir/R4/communication.html.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from app.consent import labels
from app.interactions.operation import Operation
from app.interactions.writing import WriteRules, write
from app.storage import emergency
from app.storage.database import Caller, Database

_CODES: Final = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
_REASONS: Final = "http://terminology.hl7.org/CodeSystem/v3-ActReason"


@dataclass(frozen=True, slots=True)
class Urgent:
    """One emergency token at work. token: its id. purpose: ETREAT or BTG."""

    token: str
    client_id: str
    purpose: str
    reason: str


async def tell(
    database: Database,
    caller: Caller,
    urgent: Urgent,
    rids: Sequence[int],
    told: set[tuple[str, int, int]],
    base_url: str,
    now: datetime,
) -> list[int]:
    """Tell the custodians of these records' survivors, once for each token; the rids of what was written.

    told: (token, survivor, custodian) told before, added to here.
    """
    written: list[int] = []
    for each in await emergency.concerned(database, caller, rids):
        key = (urgent.token, each.survivor, each.custodian)
        # What a survivor wrote herself is in her own keeping: the others' word reaches her.
        if key in told or each.custodian in (caller.organization, each.survivor):
            continue
        writer = replace(
            caller,
            closure=tuple(sorted({*caller.closure, each.custodian})),
            organization=each.custodian,
            scope=None,
        )
        operation = Operation("Communication", None, _communication(urgent, each, now))
        (made,) = await write(database, writer, [operation], WriteRules((base_url,)))
        written.append(made.rid)
        told.add(key)
    return written


def _communication(urgent: Urgent, each: emergency.Concerned, now: datetime) -> dict[str, Any]:
    told: dict[str, Any] = {
        "resourceType": "Communication",
        "status": "completed",
        "category": [{"text": "Emergency access"}],
        "priority": "urgent",
        "subject": {"reference": f"Patient/{each.survivor_id}"},
        "sent": now.isoformat(timespec="milliseconds"),
        "reasonCode": [{"coding": [{"system": _REASONS, "code": urgent.purpose}]}],
        "payload": [
            {
                "contentString": f"{urgent.client_id} saw this record in an emergency. "
                f"Reason given: {urgent.reason}"
            }
        ],
    }
    if each.custodian_id is not None:
        told["recipient"] = [{"reference": f"Organization/{each.custodian_id}"}]
    if each.labels & labels.NOPAT:
        told["meta"] = {"security": [{"system": _CODES, "code": "NOPAT"}]}
    return told
