"""Workforce: an expired qualification cannot be assigned."""

from __future__ import annotations

from tests.care.conftest import (
    HARBOR,
    Json,
    World,
    concept,
    created,
    new_patient,
    reference,
)

QUALIFICATION = "https://throughline.example/fhir/CodeSystem/qualification"


async def clinician(world: World, end: str) -> str:
    made = await created(
        world[HARBOR],
        {
            "resourceType": "Practitioner",
            "qualification": [
                {"code": concept(QUALIFICATION, "trauma-care"), "period": {"end": end}}
            ],
        },
    )
    role = await created(
        world[HARBOR],
        {
            "resourceType": "PractitionerRole",
            "code": [concept("http://terminology.hl7.org/CodeSystem/practitioner-role", "doctor")],
            "practitioner": reference(f"Practitioner/{made['id']}"),
            "organization": reference(f"Organization/{HARBOR}"),
        },
    )
    return f"PractitionerRole/{role['id']}"


async def test_an_expired_trauma_care_qualification_cannot_be_assigned(world: World) -> None:
    patient = await new_patient(world[HARBOR])
    expired, current = await clinician(world, "2020-12-31"), await clinician(world, "2099-12-31")

    def team(*members: str) -> Json:
        return {
            "resourceType": "CareTeam",
            "status": "active",
            "subject": reference(f"Patient/{patient}"),
            "participant": [{"member": reference(each)} for each in members],
        }

    refused = await world[HARBOR].post("/CareTeam", team(current, expired))
    assert refused.status_code == 422
    assert refused.json()["issue"][0]["expression"] == ["CareTeam.participant[1].member"]
    made = await created(world[HARBOR], team(current))
    more = await world[HARBOR].put(f"/CareTeam/{made['id']}", made | team(expired, current))
    assert more.status_code == 422
