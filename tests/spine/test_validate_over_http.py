"""$validate, and writes that claim a profile, over HTTP with profiles that are stored here."""

from __future__ import annotations

from typing import Any

import httpx

from app.interactions.validation import ProfileGuard
from app.interactions.writing import WriteRules
from app.routers.service import Service
from tests.fhir_mappings.profile_sources import (
    OURS,
    REFERRAL_PROFILES,
    US_CORE,
    element,
    profile,
    us_core,
)
from tests.fhir_mappings.test_profiles import RESOURCES, us_patient
from tests.spine.conftest import AGENCIES, World, new_patient, observation

RIVER, HARBOR = AGENCIES[:2]
GOAL = RESOURCES["goal"]


def told(answer: httpx.Response) -> list[tuple[str, str, str]]:
    assert answer.status_code == 200, answer.text
    return [
        (each["severity"], each["code"], each.get("expression", [""])[0])
        for each in answer.json()["issue"]
    ]


def parameters(resource: dict[str, Any], **texts: str) -> dict[str, Any]:
    listed: list[dict[str, Any]] = [{"name": "resource", "resource": resource}]
    listed += [{"name": name, "valueUri": text} for name, text in texts.items()]
    return {"resourceType": "Parameters", "parameter": listed}


async def test_validate_tells_every_fault_and_stores_nothing(world: World) -> None:
    river = world[RIVER]
    narrative = {"text": RESOURCES["care-plan"]["text"]}
    assert told(await river.post("/Goal/$validate", GOAL | narrative)) == [
        ("information", "informational", "")
    ]
    broken = GOAL | {"lifecycleStatus": "over", "colour": "red", "target": [{"detailInteger": 1}]}
    expected = [
        ("error", "code-invalid", "Goal.lifecycleStatus"),
        ("error", "invariant", "Goal.target[0]"),
        ("error", "structure", "Goal.colour"),
        ("warning", "invariant", "Goal"),
    ]
    assert sorted(told(await river.post("/Goal/$validate", broken))) == expected
    assert sorted(told(await river.post("/Goal/$validate", parameters(broken)))) == expected
    assert told(await river.post("/Task/$validate", GOAL)) == [
        ("error", "structure", "resourceType")
    ]
    assert (await river.get("/Goal?_total=accurate")).json()["total"] == 0


async def test_a_stored_profile_is_judged_by_and_its_value_sets_are_found(world: World) -> None:
    river = world[RIVER]
    for source in REFERRAL_PROFILES:
        assert (await river.post("/StructureDefinition", source)).status_code == 201
    value_set = {
        "resourceType": "ValueSet",
        "url": "http://example.org/words",
        "status": "active",
        "compose": {"include": [{"system": "http://a", "concept": [{"code": "x"}]}]},
    }
    assert (await river.post("/ValueSet", value_set)).status_code == 201
    bound = profile(
        "worded-goal",
        "Goal",
        element("Goal.description", binding={"strength": "required", "valueSet": value_set["url"]}),
        baseDefinition=OURS + "goal",
    )
    assert (await river.post("/StructureDefinition", bound)).status_code == 201

    url = OURS + "worded-goal"
    bad = GOAL | {"subject": {"reference": "Group/a"}}
    found = told(await world[HARBOR].post(f"/Goal/$validate?profile={url}", bad))
    assert ("error", "value", "Goal.subject") in found
    assert ("error", "code-invalid", "Goal.description") in found
    coded = GOAL | {"description": {"coding": [{"system": "http://a", "code": "x"}]}}
    found = told(await river.post("/Goal/$validate", parameters(coded, profile=url)))
    assert [each for each in found if each[0] == "error"] == []
    claiming = bad | {"meta": {"profile": [OURS + "goal", "http://example.org/none"]}}
    found = told(await river.post("/Goal/$validate", claiming))
    assert ("error", "value", "Goal.subject") in found
    assert ("warning", "not-found", "Goal.meta.profile") in found
    unknown = told(await river.post("/Goal/$validate?profile=http://example.org/none", GOAL))
    assert ("error", "not-found", "Goal.meta.profile") in unknown


async def test_us_core_is_loaded_as_it_comes_from_its_publisher(world: World) -> None:
    river = world[RIVER]
    for source in us_core():
        answer = await river.post("/StructureDefinition", source)
        assert answer.status_code == 201, answer.text
    path = f"/Patient/$validate?profile={US_CORE}us-core-patient"
    well = told(await river.post(path, us_patient()))
    assert [each for each in well if each[0] == "error"] == []
    # The value sets of race and birth sex are not loaded, and that is told.
    assert ("information", "informational", "Patient.extension[1].value") in well
    broken = us_patient(identifier=[{"value": "1"}], name=[{"use": "usual"}])
    found = told(await river.post(path, broken))
    assert [each for each in found if each[0] == "error"] == [
        ("error", "required", "Patient.identifier[0].system"),
        ("error", "invariant", "Patient"),
    ]


async def test_what_replaces_a_resource_is_judged_for_who_may_read_it(world: World) -> None:
    river, harbor = world[RIVER], world[HARBOR]
    patient = await new_patient(river)
    update = {"resourceType": "Patient", "gender": "x"}
    found = told(await river.post(f"/Patient/{patient}/$validate", update))
    assert ("error", "code-invalid", "Patient.gender") in found
    hidden = await harbor.post(f"/Patient/{patient}/$validate", update)
    missing = await harbor.post("/Patient/none/$validate", update)
    assert (hidden.status_code, hidden.content) == (missing.status_code, missing.content)
    assert hidden.status_code == 404


async def test_a_request_to_validate_that_is_not_understood_is_refused(world: World) -> None:
    river = world[RIVER]
    for path, body, status in (
        ("/Goal/$validate?mode=delete", GOAL, 400),
        ("/Goal/$validate?surprise=1", GOAL, 400),
        ("/Goal/$validate", parameters(GOAL, profil="x"), 400),
        ("/Goal/$validate", {"resourceType": "Parameters"}, 400),
        ("/Goal/$validate", {"resourceType": "Parameters", "parameter": [{"x": 1}]}, 400),
        ("/Goals/$validate", GOAL, 404),
    ):
        answer = await river.post(path, body)
        assert answer.status_code == status, (path, answer.text)


async def test_a_claimed_profile_is_kept_where_the_setting_asks(
    world: World, monkeypatch: Any
) -> None:
    river = world[RIVER]
    patient = {"reference": f"Patient/{await new_patient(river)}"}
    care_team = next(each for each in REFERRAL_PROFILES if each["type"] == "CareTeam")
    assert (await river.post("/StructureDefinition", care_team)).status_code == 201
    url, other = OURS + "care-team", "http://example.org/none"
    bad = {"resourceType": "CareTeam", "subject": patient, "meta": {"profile": [url]}}
    assert (await river.post("/CareTeam", bad)).status_code == 201

    def rules(mode: Any) -> None:
        guards = (ProfileGuard(mode),)
        made = WriteRules((world.service.settings.fhir_base,), guards=guards)
        monkeypatch.setattr(Service, "rules", made)

    rules("known")
    refused = await river.post("/CareTeam", bad)
    assert refused.status_code == 422
    assert refused.json()["issue"][0]["expression"] == ["CareTeam.participant"]
    elsewhere = bad | {"meta": {"profile": [other]}}
    assert (await river.post("/CareTeam", elsewhere)).status_code == 201
    entry = {"resource": bad, "request": {"method": "POST", "url": "CareTeam"}}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
    inside = await river.post("", bundle)
    assert inside.json()["issue"][0]["expression"] == ["Bundle.entry[0].resource.participant"], (
        inside.text
    )
    rules("all")
    assert (await river.post("/CareTeam", elsewhere)).status_code == 422


async def test_the_operations_are_told_by_the_capability_statement(world: World) -> None:
    statement = (await world[RIVER].get("/metadata")).json()
    told_by = {
        each["type"]: {one["name"]: one["definition"] for one in each.get("operation", ())}
        for each in statement["rest"][0]["resource"]
    }
    root = "http://hl7.org/fhir/OperationDefinition/"
    assert told_by["Observation"]["validate"] == root + "Resource-validate"
    assert told_by["ValueSet"]["expand"] == root + "ValueSet-expand"
    assert set(told_by["CodeSystem"]) >= {"lookup", "subsumes", "validate", "validate-code"}


async def test_whether_something_may_be_deleted_is_told_and_nothing_is_deleted(
    world: World,
) -> None:
    river, legal = world[AGENCIES[0]], world[AGENCIES[3]]
    known = await new_patient(river)
    made = (await river.post("/Observation", observation(known))).json()["id"]
    path = f"/Observation/{made}"
    asked = {"resourceType": "Parameters", "parameter": [{"name": "mode", "valueCode": "delete"}]}
    for answer in (
        await river.http.post(f"/fhir{path}/$validate?mode=delete", headers=river.headers),
        await river.post(f"{path}/$validate?mode=delete", asked),
        await river.post(f"{path}/$validate", asked),
    ):
        assert answer.status_code == 200, answer.text
        assert [each["severity"] for each in answer.json()["issue"]] == ["information"]
    assert (await river.get(path)).status_code == 200
    hidden = await legal.post(f"{path}/$validate?mode=delete", asked)
    missing = await legal.post("/Observation/nothing/$validate?mode=delete", asked)
    assert (hidden.status_code, hidden.content) == (404, missing.content)
    token = (await world.token(AGENCIES[0], scope="system/Observation.cr")).json()["access_token"]
    river.headers["Authorization"] = f"Bearer {token}"
    assert (await river.post(f"{path}/$validate?mode=delete", asked)).status_code == 403


async def test_what_a_rule_of_care_would_refuse_to_delete_is_told_as_the_deletion_tells_it(
    world: World,
) -> None:
    river = world[AGENCIES[0]]
    known = await new_patient(river)
    request = {
        "resourceType": "ServiceRequest",
        "status": "active",
        "intent": "order",
        "subject": {"reference": f"Patient/{known}"},
    }
    focus = (await river.post("/ServiceRequest", request)).json()["id"]
    task = {
        "resourceType": "Task",
        "status": "requested",
        "intent": "order",
        "for": {"reference": f"Patient/{known}"},
        "focus": {"reference": f"ServiceRequest/{focus}"},
        "requester": {"reference": f"Organization/{AGENCIES[0]}"},
        "owner": {"reference": f"Organization/{AGENCIES[0]}"},
    }
    made = await river.post("/Task", task)
    assert made.status_code == 201, made.text
    path = f"/Task/{made.json()['id']}"
    asked = {"resourceType": "Parameters", "parameter": [{"name": "mode", "valueCode": "delete"}]}
    told = (await river.post(f"{path}/$validate", asked)).json()["issue"]
    refused = await river.delete(path)
    assert refused.status_code == 422
    assert told == refused.json()["issue"]
