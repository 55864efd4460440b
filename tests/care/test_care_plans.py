"""Care plans: pathways applied in one transaction, words kept, editors told of each other, progress."""

from __future__ import annotations

from typing import Any

import pytest

from app.care.plans.apply import PERFORMER
from app.fhir_mappings.validate import validate
from app.interactions.version_diff import differences
from tests.care.conftest import (
    HARBOR,
    LEGAL,
    NEED,
    RIVER,
    SHELTER,
    Json,
    World,
    concept,
    created,
    diagnostics,
    found,
    new_patient,
    reference,
    release,
    saved,
    service_request,
)


def performer(name: str) -> list[Json]:
    return [{"url": PERFORMER, "valueReference": reference(f"Organization/{name}")}]


def activity(id_: str, need: str, **more: Any) -> Json:
    return {
        "resourceType": "ActivityDefinition",
        "id": id_,
        "status": "active",
        "kind": "ServiceRequest",
        "code": concept(NEED, need),
    } | more


def pathway(**more: Any) -> Json:
    """Housing by the shelter, legal aid, and a clinic visit for who was born before 2010."""
    return {
        "resourceType": "PlanDefinition",
        "status": "active",
        "title": "First weeks",
        "url": "https://example.org/first-weeks",
        "version": "1",
        "contained": [
            activity("house", "housing", extension=performer(SHELTER)),
            activity("law", "legal"),
            activity("visit", "health"),
        ],
        "goal": [{"description": {"text": "A place to stay"}}],
        "action": [
            {
                "title": "Arrive",
                "groupingBehavior": "logical-group",
                "action": [
                    {"title": "Housing", "priority": "urgent", "definitionCanonical": "#house"},
                    {
                        "title": "Legal aid",
                        "definitionCanonical": "#law",
                        "extension": performer(LEGAL),
                    },
                ],
            },
            {
                "title": "Clinic",
                "definitionCanonical": "#visit",
                "condition": [
                    {
                        "kind": "applicability",
                        "expression": {
                            "language": "text/fhirpath",
                            "expression": "Patient.birthDate < @2010-01-01",
                        },
                    }
                ],
            },
        ],
    } | more


async def person(world: World, born: str = "1997-03-14") -> str:
    made = await created(world[RIVER], {"resourceType": "Patient", "birthDate": born})
    return str(made["id"])


def only(actions: list[Json]) -> Json:
    """The pathway with these actions, and of its definitions those that they use."""
    plan = pathway(action=actions)
    plan["contained"] = [c for c in plan["contained"] if f"'#{c['id']}'" in str(actions)]
    return plan if plan["contained"] else {k: v for k, v in plan.items() if k != "contained"}


def kinds(resources: list[Json]) -> dict[str, int]:
    names = [each["resourceType"] for each in resources]
    return {name: names.count(name) for name in names}


async def test_apply_answers_the_care_plan_and_stores_nothing(world: World) -> None:
    patient = await person(world)
    plan = await created(world[RIVER], pathway())
    path = f"/PlanDefinition/{plan['id']}/$apply?subject=Patient/{patient}"
    made = (await world[RIVER].get(path)).json()
    assert validate(made, expected_type="CarePlan") == []
    assert kinds(made["contained"]) == {
        "Goal": 1,
        "ServiceRequest": 3,
        "Task": 2,
        "RequestGroup": 1,
    }
    assert made["instantiatesCanonical"] == ["https://example.org/first-weeks|1"]
    assert await found(world[RIVER], "/CarePlan") == []
    assert (await world[RIVER].get(f"{path}&store=true")).status_code == 400


async def test_one_call_opens_everything_in_one_transaction(world: World) -> None:
    patient = await person(world)
    plan = await created(world[RIVER], pathway())
    for agency in (SHELTER, LEGAL):
        await created(world[RIVER], release(patient, agency))
    path = f"/PlanDefinition/{plan['id']}/$apply?subject=Patient/{patient}&store=true"
    bundle = (await world[RIVER].post(path, {})).json()
    stored = [entry["resource"] for entry in bundle["entry"]]
    assert kinds(stored) == {
        "CarePlan": 1,
        "Goal": 1,
        "ServiceRequest": 3,
        "Task": 2,
        "RequestGroup": 1,
    }
    assert len({each["meta"]["lastUpdated"] for each in stored}) == 1
    for agency in (SHELTER, LEGAL):
        (task,) = await found(world[agency], f"/Task?owner=Organization/{agency}&status=requested")
        assert task["basedOn"] == [reference(f"CarePlan/{stored[0]['id']}")]
    group = stored[-1]
    assert [each["title"] for each in group["action"]] == ["Arrive", "Clinic"]
    inner = group["action"][0]["action"]
    assert [each["priority"] for each in inner if "priority" in each] == ["urgent"]
    assert all(each["resource"]["reference"].startswith("ServiceRequest/") for each in inner)


async def test_without_one_consent_nothing_of_the_pathway_is_opened(world: World) -> None:
    patient = await person(world)
    plan = await created(world[RIVER], pathway())
    await created(world[RIVER], release(patient, SHELTER))
    path = f"/PlanDefinition/{plan['id']}/$apply?subject=Patient/{patient}&store=true"
    refused = await world[RIVER].post(path, {})
    assert refused.status_code == 422
    assert "Consent" in diagnostics(refused)
    assert await found(world[RIVER], "/CarePlan") == []
    assert await found(world[RIVER], "/Task") == []


async def test_an_action_whose_condition_fails_is_left_out(world: World) -> None:
    patient = await person(world, "2015-01-01")
    plan = await created(world[RIVER], pathway())
    path = f"/PlanDefinition/{plan['id']}/$apply?subject=Patient/{patient}"
    made = (await world[RIVER].get(path)).json()
    assert kinds(made["contained"])["ServiceRequest"] == 2


@pytest.mark.parametrize(
    "broken",
    [
        {"definitionCanonical": "#nothing"},
        {"definitionCanonical": "https://example.org/unknown"},
        {
            "condition": [
                {
                    "kind": "applicability",
                    "expression": {"language": "text/cql", "expression": "Is Adult"},
                }
            ]
        },
        {
            "condition": [
                {
                    "kind": "applicability",
                    "expression": {"language": "text/fhirpath", "expression": "Patient.where("},
                }
            ]
        },
        {
            "dynamicValue": [
                {"path": "x", "expression": {"language": "text/cql", "expression": "y"}}
            ]
        },
    ],
)
async def test_what_cannot_be_carried_out_exactly_is_refused(world: World, broken: Json) -> None:
    patient = await person(world)
    plan = await created(world[RIVER], only([{"title": "x"} | broken]))
    path = f"/PlanDefinition/{plan['id']}/$apply?subject=Patient/{patient}"
    refused = await world[RIVER].get(path)
    assert refused.status_code == 422
    assert refused.json()["issue"][0]["expression"][0].startswith("PlanDefinition.action[0]")


async def test_a_choice_between_actions_stays_a_proposal(world: World) -> None:
    patient = await person(world)
    await created(world[RIVER], release(patient, SHELTER))
    choice = pathway()["action"][0] | {"selectionBehavior": "exactly-one"}
    plan = await created(world[RIVER], only([choice]))
    path = f"/PlanDefinition/{plan['id']}/$apply?subject=Patient/{patient}"
    contained = (await world[RIVER].get(path)).json()["contained"]
    assert "Task" not in kinds(contained)
    intents = {e["intent"] for e in contained if e["resourceType"] == "ServiceRequest"}
    assert intents == {"proposal"}


async def test_a_hidden_person_is_as_missing(world: World) -> None:
    patient = await person(world)
    plan = await created(world[RIVER], pathway())
    path = f"/PlanDefinition/{plan['id']}/$apply?subject=Patient/"
    hidden = await world[LEGAL].get(path + patient)
    missing = await world[LEGAL].get(path + "none")
    assert (hidden.status_code, hidden.content) == (404, missing.content)


def goal(patient: str, **more: Any) -> Json:
    who = reference(f"Patient/{patient}")
    return {
        "resourceType": "Goal",
        "lifecycleStatus": "active",
        "description": {"text": "Paint again, by the window."},
        "subject": who,
        "expressedBy": who,
        "note": [{"authorReference": who, "text": "In the morning."}],
    } | more


@pytest.mark.parametrize(
    "change",
    [
        {"description": {"text": "Improve affect through art therapy."}},
        {"expressedBy": None},
        {"note": [{"text": "Patient reports interest in painting."}]},
        {"note": None},
    ],
)
async def test_staff_cannot_overwrite_the_survivors_words(world: World, change: Json) -> None:
    patient = await new_patient(world[RIVER])
    made = await created(world[RIVER], goal(patient))
    changed = {k: v for k, v in (made | change).items() if v is not None}
    refused = await world[RIVER].put(f"/Goal/{made['id']}", changed)
    assert refused.status_code == 403
    assert refused.json()["issue"][0]["expression"] == [f"Goal.{next(iter(change))}"]
    assert (await world[RIVER].delete(f"/Goal/{made['id']}")).status_code == 403


async def test_staff_note_and_measure_beside_the_survivors_words(world: World) -> None:
    patient = await new_patient(world[RIVER])
    made = await created(world[RIVER], goal(patient))
    more = made | {
        "note": [*made["note"], {"text": "Easel ordered."}],
        "achievementStatus": {"text": "improving"},
    }
    assert (await saved(world[RIVER], more))["meta"]["versionId"] == "2"
    staff = {name: value for name, value in goal(patient).items() if name != "expressedBy"}
    own = await created(world[RIVER], staff)
    assert (await saved(world[RIVER], own | {"description": {"text": "Other words"}}))["id"]


async def test_the_second_editor_is_told_what_the_first_one_touched(world: World) -> None:
    patient = await new_patient(world[RIVER])
    plan = await created(
        world[RIVER],
        {
            "resourceType": "CarePlan",
            "status": "active",
            "intent": "plan",
            "subject": reference(f"Patient/{patient}"),
            "title": "Weeks",
            "activity": [{"detail": {"status": "not-started"}}],
        },
    )
    first = plan | {
        "activity": [{"detail": {"status": "in-progress"}}, {"detail": {"status": "scheduled"}}],
        "note": [{"text": "her sister's name"}],
    }
    await saved(world[RIVER], first)
    refused = await world[RIVER].put(
        f"/CarePlan/{plan['id']}", plan | {"title": "Months"}, If_Match='W/"1"'
    )
    assert refused.status_code == 412
    told = {
        issue["expression"][0]: issue["diagnostics"].split()[0]
        for issue in refused.json()["issue"][1:]
    }
    assert told == {
        "CarePlan.activity[0].detail.status": "Changed",
        "CarePlan.activity[1]": "Added",
        "CarePlan.note": "Added",
    }
    assert "sister" not in refused.text


def test_differences_name_what_was_taken_away() -> None:
    old = {"a": [{"b": 1}, {"b": 2}], "c": {"d": 1}, "meta": 1}
    new = {"a": [{"b": 1}], "c": {}, "meta": 2}
    assert list(differences(old, new, "X")) == [("X.a[1]", "Removed"), ("X.c.d", "Removed")]


async def test_what_is_done_for_a_request_counts_toward_the_plan(world: World) -> None:
    patient = await new_patient(world[RIVER])
    request = await created(world[RIVER], service_request(patient))
    plan = await created(
        world[RIVER],
        {
            "resourceType": "CarePlan",
            "status": "active",
            "intent": "plan",
            "subject": reference(f"Patient/{patient}"),
            "activity": [{"reference": reference(f"ServiceRequest/{request['id']}")}],
        },
    )
    done = {
        "resourceType": "Procedure",
        "status": "in-progress",
        "subject": reference(f"Patient/{patient}"),
        "basedOn": [reference(f"ServiceRequest/{request['id']}")],
    }
    begun = await created(world[RIVER], done)
    assert "outcomeReference" not in (await world[RIVER].get(f"/CarePlan/{plan['id']}")).text
    await saved(world[RIVER], begun | {"status": "completed"})
    now = (await world[RIVER].get(f"/CarePlan/{plan['id']}")).json()
    assert now["activity"][0]["outcomeReference"] == [reference(f"Procedure/{begun['id']}")]
    await saved(world[RIVER], begun | {"status": "completed", "note": [{"text": "again"}]})
    assert (await world[RIVER].get(f"/CarePlan/{plan['id']}")).json() == now


async def test_anothers_plan_is_not_written(world: World) -> None:
    patient = await new_patient(world[RIVER])
    await created(world[RIVER], release(patient, HARBOR))
    code = concept("s", "emdr")
    plan = await created(
        world[RIVER],
        {
            "resourceType": "CarePlan",
            "status": "active",
            "intent": "plan",
            "subject": reference(f"Patient/{patient}"),
            "activity": [{"detail": {"status": "in-progress", "code": code}}],
        },
    )
    await created(
        world[HARBOR],
        {
            "resourceType": "Procedure",
            "status": "completed",
            "subject": reference(f"Patient/{patient}"),
            "code": code,
            "basedOn": [reference(f"CarePlan/{plan['id']}")],
        },
    )
    assert (await world[RIVER].get(f"/CarePlan/{plan['id']}")).json()["meta"]["versionId"] == "1"
    assert len(await found(world[HARBOR], f"/Procedure?based-on=CarePlan/{plan['id']}")) == 1
