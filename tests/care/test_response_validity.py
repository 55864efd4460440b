"""A QuestionnaireResponse against its Questionnaire: each fault with its place, each right answer through."""

from __future__ import annotations

from typing import Any

import pytest

from app.care.questionnaires.validity import check
from app.fhir_mappings.json_text import Number
from tests.care.conftest import (
    RIVER,
    SHELTER,
    Json,
    World,
    created,
    diagnostics,
    done,
    new_patient,
    post,
    reference,
    saved,
    transaction,
    urn,
)
from tests.care.instruments import option, questionnaire, response

BASE = "http://hl7.org/fhir/StructureDefinition/"


def places(asked: Json, given: Json, **sets: Any) -> list[str]:
    return [issue.expression[0] for issue in check(asked, given, sets)]


def item(type_: str, **more: Any) -> Json:
    return {"linkId": "a", "type": type_} | more


def one(type_: str, answer: Json, **more: Any) -> list[str]:
    return places(questionnaire(None, [item(type_, **more)]), response({"a": answer}))


VALUE = ["QuestionnaireResponse.item[0].answer[0].value"]


@pytest.mark.parametrize(
    ("type_", "answer"),
    [
        ("boolean", {"valueBoolean": False}),
        ("decimal", {"valueDecimal": Number("1.50")}),
        ("integer", {"valueInteger": 3}),
        ("date", {"valueDate": "2026-03-01"}),
        ("dateTime", {"valueDateTime": "2026-03-01"}),
        ("time", {"valueTime": "08:30:00"}),
        ("string", {"valueString": "words"}),
        ("text", {"valueString": "words"}),
        ("url", {"valueUri": "https://example.org"}),
        ("choice", {"valueCoding": {"code": "x"}}),
        ("open-choice", {"valueString": "words"}),
        ("attachment", {"valueAttachment": {"title": "t"}}),
        ("reference", {"valueReference": {"reference": "Patient/x"}}),
        ("quantity", {"valueQuantity": {"value": 1}}),
    ],
)
def test_an_answer_has_the_type_of_its_question(type_: str, answer: Json) -> None:
    assert one(type_, answer) == []
    wrong = {"valueDecimal": 1} if type_ in ("integer", "string", "text") else {"valueUri": "u:x"}
    wrong = {"valueInteger": 1} if type_ == "url" else wrong
    assert one(type_, wrong) == VALUE


@pytest.mark.parametrize("type_", ["group", "display"])
def test_what_asks_nothing_has_no_answer(type_: str) -> None:
    assert one(type_, {"valueBoolean": True}) == ["QuestionnaireResponse.item[0].answer"]


def test_a_choice_is_one_of_those_offered() -> None:
    offered = [option("yes"), {"valueInteger": 3}]
    assert (
        one(
            "choice",
            {"valueCoding": {"system": "http://loinc.org", "code": "yes"}},
            answerOption=offered,
        )
        == []
    )
    assert one("choice", {"valueInteger": 3}, answerOption=offered) == []
    for answer in ({"valueCoding": {"code": "yes"}}, {"valueInteger": 4}, {"valueString": "yes"}):
        assert one("choice", answer, answerOption=offered) == VALUE
    assert one("open-choice", {"valueString": "my own"}, answerOption=offered) == []
    other = {"valueCoding": {"system": "http://loinc.org", "code": "no"}}
    assert one("open-choice", other, answerOption=offered) == VALUE


def test_a_choice_is_one_of_its_value_set() -> None:
    contained = {
        "resourceType": "ValueSet",
        "id": "v",
        "compose": {"include": [{"system": "s", "concept": [{"code": "in"}]}]},
    }
    asked = questionnaire(None, [item("choice", answerValueSet="#v")], contained=[contained])
    inside = response({"a": {"valueCoding": {"system": "s", "code": "in"}}})
    outside = response({"a": {"valueCoding": {"system": "s", "code": "out"}}})
    assert (places(asked, inside), places(asked, outside)) == ([], VALUE)
    asked = questionnaire(None, [item("choice", answerValueSet="http://v")])
    assert check(asked, outside, {"http://v": {("s", "in")}})
    assert not check(asked, outside, {})


def test_one_answer_unless_it_repeats() -> None:
    two = response({})
    two["item"] = [{"linkId": "a", "answer": [{"valueInteger": 1}, {"valueInteger": 2}]}]
    assert places(questionnaire(None, [item("integer")]), two) == [
        "QuestionnaireResponse.item[0].answer"
    ]
    assert places(questionnaire(None, [item("integer", repeats=True)]), two) == []
    limit = {"extension": [{"url": f"{BASE}questionnaire-maxOccurs", "valueInteger": 1}]}
    assert places(questionnaire(None, [item("integer", repeats=True, **limit)]), two)


def test_items_stand_where_they_are_asked() -> None:
    asked = questionnaire(
        None,
        [
            item("group", item=[{"linkId": "b", "type": "boolean"}]),
            {"linkId": "c", "type": "boolean", "item": [{"linkId": "d", "type": "string"}]},
        ],
    )
    right = response({})
    right["item"] = [
        {"linkId": "a", "item": [{"linkId": "b", "answer": [{"valueBoolean": True}]}]},
        {
            "linkId": "c",
            "answer": [
                {
                    "valueBoolean": True,
                    "item": [{"linkId": "d", "answer": [{"valueString": "why"}]}],
                }
            ],
        },
    ]
    assert places(asked, right) == []
    assert places(asked, response({"b": True})) == ["QuestionnaireResponse.item[0].linkId"]
    assert places(asked, response({"z": True})) == ["QuestionnaireResponse.item[0].linkId"]
    wrong = response({"c": True})
    wrong["item"][0]["item"] = [{"linkId": "d"}]
    assert places(asked, wrong) == ["QuestionnaireResponse.item[0].item"]
    twice = response({})
    twice["item"] = [right["item"][0], right["item"][0]]
    assert places(asked, twice) == ["QuestionnaireResponse.item[1].linkId"]


def test_a_group_may_repeat_only_where_it_says_so() -> None:
    group = item("group", repeats=True, item=[{"linkId": "b", "type": "boolean"}])
    twice = response({})
    one_ = {"linkId": "a", "item": [{"linkId": "b", "answer": [{"valueBoolean": True}]}]}
    twice["item"] = [one_, one_]
    assert places(questionnaire(None, [group]), twice) == []


@pytest.mark.parametrize(
    ("operator", "expected", "given", "enabled"),
    [
        ("exists", {"answerBoolean": True}, 3, True),
        ("exists", {"answerBoolean": True}, None, False),
        ("exists", {"answerBoolean": False}, None, True),
        ("=", {"answerInteger": 3}, 3, True),
        ("=", {"answerInteger": 3}, 4, False),
        ("=", {"answerInteger": 3}, None, False),
        ("!=", {"answerInteger": 3}, 4, True),
        ("!=", {"answerInteger": 3}, 3, False),
        (">", {"answerInteger": 3}, 4, True),
        (">", {"answerInteger": 3}, 3, False),
        ("<", {"answerInteger": 3}, 2, True),
        ("<", {"answerInteger": 3}, 3, False),
        (">=", {"answerInteger": 3}, 3, True),
        (">=", {"answerInteger": 3}, 2, False),
        ("<=", {"answerInteger": 3}, 3, True),
        ("<=", {"answerInteger": 3}, 4, False),
    ],
)
def test_enable_when(operator: str, expected: Json, given: int | None, enabled: bool) -> None:
    condition = {"question": "n", "operator": operator} | expected
    asked = questionnaire(
        None,
        [
            {"linkId": "n", "type": "integer"},
            {"linkId": "b", "type": "boolean", "required": True, "enableWhen": [condition]},
        ],
    )
    answers: dict[str, Any] = {} if given is None else {"n": given}
    without = places(asked, response(answers))
    with_answer = places(asked, response(answers | {"b": True}))
    assert (without, bool(with_answer)) == (
        (["QuestionnaireResponse"], False) if enabled else ([], True)
    )


@pytest.mark.parametrize(("behavior", "enabled"), [("any", True), ("all", False), (None, False)])
def test_enable_behavior(behavior: str | None, enabled: bool) -> None:
    conditions = [
        {"question": "n", "operator": "=", "answerInteger": 1},
        {"question": "m", "operator": "=", "answerInteger": 1},
    ]
    last: Json = {"linkId": "b", "type": "boolean", "enableWhen": conditions}
    last |= {"enableBehavior": behavior} if behavior else {}
    asked = questionnaire(
        None, [{"linkId": "n", "type": "integer"}, {"linkId": "m", "type": "integer"}, last]
    )
    assert (places(asked, response({"n": 1, "m": 2, "b": True})) == []) is enabled


def test_what_stands_in_a_disabled_item_is_disabled_and_enables_nothing() -> None:
    def when(question: str) -> Json:
        return {"enableWhen": [{"question": question, "operator": "=", "answerBoolean": True}]}

    asked = questionnaire(
        None,
        [
            {"linkId": "n", "type": "boolean"},
            {
                "linkId": "g",
                "type": "group",
                "item": [{"linkId": "in", "type": "boolean", "required": True}],
            }
            | when("n"),
            {"linkId": "after", "type": "boolean", "required": True} | when("in"),
        ],
    )
    assert places(asked, response({"n": False})) == []
    assert places(asked, response({"n": False, "after": True})) == ["QuestionnaireResponse.item[1]"]


def test_a_circle_of_conditions_enables_nothing() -> None:
    asked = questionnaire(
        None,
        [
            {
                "linkId": name,
                "type": "boolean",
                "enableWhen": [{"question": other, "operator": "exists", "answerBoolean": False}],
            }
            for name, other in (("a", "b"), ("b", "a"))
        ],
    )
    assert len(places(asked, response({"a": True, "b": True}))) >= 1


@pytest.mark.parametrize(
    ("status", "faults"),
    [("completed", 1), ("amended", 1), ("in-progress", 0), ("stopped", 0), ("entered-in-error", 0)],
)
def test_only_a_finished_response_needs_every_required_answer(status: str, faults: int) -> None:
    asked = questionnaire(None, [item("boolean", required=True)])
    assert len(places(asked, response({}, status=status))) == faults


@pytest.mark.parametrize(
    ("type_", "limit", "answer"),
    [
        ("string", {"maxLength": 3}, {"valueString": "long"}),
        ("string", {"url": "minLength", "valueInteger": 5}, {"valueString": "long"}),
        ("integer", {"url": "minValue", "valueInteger": 5}, {"valueInteger": 4}),
        ("integer", {"url": "maxValue", "valueInteger": 5}, {"valueInteger": 6}),
        ("date", {"url": "maxValue", "valueDate": "2026-01-01"}, {"valueDate": "2026-01-02"}),
        (
            "decimal",
            {"url": "maxDecimalPlaces", "valueInteger": 1},
            {"valueDecimal": Number("1.25")},
        ),
        ("quantity", {"url": "minValue", "valueInteger": 5}, {"valueQuantity": {"value": 4}}),
    ],
)
def test_bounds(type_: str, limit: Json, answer: Json) -> None:
    more = limit
    if "url" in limit:
        more = {"extension": [limit | {"url": BASE + limit["url"]}]}
    assert one(type_, answer, **more) == VALUE
    assert one(type_, answer) == []


def test_a_read_only_answer_is_not_the_respondents_to_change() -> None:
    asked = questionnaire(None, [item("integer", readOnly=True, initial=[{"valueInteger": 1}])])
    assert places(asked, response({"a": 1})) == []
    assert places(asked, response({"a": 2})) == ["QuestionnaireResponse.item[0].answer"]
    before, after = response({"a": 1}), response({"a": 2})
    del asked["item"][0]["initial"]
    assert check(asked, after, {}, before)
    assert not check(asked, before, {}, before)


async def test_over_http_each_fault_is_named_and_nothing_is_written(world: World) -> None:
    asked = await created(world[RIVER], questionnaire(None, [item("boolean", required=True)]))
    of = f"Questionnaire/{asked['id']}"
    answer = await world[RIVER].post("/QuestionnaireResponse", response({"b": 1}, of))
    assert answer.status_code == 422
    assert [issue["expression"] for issue in answer.json()["issue"]] == [
        ["QuestionnaireResponse.item[0].linkId"],
        ["QuestionnaireResponse"],
    ]
    bundle = transaction(post(response({"a": 1}, of)))
    answer = await world[RIVER].post("", bundle)
    assert answer.json()["issue"][0]["expression"] == [
        "Bundle.entry[0].resource.QuestionnaireResponse.item[0].answer[0].value"
    ]
    assert "valueBoolean" in diagnostics(answer)


async def test_a_response_is_judged_by_url_by_version_and_in_the_same_transaction(
    world: World,
) -> None:
    url = "https://example.org/q"
    first = questionnaire(None, [item("boolean")], url=url, version="1")
    stored = await done(world[RIVER], transaction(post(first), post(response({"a": True}, url))))
    assert stored[1]["resourceType"] == "QuestionnaireResponse"
    await created(world[RIVER], questionnaire(None, [item("integer")], url=url, version="2"))
    for version, answers, status in (
        ("1", {"a": True}, 201),
        ("1", {"a": 1}, 422),
        ("2", {"a": 1}, 201),
        ("3", {"z": 1}, 201),
    ):
        given = response(answers, f"{url}|{version}")
        answer = await world[SHELTER].post("/QuestionnaireResponse", given)
        assert answer.status_code == status, (version, answer.text)
    entry = urn()
    local = transaction(
        post(first | {"url": "https://example.org/p"}, entry), post(response({"a": 1}, entry))
    )
    assert (await world[RIVER].post("", local)).status_code == 422


async def test_a_partial_response_is_kept_and_finished_later(world: World) -> None:
    patient = await new_patient(world[RIVER])
    asked = await created(
        world[RIVER],
        questionnaire(None, [item("boolean", required=True), {"linkId": "b", "type": "string"}]),
    )
    of = f"Questionnaire/{asked['id']}"
    subject = {"subject": reference(f"Patient/{patient}")}
    part = await created(
        world[RIVER],
        response({"b": {"valueString": "later"}}, of, status="in-progress", **subject),
    )
    refused = await world[RIVER].put(
        f"/QuestionnaireResponse/{part['id']}", part | {"status": "completed"}
    )
    assert refused.status_code == 422
    await saved(world[RIVER], part | {"status": "stopped"})
    whole = [{"linkId": "a", "answer": [{"valueBoolean": True}]}, *part["item"]]
    await saved(world[RIVER], part | {"status": "completed", "item": whole})
