"""Transitions between settings: a packet of what is permitted, which the receiver must accept."""

from __future__ import annotations

from tests.care.conftest import (
    HARBOR,
    RIVER,
    World,
    created,
    new_patient,
    observation,
    reference,
    release,
    saved,
    service_request,
    task,
)


async def test_a_discharge_packet_lists_permitted_sections_only_and_must_be_accepted(
    world: World,
) -> None:
    patient = await new_patient(world[HARBOR])
    subject = reference(f"Patient/{patient}")
    kinds = ("Patient", "ServiceRequest", "MedicationStatement", "EpisodeOfCare")
    await created(world[HARBOR], release(patient, RIVER, *kinds))
    medicine = await created(
        world[HARBOR],
        {
            "resourceType": "MedicationStatement",
            "status": "active",
            "medicationCodeableConcept": {"text": "Sertraline"},
            "subject": subject,
        },
    )
    reading = await created(world[HARBOR], observation(patient))
    episode = await created(
        world[HARBOR],
        {"resourceType": "EpisodeOfCare", "status": "active", "patient": subject},
    )
    request = await created(
        world[HARBOR],
        service_request(
            patient,
            category=[{"text": "Transfer of care"}],
            supportingInfo=[
                reference(f"MedicationStatement/{medicine['id']}"),
                reference(f"Observation/{reading['id']}"),
                reference(f"EpisodeOfCare/{episode['id']}"),
            ],
        ),
    )
    focus = reference(f"ServiceRequest/{request['id']}")
    sent = await created(world[HARBOR], task(patient, RIVER, HARBOR, focus=focus))
    path = f"/Task/{sent['id']}/$referral-package?type=document"
    packet = (await world[RIVER].get(path)).json()
    told = str(packet["entry"][0]["resource"]["section"])
    assert medicine["id"] in told
    assert reading["id"] not in told
    assert "Observation" not in told
    not_theirs = await world[HARBOR].put(f"/Task/{sent['id']}", sent | {"status": "accepted"})
    assert not_theirs.status_code == 403
    accepted = await saved(world[RIVER], sent | {"status": "accepted"})
    assert accepted["status"] == "accepted"
    ended = await saved(world[HARBOR], episode | {"status": "finished"})
    assert ended["status"] == "finished"
