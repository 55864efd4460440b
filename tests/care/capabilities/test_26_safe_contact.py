"""Safety of contact: safe numbers, substitute addresses, aliases, neutral words, no traces."""

from __future__ import annotations

from tests.care.conftest import (
    RIVER,
    SHELTER,
    World,
    actor,
    consent,
    created,
    found,
    new_patient,
    reference,
    saved,
)

BASE = "https://throughline.example/fhir/StructureDefinition"


async def test_alias_and_substitute_address_are_what_others_get(world: World) -> None:
    patient = await created(
        world[SHELTER],
        {
            "resourceType": "Patient",
            "name": [
                {
                    "use": "usual",
                    "text": "Sky",
                    "extension": [{"url": f"{BASE}/alias", "valueBoolean": True}],
                }
            ],
            "address": [
                {
                    "use": "home",
                    "line": ["PO Box 7"],
                    "extension": [{"url": f"{BASE}/substitute-address", "valueBoolean": True}],
                }
            ],
        },
    )
    await created(
        world[SHELTER],
        consent(
            patient["id"],
            type="permit",
            actor=actor(RIVER),
            purpose=[
                {"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "TREAT"}
            ],
            period={"start": "2026-01-01", "end": "2027-12-31"},
        ),
    )
    seen = (await world[RIVER].get(f"/Patient/{patient['id']}")).json()
    assert seen["name"][0]["text"] == "Sky"
    assert seen["address"][0]["line"] == ["PO Box 7"]
    (by_alias,) = await found(world[RIVER], "/Patient?name=Sky")
    assert by_alias["id"] == patient["id"]


async def test_an_excluded_person_cannot_be_put_at_the_table(world: World) -> None:
    first = await new_patient(world[RIVER])
    uncle = await created(
        world[RIVER],
        {"resourceType": "RelatedPerson", "patient": reference(f"Patient/{first}")},
    )
    place = reference(f"RelatedPerson/{uncle['id']}")
    patient = (await world[RIVER].get(f"/Patient/{first}")).json()
    refused = {"url": f"{BASE}/refused-participant", "valueReference": place}
    await saved(world[RIVER], patient | {"extension": [refused]})
    team = {
        "resourceType": "CareTeam",
        "status": "active",
        "subject": reference(f"Patient/{first}"),
        "participant": [{"member": place}],
    }
    answer = await world[RIVER].post("/CareTeam", team)
    assert answer.status_code == 422
    assert answer.json()["issue"][0]["expression"] == ["CareTeam.participant[0].member"]


async def test_no_answer_may_be_kept_by_a_cache(world: World) -> None:
    patient = await new_patient(world[RIVER])
    for path in (f"/Patient/{patient}", f"/Patient/{patient}/$summary", "/Patient", "/Task/none"):
        assert (await world[RIVER].get(path)).headers["cache-control"] == "no-store"
