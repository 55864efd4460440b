"""Danger that could be missed: told late, told partly, told otherwise, or made to look lighter than it is."""

from __future__ import annotations

from typing import Any

import pytest

from tests.care.conftest import (
    RIVER,
    SHELTER,
    Json,
    World,
    created,
    done,
    found,
    new_patient,
    post,
    reference,
    saved,
    transaction,
    urn,
)
from tests.care.instruments import (
    FREQUENCY,
    LOINC,
    PHQ9_ITEMS,
    booleans,
    phq9,
    phq9_answers,
    questionnaire,
    response,
)

TRANSLATION = "http://hl7.org/fhir/StructureDefinition/translation"
ORDINAL = "http://hl7.org/fhir/StructureDefinition/ordinalValue"
DARK = phq9_answers(*[0] * 8, 3)
CALM = phq9_answers(*[0] * 9)


async def stat(world: World, agency: str = RIVER) -> list[Json]:
    return await found(world[agency], "/Task?priority=stat")


async def about(world: World, asked: Json | None = None) -> tuple[str, dict[str, Any]]:
    """The reference to a stored PHQ-9, and a subject."""
    stored = await created(world[RIVER], asked or phq9())
    patient = await new_patient(world[RIVER])
    return f"Questionnaire/{stored['id']}", {"subject": reference(f"Patient/{patient}")}


async def test_an_amended_response_that_now_tells_of_danger(world: World) -> None:
    of, who = await about(world)
    given = await created(world[RIVER], response(CALM, of, **who))
    assert await stat(world) == []
    await saved(world[RIVER], response(DARK, of, **who) | {"id": given["id"], "status": "amended"})
    assert len(await stat(world)) == 1


async def test_a_patched_answer(world: World) -> None:
    of, who = await about(world)
    given = await created(world[RIVER], response(CALM, of, **who))
    path = "/item/8/answer/0/valueCoding/code"
    answer = await world[RIVER].http.patch(
        f"/fhir/QuestionnaireResponse/{given['id']}",
        headers=world[RIVER].headers | {"Content-Type": "application/json-patch+json"},
        json=[{"op": "replace", "path": path, "value": FREQUENCY[2]}],
    )
    assert answer.status_code == 200, answer.text
    assert len(await stat(world)) == 1


@pytest.mark.parametrize("status", ["in-progress", "stopped"])
async def test_a_response_that_is_not_finished(world: World, status: str) -> None:
    of, who = await about(world)
    await created(world[RIVER], response({"item-9": FREQUENCY[1]}, of, **who, status=status))
    assert len(await stat(world)) == 1


async def test_a_response_in_spanish(world: World) -> None:
    asked = phq9()
    for item in asked["item"]:
        parts = [{"url": "lang", "valueCode": "es"}, {"url": "content", "valueString": "Pregunta"}]
        item["text"] = "Question"
        item["_text"] = {"extension": [{"url": TRANSLATION, "extension": parts}]}
    of, who = await about(world, asked)
    path = f"/{of}/$populate?subject={who['subject']['reference']}"
    begun = (await world[RIVER].get(path, **{"Accept-Language": "es"})).json()
    for item, given in zip(begun["item"], response(DARK)["item"], strict=True):
        item["answer"] = given["answer"]
        item["answer"][0]["valueCoding"]["display"] = "Casi todos los días"
    stored = await created(world[RIVER], begun | {"status": "completed"})
    assert stored["language"] == "es"
    assert len(await stat(world)) == 1


async def test_a_response_in_a_batch_and_in_a_transaction(world: World) -> None:
    of, who = await about(world)
    entry = post(response(DARK, of, **who))
    batch = await world[RIVER].post("", transaction(entry) | {"type": "batch"})
    assert batch.json()["entry"][0]["response"]["status"].startswith("201")
    assert len(await stat(world)) == 1
    await done(world[RIVER], transaction(entry))
    assert len(await stat(world)) == 2


async def test_a_questionnaire_that_comes_within_the_response_or_beside_it(world: World) -> None:
    _, who = await about(world)
    inside = phq9() | {"id": "q"}
    await created(world[RIVER], response(DARK, "#q", **who, contained=[inside]))
    assert len(await stat(world)) == 1
    link, url = urn(), "https://elsewhere.example/Questionnaire/phq"
    for of in (link, f"{url}|2"):
        form = phq9() | {"url": url, "version": "2"}
        await done(world[RIVER], transaction(post(response(DARK, of, **who)), post(form, link)))
    assert len(await stat(world)) == 3


@pytest.mark.parametrize("of", ["http://loinc.org/q/44249-1", None])
async def test_a_form_that_was_never_sent_here_in_the_terms_of_loinc(
    world: World, of: str | None
) -> None:
    patient = await new_patient(world[RIVER])
    answers = {f"/44249-1/{code}": FREQUENCY[0] for code in PHQ9_ITEMS[:8]}
    given = response(answers, subject=reference(f"Patient/{patient}"))
    del given["questionnaire"]
    given |= {"questionnaire": of} if of else {}
    await created(world[RIVER], given)
    assert await stat(world) == []
    dark = response({f"/44249-1/{PHQ9_ITEMS[8]}": FREQUENCY[1]})["item"]
    await created(world[RIVER], given | {"item": [*given["item"], *dark]})
    assert len(await stat(world)) == 1


async def test_a_screener_that_was_never_sent_here(world: World) -> None:
    patient = await new_patient(world[RIVER])
    answers = {"/93373-9/93250-9": {"valueCoding": {"system": LOINC, "code": "LA33-6"}}}
    given = response(answers, "urn:c-ssrs", subject=reference(f"Patient/{patient}"))
    await created(world[RIVER], given)
    assert len(await stat(world)) == 1


async def test_a_response_that_gets_its_subject_later_and_one_that_gets_another(
    world: World,
) -> None:
    of, who = await about(world)
    given = await created(world[RIVER], response(DARK, of))
    assert await stat(world) == []
    given = await saved(world[RIVER], given | who)
    assert [each["for"] for each in await stat(world)] == [who["subject"]]
    other = {"subject": reference(f"Patient/{await new_patient(world[RIVER])}")}
    await saved(world[RIVER], given | other)
    assert other["subject"] in [each["for"] for each in await stat(world)]
    assert len(await stat(world)) == 2


async def test_who_gave_the_answers_is_whom_they_are_about_where_nobody_is_named(
    world: World,
) -> None:
    of, who = await about(world)
    await created(world[RIVER], response(DARK, of, source=who["subject"]))
    assert [each["for"] for each in await stat(world)] == [who["subject"]]


async def test_the_gravest_of_several_answers_counts(world: World) -> None:
    asked = phq9()
    asked["item"][8]["repeats"] = True
    of, who = await about(world, asked)
    given = response(CALM, of, **who)
    given["item"][8]["answer"].append({"valueCoding": {"system": LOINC, "code": FREQUENCY[3]}})
    await created(world[RIVER], given)
    assert len(await stat(world)) == 1


async def test_no_weight_that_the_sender_states_makes_an_answer_lighter(world: World) -> None:
    of, who = await about(world, phq9(weighted=False))
    given = response(DARK, of, **who)
    coding = given["item"][8]["answer"][0]["valueCoding"]
    coding["extension"] = [{"url": ORDINAL, "valueDecimal": 0}]
    await created(world[RIVER], given)
    assert len(await stat(world)) == 1


async def test_an_answer_to_a_question_that_is_not_asked_is_refused_and_tells_nothing(
    world: World,
) -> None:
    asked = phq9()
    gate: Json = {"question": "item-1", "operator": "exists", "answerBoolean": False}
    asked["item"][8]["enableWhen"] = [gate]
    of, who = await about(world, asked)
    answer = await world[RIVER].post("/QuestionnaireResponse", response(DARK, of, **who))
    assert answer.status_code == 422
    assert await stat(world) == []


async def test_a_refused_form_of_a_batch_leaves_the_others_escalated(world: World) -> None:
    of, who = await about(world)
    wrong = response({"item-1": True}, of, **who)
    batch = transaction(post(wrong), post(response(DARK, of, **who))) | {"type": "batch"}
    answer = (await world[RIVER].post("", batch)).json()
    statuses = [each["response"]["status"][:3] for each in answer["entry"]]
    assert statuses == ["422", "201"]
    assert len(await stat(world)) == 1


async def test_an_anonymous_screening_opens_nothing_and_leads_to_nobody(world: World) -> None:
    asked = await created(world[SHELTER], booleans("93373-9", 6))
    given = await created(world[SHELTER], response({"5": True}, f"Questionnaire/{asked['id']}"))
    assert not {"subject", "source", "author", "encounter"} & given.keys()
    assert await stat(world, SHELTER) == []
    for agency in (RIVER,):
        path = f"/QuestionnaireResponse/{given['id']}"
        hidden, missing = (
            await world[agency].get(path),
            await world[agency].get("/QuestionnaireResponse/none"),
        )
        assert (hidden.status_code, hidden.content) == (404, missing.content)
        assert await found(world[agency], "/QuestionnaireResponse") == []


async def test_an_official_form_without_any_code_is_no_instrument(world: World) -> None:
    _, who = await about(world)
    plain = await created(world[RIVER], questionnaire(None, [{"linkId": "a", "type": "boolean"}]))
    await created(world[RIVER], response({"a": True}, f"Questionnaire/{plain['id']}", **who))
    assert await stat(world) == []
