"""Danger told in a response: what must exist when its transaction commits, and when nothing must."""

from __future__ import annotations

from typing import Any

import pytest

from app.care.data_files import packaged
from app.care.questionnaires.escalation import NEUTRAL
from app.care.questionnaires.risk import risks
from tests.care.conftest import (
    HARBOR,
    RIVER,
    SHELTER,
    Json,
    World,
    created,
    found,
    new_patient,
    reference,
    saved,
)
from tests.care.instruments import booleans, phq9, phq9_answers, questionnaire, response

CALM = (1, 1, 1, 1, 1, 1, 1, 1, 0)
CSSRS_ITEMS = ("93246-7", "93247-5", "93248-3", "93249-1", "93250-9", "93267-3", "93269-9")


def c_ssrs() -> Json:
    asked = booleans("93373-9", 7)
    for item, code in zip(asked["item"], CSSRS_ITEMS, strict=True):
        item["linkId"] = f"q{code}"
        item["code"] = [{"system": "http://loinc.org", "code": code}]
    return asked


def safety() -> Json:
    url = "https://throughline.example/fhir/Questionnaire/safety-check-in"
    names = ("place", "known", "contact")
    return questionnaire(None, [{"linkId": name, "type": "integer"} for name in names], url=url)


def level(asked: Json, answers: dict[str, Any], **more: Any) -> list[tuple[str, bool]]:
    return [(each.level, each.escalate) for each in risks(asked, response(answers, **more))]


@pytest.mark.parametrize(
    ("item_9", "expected"),
    [(0, []), (1, [("moderate", True)]), (2, [("high", True)]), (3, [("high", True)])],
)
def test_the_ninth_item_of_phq_9(item_9: int, expected: list[tuple[str, bool]]) -> None:
    assert level(phq9(), phq9_answers(*[0] * 8, item_9)) == expected


@pytest.mark.parametrize(
    ("yes", "expected"),
    [
        ((), []),
        (("93246-7",), [("low", False)]),
        (("93247-5",), [("low", False)]),
        (("93246-7", "93248-3"), [("moderate", True)]),
        (("93267-3",), [("moderate", True)]),
        (("93249-1",), [("high", True)]),
        (("93246-7", "93247-5", "93250-9"), [("high", True)]),
        (("93267-3", "93269-9"), [("high", True)]),
    ],
)
def test_the_tiers_of_the_c_ssrs_screener(
    yes: tuple[str, ...], expected: list[tuple[str, bool]]
) -> None:
    answers = {f"q{code}": code in yes for code in CSSRS_ITEMS}
    assert level(c_ssrs(), answers) == expected


def test_the_finding_of_the_c_ssrs_screener_is_its_suicide_risk_level() -> None:
    (found,) = risks(c_ssrs(), response({"q93250-9": True}))
    assert (found.system, found.code) == ("http://loinc.org", "93374-7")
    assert found.answer == ("http://loinc.org", "LA9193-9")


def test_every_rule_says_where_it_comes_from() -> None:
    for rule in packaged("risk-rules.json")["rules"]:
        assert rule["because"]
        assert rule["sources"]


@pytest.mark.parametrize(
    ("place", "known", "contact", "expected"),
    [
        (0, 0, 0, []),
        (1, 0, 0, [("low", False)]),
        (0, 2, 0, [("moderate", True)]),
        (0, 0, 2, [("moderate", True)]),
        (2, 2, 0, [("high", True)]),
        (0, 2, 1, [("high", True)]),
    ],
)
def test_our_own_safety_check_in(
    place: int, known: int, contact: int, expected: list[tuple[str, bool]]
) -> None:
    answers = {"place": place, "known": known, "contact": contact}
    assert level(safety(), answers) == expected


def test_a_stopped_response_tells_as_much_as_a_finished_one() -> None:
    assert level(phq9(), {"item-9": "LA6571-9"}, status="stopped") == [("high", True)]
    assert level(phq9(), {"item-9": "LA6571-9"}, status="entered-in-error") == []


async def everything(world: World, agency: str) -> dict[str, list[Json]]:
    types = ("Observation", "RiskAssessment", "Flag", "Task", "Communication", "Condition")
    return {type_: await found(world[agency], f"/{type_}") for type_ in types}


async def answered(world: World, asked: Json, answers: dict[str, Any], **more: Any) -> Json:
    patient = await new_patient(world[RIVER])
    stored = await created(world[RIVER], asked)
    given = response(
        answers,
        f"Questionnaire/{stored['id']}",
        subject=reference(f"Patient/{patient}"),
        **more,
    )
    return await created(world[RIVER], given)


async def test_c_ssrs_question_5_opens_a_stat_task_with_the_response(world: World) -> None:
    given = await answered(world, c_ssrs(), {"q93250-9": True})
    made = await everything(world, RIVER)
    assert {type_: len(each) for type_, each in made.items()} == {
        **dict.fromkeys(("Observation", "RiskAssessment", "Flag", "Task", "Communication"), 1),
        "Condition": 0,
    }
    (task,), (finding,) = made["Task"], made["Observation"]
    assert (task["priority"], task["status"]) == ("stat", "requested")
    assert task["for"] == given["subject"]
    assert task["owner"] == reference(f"Organization/{RIVER}")
    assert finding["derivedFrom"] == [reference(f"QuestionnaireResponse/{given['id']}")]
    (assessment,) = made["RiskAssessment"]
    assert task["focus"] == reference(f"RiskAssessment/{assessment['id']}")
    assert assessment["basis"] == [reference(f"Observation/{finding['id']}")]
    assert assessment["prediction"][0]["qualitativeRisk"]["coding"][0]["code"] == "high"
    # The same transaction: nothing between the response and who is asked to act.
    since = given["meta"]["lastUpdated"]
    assert {each["meta"]["lastUpdated"] for each in (task, finding, assessment)} == {since}


async def test_the_notification_is_neutral(world: World) -> None:
    await answered(world, phq9(), phq9_answers(*[0] * 8, 3))
    (told,) = await found(world[RIVER], "/Communication")
    assert told["payload"] == [{"contentString": NEUTRAL}]
    words = NEUTRAL.lower()
    assert not any(word in words for word in ("risk", "suicid", "harm", "safety", "patient"))


async def test_what_follows_carries_the_labels_of_the_response(world: World) -> None:
    label = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "SDV"}
    await answered(world, phq9(), phq9_answers(*[0] * 8, 3), meta={"security": [label]})
    for type_, resources in (await everything(world, RIVER)).items():
        for each in resources:
            codes = {coding["code"] for coding in each["meta"]["security"]}
            assert "SDV" in codes, type_


async def test_nobody_without_consent_sees_what_follows(world: World) -> None:
    await answered(world, phq9(), phq9_answers(*[0] * 8, 3))
    for agency in (HARBOR, SHELTER):
        assert not any((await everything(world, agency)).values())


async def test_a_calm_response_opens_nothing(world: World) -> None:
    await answered(world, phq9(), phq9_answers(*CALM))
    assert not any((await everything(world, RIVER)).values())


async def test_low_risk_is_written_down_and_asks_nobody_to_run(world: World) -> None:
    await answered(world, c_ssrs(), {"q93246-7": True})
    made = await everything(world, RIVER)
    assert [type_ for type_, each in made.items() if each] == ["Observation", "RiskAssessment"]


async def test_the_same_danger_is_told_once_and_a_graver_one_again(world: World) -> None:
    given = await answered(world, phq9(), phq9_answers(*[0] * 8, 1))
    given = await saved(world[RIVER], given | {"status": "amended"})
    assert len(await found(world[RIVER], "/Task")) == 1
    worse = response(phq9_answers(*[0] * 8, 3))["item"]
    await saved(world[RIVER], given | {"item": worse})
    levels = {
        each["prediction"][0]["qualitativeRisk"]["coding"][0]["code"]
        for each in await found(world[RIVER], "/RiskAssessment")
    }
    assert levels == {"moderate", "high"}


async def test_a_refused_transaction_leaves_no_task(world: World) -> None:
    patient = await new_patient(world[RIVER])
    stored = await created(world[RIVER], phq9())
    given = response(
        phq9_answers(*[0] * 8, 3),
        f"Questionnaire/{stored['id']}",
        subject=reference(f"Patient/{patient}"),
    )
    given["item"].append({"linkId": "unasked", "answer": [{"valueBoolean": True}]})
    assert (await world[RIVER].post("/QuestionnaireResponse", given)).status_code == 422
    assert not any((await everything(world, RIVER)).values())


async def test_an_anonymous_response_has_no_subject_and_names_nobody(world: World) -> None:
    stored = await created(world[SHELTER], safety())
    given = await created(
        world[SHELTER],
        response({"place": 2, "known": 2, "contact": 2}, f"Questionnaire/{stored['id']}"),
    )
    assert "subject" not in given
    assert not any((await everything(world, SHELTER)).values())
    assert (await world[RIVER].get(f"/QuestionnaireResponse/{given['id']}")).status_code == 404


async def test_a_positive_trafficking_screen_makes_no_condition(world: World) -> None:
    asked = questionnaire(
        None,
        [
            {
                "linkId": "work",
                "type": "boolean",
                "code": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "Z91.42"}],
            }
        ],
    )
    given = await answered(world, asked, {"work": True})
    assert await found(world[RIVER], "/Condition") == []
    # The question itself tells: who answers it is protected as the answer is.
    stored = (await world[RIVER].get(f"/QuestionnaireResponse/{given['id']}")).json()
    assert "SDV" in {coding["code"] for coding in stored["meta"]["security"]}
