"""The criteria of conditional interactions follow no link that a search with the same token could not."""

from __future__ import annotations

from typing import Any

import pytest

from tests.security.test_scopes import LABORATORY, of_category
from tests.spine.conftest import Agency, World, new_patient, observation

OBSERVATIONS = "system/Observation.cruds"
CRITERIA = (
    "subject:Patient.family=Sample",
    "subject.family=Sample",
    "_has:Observation:has-member:subject:Patient.family=Sample",
    "_has:DiagnosticReport:result:status=final",
    "_filter=subject.family%20eq%20Sample",
    "_list=worklist",
    "subject:Patient._has:Encounter:subject:status=planned",
)


async def _with(world: World, scope: str) -> Agency:
    answer = await world.token("river-clinic", scope=scope)
    assert answer.status_code == 200, answer.text
    return Agency(world.http, {"Authorization": f"Bearer {answer.json()['access_token']}"})


def _resource(patient: str) -> dict[str, Any]:
    return observation(patient)


def _bundle(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "transaction", "entry": list(entries)}


@pytest.mark.parametrize("criteria", CRITERIA)
async def test_a_condition_that_follows_a_link_out_of_the_scopes_is_refused_like_the_search(
    world: World, criteria: str
) -> None:
    patient = await new_patient(world["river-clinic"])
    agency = await _with(world, OBSERVATIONS)
    searched = await agency.get(f"/Observation?{criteria}")
    assert searched.status_code == 403
    assert "lacks the scope system/" in searched.text
    patch = [{"op": "replace", "path": "/status", "value": "amended"}]
    headers = agency.headers | {"content-type": "application/json-patch+json"}
    resource = _resource(patient)
    answers = [
        await agency.put(f"/Observation?{criteria}", resource),
        await agency.delete(f"/Observation?{criteria}"),
        await world.http.patch(f"/fhir/Observation?{criteria}", headers=headers, json=patch),
        await world.http.post(
            "/fhir/Observation", headers=agency.headers | {"if-none-exist": criteria}, json=resource
        ),
    ]
    for answer in answers:
        assert (answer.status_code, answer.json()) == (403, searched.json())
    for request, sent in (
        ({"method": "PUT", "url": f"Observation?{criteria}"}, resource),
        ({"method": "DELETE", "url": f"Observation?{criteria}"}, None),
        ({"method": "POST", "url": "Observation", "ifNoneExist": criteria}, resource),
    ):
        entry = {"request": request} | ({"resource": sent} if sent else {})
        answer = await agency.post("", _bundle(entry))
        assert answer.status_code == 403, answer.text
    assert (await agency.get("/Observation?_summary=count")).json()["total"] == 0


async def test_a_conditional_reference_follows_no_link_out_of_the_scopes(world: World) -> None:
    river = world["river-clinic"]
    await new_patient(river)
    entry = {
        "request": {"method": "POST", "url": "Observation"},
        "resource": observation("x")
        | {"subject": {"reference": "Patient?_has:Encounter:subject:status=planned"}},
    }
    agency = await _with(world, f"{OBSERVATIONS} system/Patient.rs")
    answer = await agency.post("", _bundle(entry))
    assert answer.status_code == 403, answer.text
    issue = answer.json()["issue"][0]
    assert issue["expression"] == ["Bundle.entry[0].resource.subject"]
    assert "system/Encounter.s" in issue["diagnostics"]
    wide = await _with(world, f"{OBSERVATIONS} system/Patient.rs system/Encounter.rs")
    assert (await wide.post("", _bundle(entry))).status_code == 422


async def test_a_condition_follows_links_that_the_scopes_name(world: World) -> None:
    patient = await new_patient(world["river-clinic"])
    agency = await _with(world, f"{OBSERVATIONS} system/Patient.rs")
    criteria = "subject:Patient.family=Sample"
    made = await agency.put(f"/Observation?{criteria}", _resource(patient))
    assert made.status_code == 201
    again = await agency.put(f"/Observation?{criteria}", _resource(patient) | {"status": "amended"})
    assert (again.status_code, again.json()["id"]) == (200, made.json()["id"])


async def test_a_condition_finds_nothing_beyond_a_search_constraint(world: World) -> None:
    patient = await new_patient(world["river-clinic"])
    survey = observation(patient, **of_category("survey"))
    known = (await world["river-clinic"].post("/Observation", survey)).json()["id"]
    agency = await _with(world, f"{LABORATORY} system/Observation.cu")
    criteria = f"subject=Patient/{patient}&category=survey"
    unless = agency.headers | {"if-none-exist": criteria}
    made = await world.http.post("/fhir/Observation", headers=unless, json=survey)
    assert (made.status_code, known in made.text) == (201, False)
    entry = {
        "request": {"method": "POST", "url": "Observation", "ifNoneExist": criteria},
        "resource": survey,
    }
    bundled = await agency.post("", _bundle(entry))
    assert bundled.json()["entry"][0]["response"]["status"].startswith("201")
    assert known not in bundled.text
    whole = await _with(world, OBSERVATIONS)
    several = await world.http.post(
        "/fhir/Observation", headers=whole.headers | {"if-none-exist": criteria}, json=survey
    )
    assert several.status_code == 412, "there are three by now"
