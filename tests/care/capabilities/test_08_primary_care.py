"""Primary-care coordination: medication, not therapy notes."""

from __future__ import annotations

from tests.care.conftest import (
    ACT_CODE,
    HARBOR,
    RIVER,
    World,
    actor,
    consent,
    created,
    found,
    new_patient,
    reference,
)


async def test_primary_care_gets_medication_and_not_therapy_notes(world: World) -> None:
    patient = await new_patient(world[HARBOR])
    subject = reference(f"Patient/{patient}")
    note = [{"system": ACT_CODE, "code": "PSYTHPN"}]
    await created(
        world[HARBOR],
        consent(
            patient,
            type="permit",
            actor=actor(RIVER),
            provision=[{"type": "deny", "securityLabel": note}],
        ),
    )
    await created(
        world[HARBOR],
        {
            "resourceType": "MedicationStatement",
            "status": "active",
            "medicationCodeableConcept": {"text": "Sertraline"},
            "subject": subject,
        },
    )
    therapy = await created(
        world[HARBOR],
        {
            "resourceType": "DocumentReference",
            "status": "current",
            "meta": {"security": note},
            "subject": subject,
            "content": [{"attachment": {"title": "Session"}}],
        },
    )
    team = await created(
        world[HARBOR],
        {
            "resourceType": "CareTeam",
            "status": "active",
            "subject": subject,
            "participant": [{"member": reference(f"Organization/{RIVER}")}],
        },
    )
    assert (await world[RIVER].get(f"/CareTeam/{team['id']}")).status_code == 200
    bundle = (await world[RIVER].get(f"/Patient/{patient}/$summary")).json()
    kinds = [entry["resource"]["resourceType"] for entry in bundle["entry"]]
    assert "MedicationStatement" in kinds
    everything = await found(world[RIVER], f"/Patient/{patient}/$everything")
    told = {each["resourceType"] for each in everything}
    assert {"Patient", "CareTeam", "MedicationStatement"} <= told
    assert "DocumentReference" not in told
    assert (await world[RIVER].get(f"/DocumentReference/{therapy['id']}")).status_code == 404
    assert await found(world[RIVER], f"/DocumentReference?patient=Patient/{patient}") == []
