"""SDC's expressions in `$populate`, over HTTP: what is known, as the caller may see it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from app.care.questionnaires.expressions import CONTEXT, INITIAL, LAUNCH, MOST_QUERIES, VARIABLE
from app.fhir_mappings import json_text
from app.fhir_mappings.validate import validate
from tests.care.conftest import (
    HARBOR,
    LEGAL,
    RIVER,
    Json,
    World,
    concept,
    created,
    diagnostics,
    new_patient,
    reference,
    release,
)
from tests.care.instruments import questionnaire

QUERY = "application/x-fhir-query"
PATH = "text/fhirpath"


def expression(url: str, text: str, language: str = PATH, name: str | None = None) -> Json:
    value = {"language": language, "expression": text} | ({"name": name} if name else {})
    return {"url": url, "valueExpression": value}


def initial(text: str, language: str = PATH) -> list[Json]:
    return [expression(INITIAL, text, language)]


def launch(name: str, *types: str) -> Json:
    system = "http://hl7.org/fhir/uv/sdc/CodeSystem/launchContext"
    parts: list[Json] = [{"url": "name", "valueCoding": {"system": system, "code": name}}]
    return {
        "url": LAUNCH,
        "extension": parts + [{"url": "type", "valueCode": each} for each in types],
    }


def item(link_id: str, type_: str, text: str | None = None, **more: Any) -> Json:
    made: Json = {"linkId": link_id, "type": type_}
    return made | ({"extension": initial(text)} if text else {}) | more


async def populated(world: World, asked: Json, patient: str, agency: str = RIVER) -> Json:
    stored = await created(world[RIVER], asked)
    path = f"/Questionnaire/{stored['id']}/$populate?subject=Patient/{patient}"
    answer = await world[agency].get(path)
    assert answer.status_code == 200, answer.text
    made: Json = json_text.parse(answer.content, max_depth=50)
    assert validate(made, expected_type="QuestionnaireResponse") == []
    return made


def answers(made: Json) -> Json:
    return {each["linkId"]: each.get("answer") for each in made.get("item", ())}


async def test_what_is_known_of_the_person_is_not_asked_again(world: World) -> None:
    patient = await created(
        world[RIVER],
        {
            "resourceType": "Patient",
            "name": [
                {"use": "official", "family": "Marlowe", "given": ["Noor", "Ada"]},
                {"use": "usual", "text": "Sky"},
            ],
            "birthDate": "1994-09-08",
            "gender": "female",
            "active": True,
            "multipleBirthInteger": 2,
            "maritalStatus": concept("http://example.org/ms", "S"),
            "communication": [{"language": concept("urn:ietf:bcp:47", "es"), "preferred": True}],
        },
    )
    languages = [
        {"valueCoding": {"system": "urn:ietf:bcp:47", "code": code}} for code in ("en", "es")
    ]
    asked = questionnaire(
        None,
        [
            item("called", "string", "%patient.name.where(use = 'usual').text"),
            item("official", "string", "%patient.name.where(use = 'official').given.join(' ')"),
            item("names", "string", "%patient.name.given", repeats=True),
            item("one", "string", "%patient.name.given"),
            item("born", "date", "%patient.birthDate"),
            item("day", "dateTime", "%patient.birthDate"),
            item("adult", "boolean", "%patient.active"),
            item("twin", "integer", "%patient.multipleBirth"),
            item("half", "decimal", "%patient.multipleBirth / 4"),
            item("who", "reference", "%patient"),
            item("married", "open-choice", "%patient.maritalStatus"),
            item(
                "speaks",
                "choice",
                "%patient.communication.where(preferred = true).language",
                answerOption=languages,
            ),
            item("gender", "choice", "%patient.gender", answerOption=[{"valueString": "female"}]),
            item("wrong", "boolean", "%patient.birthDate"),
            item("empty", "string", "%patient.telecom.value"),
            item("page", "url", "'http://example.org/'"),
        ],
        extension=[launch("patient", "Patient")],
    )
    made = await populated(world, asked, patient["id"])
    assert answers(made) == {
        "called": [{"valueString": "Sky"}],
        "official": [{"valueString": "Noor Ada"}],
        "names": [{"valueString": "Noor"}, {"valueString": "Ada"}],
        "one": [{"valueString": "Noor"}],
        "born": [{"valueDate": "1994-09-08"}],
        "day": [{"valueDateTime": "1994-09-08"}],
        "adult": [{"valueBoolean": True}],
        "twin": [{"valueInteger": 2}],
        "half": [{"valueDecimal": Decimal("0.5")}],
        "who": [{"valueReference": {"reference": f"Patient/{patient['id']}"}}],
        "married": [{"valueCoding": {"system": "http://example.org/ms", "code": "S"}}],
        "speaks": [languages[1]],
        "gender": [{"valueString": "female"}],
        "wrong": None,
        "empty": None,
        "page": [{"valueUri": "http://example.org/"}],
    }


def medicines() -> Json:
    """Asks for each medicine in a group of its own, found by a query."""
    query = "MedicationStatement?patient={{%patient.id}}&status=active&_sort=effective"
    group = {
        "linkId": "medicine",
        "type": "group",
        "repeats": True,
        "extension": [
            expression(CONTEXT, "%found.entry.resource", name="medicine"),
        ],
        "item": [
            item("name", "string", "%medicine.medication.text"),
            item("dose", "quantity", "%medicine.dosage.doseAndRate.dose"),
            item("since", "dateTime", "%medicine.effective"),
        ],
    }
    return questionnaire(
        None,
        [group, item("count", "integer", "%found.entry.count()")],
        extension=[launch("patient", "Patient"), expression(VARIABLE, query, QUERY, "found")],
    )


async def medicine(world: World, patient: str, name: str, agency: str = RIVER) -> None:
    await created(
        world[agency],
        {
            "resourceType": "MedicationStatement",
            "status": "active",
            "medicationCodeableConcept": {"text": name},
            "effectiveDateTime": "2026-01-01" if name == "Sertraline" else "2026-02-01",
            "dosage": [{"doseAndRate": [{"doseQuantity": {"value": 50, "unit": "mg"}}]}],
            "subject": reference(f"Patient/{patient}"),
        },
    )


async def test_a_group_repeats_for_each_resource_that_a_query_finds(world: World) -> None:
    patient = await new_patient(world[RIVER])
    for name in ("Sertraline", "Prazosin"):
        await medicine(world, patient, name)
    made = await populated(world, medicines(), patient)
    groups = [each for each in made["item"] if each["linkId"] == "medicine"]
    assert [answers(each)["name"] for each in groups] == [
        [{"valueString": "Sertraline"}],
        [{"valueString": "Prazosin"}],
    ]
    assert answers(groups[0])["dose"] == [{"valueQuantity": {"value": 50, "unit": "mg"}}]
    assert answers(groups[1])["since"] == [{"valueDateTime": "2026-02-01"}]
    assert answers(made)["count"] == [{"valueInteger": 2}]


async def test_a_query_finds_what_its_caller_may_see_and_nothing_else(world: World) -> None:
    patient, other = await new_patient(world[RIVER]), await new_patient(world[RIVER])
    await medicine(world, patient, "Sertraline")
    await medicine(world, other, "Prazosin")
    await created(world[RIVER], release(patient, HARBOR, "Patient"))
    hidden = await populated(world, medicines(), patient, HARBOR)
    assert answers(hidden) == {"count": [{"valueInteger": 0}]}
    twin = await new_patient(world[RIVER])
    await created(world[RIVER], release(twin, HARBOR, "Patient"))
    empty = await populated(world, medicines(), twin, HARBOR)
    told = [{k: v for k, v in each.items() if k in ("item", "status")} for each in (hidden, empty)]
    assert told[0] == told[1]
    stored = await created(world[RIVER], medicines())
    path = f"/Questionnaire/{stored['id']}/$populate?subject=Patient/{patient}"
    assert (await world[LEGAL].get(path)).status_code == 404


async def test_a_token_without_the_scope_finds_nothing(world: World) -> None:
    patient = await new_patient(world[RIVER])
    await medicine(world, patient, "Sertraline")
    stored = await created(world[RIVER], medicines())
    scope = "system/Questionnaire.rs system/Patient.rs"
    token = (await world.token(RIVER, scope=scope)).json()["access_token"]
    answer = await world.http.get(
        f"/fhir/Questionnaire/{stored['id']}/$populate?subject=Patient/{patient}",
        headers={"Authorization": f"Bearer {token}"},
    )
    assert answers(answer.json()) == {"count": [{"valueInteger": 0}]}


async def test_an_empty_hole_makes_a_query_find_nothing_and_never_more(world: World) -> None:
    patient = await new_patient(world[RIVER])
    await medicine(world, patient, "Sertraline")
    query = "MedicationStatement?patient={{%patient.telecom.value}}"
    asked = questionnaire(
        None,
        [item("count", "integer", "%found.entry.count()")],
        extension=[expression(VARIABLE, query, QUERY, "found")],
    )
    assert answers(await populated(world, asked, patient)) == {"count": [{"valueInteger": 0}]}


async def test_what_stands_in_a_record_adds_no_alternatives_to_a_query(world: World) -> None:
    for value in ("one", "two"):
        await created(world[RIVER], {"resourceType": "Patient", "identifier": [{"value": value}]})
    sly = await created(
        world[RIVER], {"resourceType": "Patient", "identifier": [{"value": "one,two&_count=9"}]}
    )
    query = "Patient?identifier={{%patient.identifier.value}}"
    asked = questionnaire(
        None,
        [item("count", "integer", "%found.entry.count()")],
        extension=[expression(VARIABLE, query, QUERY, "found")],
    )
    assert answers(await populated(world, asked, sly["id"])) == {"count": [{"valueInteger": 1}]}


async def test_a_variable_builds_on_those_before_it_and_holds_where_it_stands(
    world: World,
) -> None:
    patient = await new_patient(world[RIVER])
    inner = item("inner", "string", "%greeting & '!'")
    inner["extension"].append(expression(VARIABLE, "'Good day'", name="greeting"))
    asked = questionnaire(
        None,
        [
            {"linkId": "g", "type": "group", "item": [inner]},
            item("outer", "string", "%greeting"),
            item("today", "date", "today()"),
        ],
        extension=[
            expression(VARIABLE, "'Hello'", name="word"),
            expression(VARIABLE, "%word & ' you'", name="greeting"),
        ],
    )
    made = await populated(world, asked, patient)
    assert answers(made)["outer"] == [{"valueString": "Hello you"}]
    assert answers(made["item"][0])["inner"] == [{"valueString": "Good day!"}]
    assert answers(made)["today"] == [{"valueDate": made["authored"][:10]}]


async def test_a_further_context_is_what_the_caller_may_see(world: World) -> None:
    patient = await new_patient(world[RIVER])
    visit = await created(
        world[RIVER],
        {
            "resourceType": "Encounter",
            "status": "finished",
            "class": {
                "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode",
                "code": "AMB",
            },
            "subject": reference(f"Patient/{patient}"),
            "period": {"start": "2026-03-01T10:00:00Z"},
        },
    )
    asked = questionnaire(
        None,
        [item("when", "dateTime", "%encounter.period.start")],
        extension=[launch("patient", "Patient"), launch("encounter", "Encounter")],
    )
    stored = await created(world[RIVER], asked)
    path = f"/Questionnaire/{stored['id']}/$populate"

    def body(*context: Json) -> Json:
        subject = {"name": "subject", "valueReference": reference(f"Patient/{patient}")}
        return {"resourceType": "Parameters", "parameter": [subject, *context]}

    def context(target: str) -> Json:
        return {
            "name": "context",
            "part": [
                {"name": "name", "valueString": "encounter"},
                {"name": "content", "valueReference": reference(target)},
            ],
        }

    made = (await world[RIVER].post(path, body(context(f"Encounter/{visit['id']}")))).json()
    assert answers(made) == {"when": [{"valueDateTime": "2026-03-01T10:00:00Z"}]}
    without = (await world[RIVER].post(path, body())).json()
    assert answers(without) == {"when": None}
    wrong = await world[RIVER].post(path, body(context(f"Patient/{patient}")))
    assert wrong.status_code == 422
    assert "is to be Encounter" in diagnostics(wrong)
    await created(world[RIVER], release(patient, HARBOR, "Patient"))
    hidden = await world[HARBOR].post(path, body(context(f"Encounter/{visit['id']}")))
    missing = await world[HARBOR].post(path, body(context("Encounter/none")))
    assert (hidden.status_code, hidden.content) == (422, missing.content)


@pytest.mark.parametrize(
    ("text", "language", "says"),
    [
        ("%somebody.name", PATH, "%somebody is not known"),
        ("%patient.name.conformsTwo()", PATH, "conformsTwo is not known"),
        ("%patient.name[", PATH, "cannot be evaluated"),
        ("Patient.name", "text/cql", "text/fhirpath and application/x-fhir-query only"),
        ("Patient/{{%patient.id}}", QUERY, "the search of a type"),
        ("Nobody?a=b", QUERY, "the search of a type"),
        ("Patient?colour=red", QUERY, "no such search parameter"),
        ("Observation?_include=Observation:subject", QUERY, "not for a population"),
    ],
)
async def test_what_cannot_be_evaluated_exactly_is_refused_with_its_place(
    world: World, text: str, language: str, says: str
) -> None:
    patient = await new_patient(world[RIVER])
    asked = questionnaire(
        None,
        [{"linkId": "a", "type": "string", "extension": initial(text, language)}],
    )
    stored = await created(world[RIVER], asked)
    answer = await world[RIVER].get(
        f"/Questionnaire/{stored['id']}/$populate?subject=Patient/{patient}"
    )
    assert answer.status_code == 422
    assert says in diagnostics(answer)
    assert answer.json()["issue"][0]["expression"] == ["Questionnaire.item[0]"]


async def test_a_population_runs_only_so_many_queries(world: World) -> None:
    patient = await new_patient(world[RIVER])
    asked = questionnaire(
        None,
        [item("a", "string")],
        extension=[
            expression(VARIABLE, "Patient?_id={{%patient.id}}", QUERY, f"v{n}")
            for n in range(MOST_QUERIES + 1)
        ],
    )
    stored = await created(world[RIVER], asked)
    answer = await world[RIVER].get(
        f"/Questionnaire/{stored['id']}/$populate?subject=Patient/{patient}"
    )
    assert answer.status_code == 422
    assert f"at most {MOST_QUERIES} queries" in diagnostics(answer)
