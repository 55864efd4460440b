"""An appointment opens its ride and its childcare; somebody who did not come is looked for, safely.

Booked: each ServiceRequest in supportingInformation that names a performer gets its Task, once. Cancelled:
those Tasks are cancelled; moved: cancelled and sent anew, for nobody shall wait at the old hour. No-show: a
Task to reach out, with the contact that the person calls safe, and none where they call none safe.
Pinned: hl7.org/fhir/R4/appointment.html#statemachine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from app.care import reading
from app.care.contact.safety import safe_contact
from app.care.referrals.transitions import OPEN
from app.fhir_mappings import json_text
from app.interactions.guards import Moment, Planned
from app.interactions.operation import Operation
from app.storage import receivers
from app.storage.database import TransactionReader

REACH_OUT: Final = "https://throughline.example/fhir/CodeSystem/escalation"
_BOOKED: Final = frozenset({"booked", "arrived", "checked-in"})
_CALLED_OFF: Final = frozenset({"cancelled", "entered-in-error"})


class AppointmentGuard:
    """The guard of Appointments."""

    async def before(self, moment: Moment) -> None:
        """Nothing: who may take part is asked by the guards of contact and of workforce."""

    async def after(self, moment: Moment) -> Sequence[Operation]:
        """The Tasks that an appointment opens."""
        further: list[Operation] = []
        for planned in moment.planned:
            appointment = planned.resource
            if planned.type != "Appointment" or appointment is None:
                continue
            before = reading.previous(planned) or {}
            status = appointment.get("status")
            if status == "noshow" and before.get("status") != "noshow":
                further += await _reach_out(moment, planned, appointment)
            moved = status in _BOOKED and bool(before) and _times(before) != _times(appointment)
            if moved or status in _CALLED_OFF:
                further += await _call_off(moment, before, moved=moved)
            if status in _BOOKED:
                further += await _services(moment, appointment, anew=moved)
        return further


async def _organization(moment: Moment) -> dict[str, str]:
    rid = moment.caller.organization or 0
    reader = TransactionReader(moment.connection)
    return {"reference": await receivers.reference_of(reader, moment.caller, rid)}


def _patients(moment: Moment, appointment: dict[str, Any]) -> list[tuple[str, str]]:
    actors = (p.get("actor") for p in appointment.get("participant", ()))
    keys = [reading.local(each, moment.base_urls) for each in actors]
    return [key for key in keys if key is not None and key[0] == "Patient"]


async def _reach_out(
    moment: Moment, planned: Planned, appointment: dict[str, Any]
) -> list[Operation]:
    who = await _organization(moment)
    made = []
    for (type_, id_), patient in (
        await reading.read(moment, _patients(moment, appointment))
    ).items():
        contact = safe_contact(patient)
        task: dict[str, Any] = {
            "resourceType": "Task",
            "status": "requested",
            "intent": "order",
            "priority": "urgent",
            "code": {"coding": [{"system": REACH_OUT, "code": "reach-out"}]},
            "description": "Reach out"
            if contact
            else "No contact is known to be safe: do not call or write; wait, or ask in person.",
            "focus": {"reference": f"Appointment/{planned.id}"},
            "for": {"reference": f"{type_}/{id_}"},
            "authoredOn": json_text.instant(moment.now),
            "requester": who,
            "owner": who,
        }
        if contact:
            task["input"] = [{"type": {"text": "Safe contact"}, "valueContactPoint": contact}]
        made.append(Operation("Task", None, task))
    return made


def _times(appointment: Mapping[str, Any]) -> tuple[Any, Any]:
    return appointment.get("start"), appointment.get("end")


def _requests(moment: Moment, appointment: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        key
        for each in appointment.get("supportingInformation", ())
        if (key := reading.local(each, moment.base_urls)) and key[0] == "ServiceRequest"
    ]


async def _opened(moment: Moment, keys: Sequence[tuple[str, str]]) -> list[reading.Json]:
    """The Tasks for these requests, by one search."""
    if not keys:
        return []
    focus = ",".join(f"{type_}/{id_}" for type_, id_ in keys)
    return await reading.search(moment, "Task", [("focus", focus)], 200)


async def _call_off(moment: Moment, before: Mapping[str, Any], *, moved: bool) -> list[Operation]:
    """The open Tasks that an appointment had opened, cancelled by their requester."""
    tasks = await _opened(moment, _requests(moment, before))
    if not tasks:
        return []
    who = await _organization(moment)
    why = "The appointment has been moved." if moved else "The appointment has been cancelled."
    return [
        Operation("Task", each["id"], each | {"status": "cancelled", "statusReason": {"text": why}})
        for each in tasks
        if each.get("status") in OPEN
        and each.get("requester") == who
        and _same_times(each.get("restriction", {}).get("period", {}), before)
    ]


def _same_times(period: Mapping[str, Any], appointment: Mapping[str, Any]) -> bool:
    return (period.get("start"), period.get("end")) == _times(appointment)


async def _services(moment: Moment, appointment: dict[str, Any], *, anew: bool) -> list[Operation]:
    """Tasks for the rides, childcare and interpreters that go with an appointment and have none yet.

    anew: those that they have are being cancelled.
    """
    requests = await reading.read(moment, _requests(moment, appointment))
    if not requests:
        return []
    who = await _organization(moment)
    known = (
        set()
        if anew
        else {
            str(task.get("focus", {}).get("reference"))
            for task in await _opened(moment, list(requests))
        }
    )
    made = []
    for (type_, id_), request in requests.items():
        performers = request.get("performer", ())
        if request.get("status") != "active" or not performers:
            continue
        focus = f"{type_}/{id_}"
        if focus in known:
            continue
        period = {name: appointment[name] for name in ("start", "end") if name in appointment}
        task = {
            "resourceType": "Task",
            "status": "requested",
            "intent": "order",
            "code": {
                "coding": [
                    {"system": "http://hl7.org/fhir/CodeSystem/task-code", "code": "fulfill"}
                ]
            },
            "focus": {"reference": focus},
            "for": request["subject"],
            "authoredOn": json_text.instant(moment.now),
            "requester": who,
            "owner": performers[0],
        }
        made.append(
            Operation("Task", None, task | ({"restriction": {"period": period}} if period else {}))
        )
    return made
