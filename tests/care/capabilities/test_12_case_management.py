"""Case management: one appointment opens its ride and its childcare."""

from __future__ import annotations

from tests.care.conftest import (
    LEGAL,
    NEED,
    RIVER,
    SHELTER,
    World,
    concept,
    created,
    found,
    new_patient,
    reference,
    release,
    saved,
    service_request,
)


async def test_one_appointment_opens_its_ride_and_childcare_tasks(world: World) -> None:
    patient = await new_patient(world[RIVER])
    await created(world[RIVER], release(patient, SHELTER))
    await created(world[RIVER], release(patient, LEGAL))
    performer = [reference(f"Organization/{SHELTER}")]
    requests = [
        await created(
            world[RIVER],
            service_request(patient, category=[concept(NEED, need)], performer=performer),
        )
        for need in ("transport", "childcare")
    ]
    proposed = await created(
        world[RIVER],
        {
            "resourceType": "Appointment",
            "status": "proposed",
            "participant": [{"status": "needs-action", "actor": reference(f"Patient/{patient}")}],
            "supportingInformation": [
                reference(f"ServiceRequest/{each['id']}") for each in requests
            ],
        },
    )
    assert await found(world[SHELTER], "/Task") == []
    booked = proposed | {
        "status": "booked",
        "start": "2026-12-01T10:00:00Z",
        "end": "2026-12-01T11:00:00Z",
    }
    booked = await saved(world[RIVER], booked)
    opened = await found(world[SHELTER], f"/Task?owner=Organization/{SHELTER}&status=requested")
    assert {each["focus"]["reference"] for each in opened} == {
        f"ServiceRequest/{each['id']}" for each in requests
    }
    assert {each["restriction"]["period"]["start"] for each in opened} == {booked["start"]}
    await saved(world[RIVER], booked | {"comment": "Bring the letter."})
    assert len(await found(world[SHELTER], "/Task")) == 2
