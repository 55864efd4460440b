"""`$extract`, `$populate` and `$outcomes` over HTTP, each as its caller may see."""

from __future__ import annotations

from typing import Any

import pytest

from app.fhir_mappings.validate import validate
from tests.care.conftest import (
    HARBOR,
    LEGAL,
    RIVER,
    Json,
    World,
    created,
    found,
    new_patient,
    reference,
    release,
    saved,
)
from tests.care.instruments import numbered, phq9, phq9_answers, questionnaire, response

SDC = "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire"
TRANSLATION = "http://hl7.org/fhir/StructureDefinition/translation"


def coded(link_id: str, type_: str, code: str, **more: Any) -> Json:
    return {"linkId": link_id, "type": type_, "code": [{"system": "s", "code": code}]} | more


def extracting(*items: Json, **more: Any) -> Json:
    url = f"{SDC}-observationExtract"
    return questionnaire(None, list(items), extension=[{"url": url, "valueBoolean": True}], **more)


async def answer(
    world: World, asked: Json, answers: dict[str, Any], patient: str | None = None, **more: Any
) -> str:
    """The path of a stored response to a stored Questionnaire."""
    stored = await created(world[RIVER], asked)
    subject = {"subject": reference(f"Patient/{patient}")} if patient else {}
    given = response(answers, f"Questionnaire/{stored['id']}", **subject, **more)
    return f"/QuestionnaireResponse/{(await created(world[RIVER], given))['id']}"


async def test_pcl_5_answers_summing_to_40_give_a_score_of_40(world: World) -> None:
    patient = await new_patient(world[RIVER])
    path = await answer(
        world, numbered("101697-1", 20, 4), {f"{n}": "a2" for n in range(1, 21)}, patient
    )
    bundle = (await world[RIVER].get(f"{path}/$extract")).json()
    assert validate(bundle, expected_type="Bundle") == []
    score, provenance = [entry["resource"] for entry in bundle["entry"]]
    assert score["valueQuantity"]["value"] == 40
    assert score["code"]["coding"][0]["code"] == "101698-9"
    assert score["derivedFrom"] == [reference(path[1:])]
    assert score["subject"] == reference(f"Patient/{patient}")
    assert provenance["target"] == [reference(bundle["entry"][0]["fullUrl"])]
    assert provenance["entity"][0]["what"] == reference(path[1:])


async def test_nothing_is_stored_unless_it_is_asked_for(world: World) -> None:
    patient = await new_patient(world[RIVER])
    path = await answer(world, phq9(), phq9_answers(*[1] * 8, 0), patient)
    assert (await world[RIVER].get(f"{path}/$extract")).json()["type"] == "transaction"
    assert (await world[RIVER].post(f"{path}/$extract", {})).json()["type"] == "transaction"
    assert await found(world[RIVER], "/Observation") == []
    assert (await world[RIVER].get(f"{path}/$extract?store=true")).status_code == 400
    stored = (await world[RIVER].post(f"{path}/$extract?store=true", {})).json()
    assert [e["response"]["status"] for e in stored["entry"]] == ["201", "201"]
    (score,) = await found(world[RIVER], f"/Observation?derived-from={path[1:]}")
    (provenance,) = await found(world[RIVER], f"/Provenance?target=Observation/{score['id']}")
    assert provenance["agent"][0]["who"] == reference(f"Organization/{RIVER}")


async def test_storing_again_corrects_the_same_observation(world: World) -> None:
    patient = await new_patient(world[RIVER])
    path = await answer(world, phq9(), phq9_answers(*[1] * 8, 0), patient)
    await world[RIVER].post(f"{path}/$extract?store=true", {})
    given = (await world[RIVER].get(path)).json()
    more = response(phq9_answers(*[2] * 8, 0))["item"]
    await saved(world[RIVER], given | {"status": "amended", "item": more})
    await world[RIVER].post(f"{path}/$extract?store=true", {})
    (score,) = await found(world[RIVER], "/Observation")
    assert (score["valueQuantity"]["value"], score["meta"]["versionId"]) == (16, "2")


async def test_each_type_of_answer_becomes_a_value(world: World) -> None:
    kinds: dict[str, tuple[Json, str, Any]] = {
        "boolean": ({"valueBoolean": True}, "valueBoolean", True),
        "integer": ({"valueInteger": 3}, "valueInteger", 3),
        "decimal": ({"valueDecimal": 1.5}, "valueQuantity", {"value": 1.5}),
        "string": ({"valueString": "w"}, "valueString", "w"),
        "date": ({"valueDate": "2026-03-01"}, "valueDateTime", "2026-03-01"),
        "time": ({"valueTime": "08:00:00"}, "valueTime", "08:00:00"),
        "url": ({"valueUri": "https://e.org"}, "valueString", "https://e.org"),
        "choice": (
            {"valueCoding": {"code": "x"}},
            "valueCodeableConcept",
            {"coding": [{"code": "x"}]},
        ),
    }
    asked = extracting(*(coded(kind, kind, kind) for kind in kinds))
    path = await answer(world, asked, {kind: given for kind, (given, _, _) in kinds.items()})
    bundle = (await world[RIVER].get(f"{path}/$extract")).json()
    made = {
        entry["resource"]["code"]["coding"][0]["code"]: entry["resource"]
        for entry in bundle["entry"][:-1]
    }
    assert {kind: made[kind][name] for kind, (_, name, _) in kinds.items()} == {
        kind: expected for kind, (_, _, expected) in kinds.items()
    }
    assert "subject" not in made["boolean"]


async def test_only_marked_and_coded_questions_are_extracted(world: World) -> None:
    no = [{"url": f"{SDC}-observationExtract", "valueBoolean": False}]
    asked = extracting(
        {"linkId": "uncoded", "type": "boolean"},
        coded("unmarked", "boolean", "unmarked", extension=no),
        coded("marked", "boolean", "marked"),
    )
    path = await answer(world, asked, {"uncoded": True, "unmarked": True, "marked": True})
    bundle = (await world[RIVER].get(f"{path}/$extract")).json()
    codes = [e["resource"]["code"]["coding"][0]["code"] for e in bundle["entry"][:-1]]
    assert codes == ["marked"]


async def test_a_response_to_an_unknown_questionnaire_says_so(world: World) -> None:
    given = await created(world[RIVER], response({"a": True}, "https://example.org/unknown"))
    refused = await world[RIVER].get(f"/QuestionnaireResponse/{given['id']}/$extract")
    assert refused.status_code == 422
    assert refused.json()["issue"][0]["expression"] == ["QuestionnaireResponse.questionnaire"]


async def test_a_hidden_response_is_as_missing(world: World) -> None:
    patient = await new_patient(world[RIVER])
    path = await answer(world, phq9(), phq9_answers(*[1] * 9), patient)
    hidden = await world[LEGAL].get(f"{path}/$extract")
    missing = await world[LEGAL].get("/QuestionnaireResponse/none/$extract")
    assert (hidden.status_code, hidden.content) == (404, missing.content)


def spanish(text: str) -> Json:
    parts = [{"url": "lang", "valueCode": "es"}, {"url": "content", "valueString": text}]
    return {"extension": [{"url": TRANSLATION, "extension": parts}]}


@pytest.mark.parametrize(
    ("accept", "text", "language"),
    [
        ("es", "¿Duerme bien?", "es"),
        ("es-MX, en;q=0.5", "¿Duerme bien?", "es"),
        ("en", "Do you sleep well?", "en"),
        ("fr", "Do you sleep well?", "en"),
        ("fr, es;q=0.8, en;q=0.9", "Do you sleep well?", "en"),
    ],
)
async def test_populate_asks_in_the_language_of_the_request(
    world: World, accept: str, text: str, language: str
) -> None:
    patient = await new_patient(world[RIVER])
    item = coded("sleep", "boolean", "c", text="Do you sleep well?", _text=spanish("¿Duerme bien?"))
    stored = await created(world[RIVER], questionnaire(None, [item], language="en"))
    path = f"/Questionnaire/{stored['id']}/$populate?subject=Patient/{patient}"
    made = await world[RIVER].get(path, **{"Accept-Language": accept})
    assert made.headers["content-language"] == language
    assert (made.json()["item"][0]["text"], made.json()["language"]) == (text, language)
    assert made.json()["item"][0]["linkId"] == "sleep"


async def test_populate_fills_in_what_is_known_and_may_be_seen(world: World) -> None:
    patient = await new_patient(world[RIVER])
    subject = reference(f"Patient/{patient}")
    period = [
        {
            "url": f"{SDC}-observationLinkPeriod",
            "valueDuration": {"value": 1, "system": "http://unitsofmeasure.org", "code": "a"},
        }
    ]
    items = [
        coded("pain", "decimal", "pain", extension=period),
        coded("old", "decimal", "old", extension=period),
        coded("start", "integer", "start", initial=[{"valueInteger": 2}]),
        {"linkId": "g", "type": "group", "item": [coded("in", "string", "in")]},
    ]
    stored = await created(
        world[RIVER], questionnaire(None, items, url="https://example.org/q", version="7")
    )
    for code, when, value in (
        ("pain", "2026-06-01T10:00:00Z", 4),
        ("pain", "2026-09-01T10:00:00Z", 7),
        ("old", "2015-01-01T10:00:00Z", 9),
    ):
        await created(
            world[RIVER],
            {
                "resourceType": "Observation",
                "status": "final",
                "code": {"coding": [{"system": "s", "code": code}]},
                "subject": subject,
                "effectiveDateTime": when,
                "valueQuantity": {"value": value},
            },
        )
    path = f"/Questionnaire/{stored['id']}/$populate"
    body = {
        "resourceType": "Parameters",
        "parameter": [{"name": "subject", "valueReference": subject}],
    }
    made = (await world[RIVER].post(path, body)).json()
    answers = {item["linkId"]: item.get("answer") for item in made["item"]}
    assert answers == {
        "pain": [{"valueDecimal": 7}],
        "old": None,
        "start": [{"valueInteger": 2}],
        "g": None,
    }
    assert made["questionnaire"] == "https://example.org/q|7"
    assert validate(made, expected_type="QuestionnaireResponse") == []
    await created(world[RIVER], release(patient, HARBOR, "Patient"))
    less = (await world[HARBOR].get(f"{path}?subject=Patient/{patient}")).json()
    assert "answer" not in less["item"][0]
    assert (await world[LEGAL].get(f"{path}?subject=Patient/{patient}")).status_code == 404
    assert (await world[LEGAL].get(path)).status_code == 422


async def score(world: World, patient: str, code: str, when: str, value: int) -> None:
    await created(
        world[RIVER],
        {
            "resourceType": "Observation",
            "status": "final",
            "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
            "subject": reference(f"Patient/{patient}"),
            "effectiveDateTime": when,
            "valueQuantity": {"value": value},
        },
    )


def told(parameters: Json) -> dict[str, dict[str, Any]]:
    """instrument → name → value of the simple parts."""
    return {
        parts["instrument"]: parts
        for each in parameters.get("parameter", ())
        for parts in [
            {
                part["name"]: next(v for k, v in part.items() if k.startswith("value"))
                for part in each["part"]
                if "part" not in part and part["name"] != "code"
            }
        ]
    }


async def test_outcomes_tell_baseline_against_six_months(world: World) -> None:
    patient = await new_patient(world[RIVER])
    for code, when, value in (
        ("44261-6", "2026-01-10", 18),
        ("44261-6", "2026-04-10", 15),
        ("44261-6", "2026-07-10", 13),
        ("101698-9", "2026-01-10", 50),
        ("101698-9", "2026-07-10", 44),
        ("70274-6", "2026-01-10", 9),
    ):
        await score(world, patient, code, when, value)
    made = (await world[RIVER].get(f"/Patient/{patient}/$outcomes")).json()
    assert validate(made, expected_type="Parameters") == []
    assert told(made) == {
        "phq-9": {
            "domain": "symptoms",
            "instrument": "phq-9",
            "change": -5,
            "direction": "better",
            "reliable": False,
            "meaningful": True,
        },
        "gad-7": {"domain": "symptoms", "instrument": "gad-7"},
        "pcl-5": {
            "domain": "symptoms",
            "instrument": "pcl-5",
            "change": -6,
            "direction": "better",
            "reliable": True,
            "meaningful": False,
        },
    }
    narrowed = (await world[RIVER].get(f"/Patient/{patient}/$outcomes?date=ge2026-04-01")).json()
    assert told(narrowed)["phq-9"]["change"] == -2


async def test_outcomes_are_those_of_the_scores_that_may_be_seen(world: World) -> None:
    patient = await new_patient(world[RIVER])
    await score(world, patient, "44261-6", "2026-01-10", 18)
    await created(world[RIVER], release(patient, HARBOR, "Patient"))
    seen = (await world[HARBOR].get(f"/Patient/{patient}/$outcomes")).json()
    assert seen == {"resourceType": "Parameters"}
    hidden = await world[LEGAL].get(f"/Patient/{patient}/$outcomes")
    missing = await world[LEGAL].get("/Patient/none/$outcomes")
    assert (hidden.status_code, hidden.content) == (404, missing.content)
