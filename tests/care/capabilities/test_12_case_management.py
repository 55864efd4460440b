"""Case management: one appointment opens its ride and its childcare."""

from __future__ import annotations

from tests.care.conftest import (
    LEGAL,
    NEED,
    RIVER,
    SHELTER,
    Json,
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


async def booked_ride(world: World) -> tuple[Json, Json]:
    """A booked Appointment, and the Task of the ride that it opened."""
    patient = await new_patient(world[RIVER])
    await created(world[RIVER], release(patient, SHELTER))
    request = await created(
        world[RIVER],
        service_request(
            patient,
            category=[concept(NEED, "transport")],
            performer=[reference(f"Organization/{SHELTER}")],
        ),
    )
    booked = await created(
        world[RIVER],
        {
            "resourceType": "Appointment",
            "status": "booked",
            "start": "2026-12-01T10:00:00Z",
            "end": "2026-12-01T11:00:00Z",
            "participant": [{"status": "accepted", "actor": reference(f"Patient/{patient}")}],
            "supportingInformation": [reference(f"ServiceRequest/{request['id']}")],
        },
    )
    (ride,) = await found(world[SHELTER], "/Task")
    return booked, await saved(world[SHELTER], ride | {"status": "accepted"})


async def test_a_cancelled_appointment_calls_its_ride_off(world: World) -> None:
    booked, ride = await booked_ride(world)
    await saved(
        world[RIVER], booked | {"status": "cancelled", "cancelationReason": {"text": "Ill"}}
    )
    told = (await world[SHELTER].get(f"/Task/{ride['id']}")).json()
    assert told["status"] == "cancelled"
    assert told["statusReason"]["text"] == "The appointment has been cancelled."


async def test_a_moved_appointment_sends_its_ride_anew(world: World) -> None:
    booked, ride = await booked_ride(world)
    later = {"start": "2026-12-02T10:00:00Z", "end": "2026-12-02T11:00:00Z"}
    moved = await saved(world[RIVER], booked | later)
    tasks = {each["id"]: each for each in await found(world[SHELTER], "/Task")}
    assert tasks.pop(ride["id"])["status"] == "cancelled"
    (anew,) = tasks.values()
    assert (anew["status"], anew["restriction"]["period"]) == ("requested", later)
    # Saved again, nothing more is sent; what the shelter declined is not sent again.
    await saved(world[SHELTER], anew | {"status": "rejected", "statusReason": {"text": "No car"}})
    await saved(world[RIVER], moved | {"comment": "Bring the letter."})
    assert len(await found(world[SHELTER], "/Task")) == 2
