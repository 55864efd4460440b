"""One-stop pathways: one call opens housing, legal and clinic tasks."""

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
)

PERFORMER = "https://throughline.example/fhir/StructureDefinition/performer"


async def test_one_call_opens_housing_legal_and_clinic_tasks(world: World) -> None:
    patient = await new_patient(world[RIVER])
    for agency in (SHELTER, LEGAL):
        await created(world[RIVER], release(patient, agency))
    parts = {"housing": SHELTER, "legal": LEGAL, "clinic": RIVER}
    plan = await created(
        world[RIVER],
        {
            "resourceType": "PlanDefinition",
            "status": "active",
            "title": "First weeks",
            "contained": [
                {
                    "resourceType": "ActivityDefinition",
                    "id": need,
                    "status": "active",
                    "kind": "ServiceRequest",
                    "code": concept(NEED, need),
                    "extension": [
                        {"url": PERFORMER, "valueReference": reference(f"Organization/{agency}")}
                    ],
                }
                for need, agency in parts.items()
            ],
            "action": [{"title": need, "definitionCanonical": f"#{need}"} for need in parts],
        },
    )
    subject = {"name": "subject", "valueReference": reference(f"Patient/{patient}")}
    answer = await world[RIVER].post(
        f"/PlanDefinition/{plan['id']}/$apply?store=true",
        {"resourceType": "Parameters", "parameter": [subject]},
    )
    assert answer.status_code == 200, answer.text
    for agency in parts.values():
        path = f"/Task?owner=Organization/{agency}&_include=Task:focus"
        opened = await found(world[agency], path)
        assert [each["resourceType"] for each in opened] == ["Task", "ServiceRequest"]
    (care_plan,) = await found(world[RIVER], f"/CarePlan?patient=Patient/{patient}")
    assert len(care_plan["activity"]) == 4
    assert len(await found(world[RIVER], "/RequestGroup")) == 1
