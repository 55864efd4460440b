"""Care-planning meetings: each attendee's own copy of the plan."""

from __future__ import annotations

from tests.care.conftest import (
    HARBOR,
    LEGAL,
    RIVER,
    SHELTER,
    World,
    created,
    found,
    new_patient,
    observation,
    reference,
    release,
    saved,
)


async def test_each_attendees_copy_is_filtered_by_consent(world: World) -> None:
    patient = await new_patient(world[RIVER])
    subject = reference(f"Patient/{patient}")
    await created(world[RIVER], release(patient, HARBOR))
    kinds = ("Patient", "CarePlan", "Appointment", "Encounter", "Goal")
    await created(world[RIVER], release(patient, SHELTER, *kinds))
    goal = await created(
        world[RIVER],
        {
            "resourceType": "Goal",
            "lifecycleStatus": "active",
            "description": {"text": "Sleep"},
            "subject": subject,
        },
    )
    reading = await created(world[RIVER], observation(patient))
    plan = await created(
        world[RIVER],
        {
            "resourceType": "CarePlan",
            "status": "active",
            "intent": "plan",
            "subject": subject,
            "title": "Before",
            "goal": [reference(f"Goal/{goal['id']}")],
            "supportingInfo": [reference(f"Observation/{reading['id']}")],
        },
    )
    meeting = await created(
        world[RIVER],
        {
            "resourceType": "Appointment",
            "status": "booked",
            "start": "2026-12-01T10:00:00Z",
            "end": "2026-12-01T11:00:00Z",
            "supportingInformation": [reference(f"CarePlan/{plan['id']}")],
            "participant": [{"status": "accepted", "actor": subject}],
        },
    )
    await created(
        world[RIVER],
        {
            "resourceType": "Encounter",
            "status": "finished",
            "class": {
                "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode",
                "code": "AMB",
            },
            "subject": subject,
            "appointment": [reference(f"Appointment/{meeting['id']}")],
        },
    )
    await saved(world[RIVER], plan | {"title": "After"})
    path = f"/CarePlan?_id={plan['id']}&_include=CarePlan:*"

    async def copy(agency: str) -> set[str]:
        return {each["resourceType"] for each in await found(world[agency], path)}

    assert await copy(RIVER) == {"CarePlan", "Goal", "Observation", "Patient"}
    assert await copy(HARBOR) == await copy(RIVER)
    assert await copy(SHELTER) == {"CarePlan", "Goal", "Patient"}
    assert await copy(LEGAL) == set()
    history = (await world[SHELTER].get(f"/CarePlan/{plan['id']}/_history")).json()
    assert [e["resource"]["title"] for e in history["entry"]] == ["After", "Before"]
