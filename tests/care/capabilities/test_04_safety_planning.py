"""Safety planning and crisis: two plans, each seen by whom it is for."""

from __future__ import annotations

from tests.care.conftest import (
    HARBOR,
    SHELTER,
    Json,
    World,
    actor,
    concept,
    consent,
    created,
    found,
    new_patient,
    reference,
)

CATEGORY = "https://throughline.example/fhir/CodeSystem/care-plan"


def plan(patient: str, kind: str) -> Json:
    return {
        "resourceType": "CarePlan",
        "status": "active",
        "intent": "plan",
        "category": [concept(CATEGORY, kind)],
        "subject": reference(f"Patient/{patient}"),
        "title": kind,
    }


async def test_a_shelter_without_consent_reads_no_plan_and_the_two_plans_are_apart(
    world: World,
) -> None:
    patient = await new_patient(world[HARBOR])
    crisis = await created(world[HARBOR], plan(patient, "crisis"))
    trafficker = await created(world[HARBOR], plan(patient, "trafficker-safety"))
    assert (await world[SHELTER].get(f"/CarePlan/{crisis['id']}")).status_code == 404
    only = [{"system": CATEGORY, "code": "trafficker-safety"}]
    permit = consent(patient, type="permit", actor=actor(SHELTER), code=[{"coding": only}])
    await created(world[HARBOR], permit)
    seen = await found(world[SHELTER], f"/CarePlan?category={CATEGORY}|trafficker-safety")
    assert [each["id"] for each in seen] == [trafficker["id"]]
    assert await found(world[SHELTER], f"/CarePlan?category={CATEGORY}|crisis") == []
