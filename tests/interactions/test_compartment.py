"""Search in a patient's compartment (hl7.org/fhir/R4/http.html#vsearch)."""

from __future__ import annotations

from tests.spine.conftest import AGENCIES, World, actor, consent, new_patient, observation

RIVER, HARBOR, SHELTER, LEGAL = AGENCIES


async def test_a_compartment_holds_what_is_about_its_patient_alone(world: World) -> None:
    river, one = world[RIVER], await new_patient(world[RIVER])
    other = await new_patient(river)
    made = (await river.post("/Observation", observation(one))).json()["id"]
    await river.post("/Observation", observation(other))
    for path in (
        f"/Patient/{one}/Observation",
        f"/Patient/{one}/Observation?code=85354-9",
        f"/Patient/{one}/*?_type=Observation",
    ):
        answer = await river.get(path)
        assert answer.status_code == 200, answer.text
        assert [each["resource"]["id"] for each in answer.json()["entry"]] == [made], path
    none = (await river.get(f"/Patient/{one}/Observation?code=none&_total=accurate")).json()
    assert none["total"] == 0
    posted = await river.http.post(
        f"/fhir/Patient/{one}/Observation/_search", headers=river.headers, data={"status": "final"}
    )
    assert [each["resource"]["id"] for each in posted.json()["entry"]] == [made]


async def test_a_hidden_patient_has_the_compartment_of_a_missing_one(world: World) -> None:
    known = await new_patient(world[RIVER])
    await world[RIVER].post("/Observation", observation(known))
    legal = world[LEGAL]
    for type_ in ("Observation", "*"):
        hidden = await legal.get(f"/Patient/{known}/{type_}?_total=accurate")
        missing = await legal.get(f"/Patient/none/{type_}?_total=accurate")
        assert hidden.status_code == 200
        assert hidden.text.replace(known, "none") == missing.text
    await world[RIVER].post("/Consent", consent(known, type="permit", actor=actor(HARBOR)))
    shown = (await world[HARBOR].get(f"/Patient/{known}/Observation?_total=accurate")).json()
    assert shown["total"] == 1


async def test_what_no_compartment_holds_is_404_and_scopes_are_asked(world: World) -> None:
    river, known = world[RIVER], await new_patient(world[RIVER])
    assert (await river.get(f"/Patient/{known}/NoSuch")).status_code == 404
    assert (await river.get(f"/Patient/{known}/Organization")).status_code == 404
    token = (await world.token(RIVER, scope="system/Patient.rs")).json()["access_token"]
    river.headers["Authorization"] = f"Bearer {token}"
    assert (await river.get(f"/Patient/{known}/Observation")).status_code == 403
