"""A survivor's own app: what she writes is hers, and nobody sees it but by her Consent."""

from __future__ import annotations

from typing import Any

import pytest

from app.consent import labels
from tests.care.conftest import (
    HARBOR,
    LEGAL,
    RIVER,
    SHELTER,
    Json,
    World,
    actions,
    actor,
    classes,
    concept,
    consent,
    created,
    diagnostics,
    done,
    found,
    new_patient,
    observation,
    own_app,
    post,
    reference,
    release,
    saved,
    transaction,
    urn,
)
from tests.care.instruments import questionnaire, response

PROGRAM = labels.PROGRAM_SYSTEM
CHECK_IN = "https://throughline.example/fhir/Questionnaire/safety-check-in"


def goal(patient: str, **more: Any) -> Json:
    who = reference(f"Patient/{patient}")
    return {
        "resourceType": "Goal",
        "lifecycleStatus": "active",
        "description": {"text": "Paint again."},
        "subject": who,
        "expressedBy": who,
    } | more


def check_in(answers: dict[str, Any], patient: str) -> Json:
    who = reference(f"Patient/{patient}")
    return response(answers, CHECK_IN, subject=who, source=who)


async def asked(world: World) -> None:
    items: list[Json] = [
        {"linkId": name, "type": "integer"} for name in ("place", "known", "contact")
    ]
    await created(world[RIVER], questionnaire(None, items, url=CHECK_IN))


async def test_what_she_writes_nobody_else_sees_until_she_says_so(world: World) -> None:
    patient = await new_patient(world[RIVER])
    app = await own_app(world, patient)
    mine = await created(app, goal(patient))
    path = f"/Goal/{mine['id']}"
    missing = await world[RIVER].get("/Goal/none")
    for agency in (RIVER, HARBOR, LEGAL):
        answer = await world[agency].get(path)
        assert (answer.status_code, answer.content) == (404, missing.content)
        assert await found(world[agency], f"/Goal?patient=Patient/{patient}") == []
    assert (await app.get(path)).json()["description"] == mine["description"]
    # Her own Consent opens it: River is named, though River keeps her record.
    await created(
        app, consent(patient, type="permit", actor=actor(RIVER), **{"class": classes("Goal")})
    )
    assert (await world[RIVER].get(path)).status_code == 200
    assert (await world[LEGAL].get(path)).status_code == 404
    refused = await world[RIVER].put(path, mine | {"description": {"text": "Employment"}})
    assert refused.status_code == 403


async def test_her_own_consent_opens_the_whole_record_and_her_own_deny_closes_it(
    world: World,
) -> None:
    patient = await new_patient(world[RIVER])
    reading = await created(world[RIVER], observation(patient))
    app = await own_app(world, patient)
    path = f"/Observation/{reading['id']}"
    assert (await world[SHELTER].get(path)).status_code == 404
    given = await created(app, consent(patient, type="permit", actor=actor(SHELTER)))
    assert (await world[SHELTER].get(path)).status_code == 200
    await saved(app, given | {"status": "inactive"})
    assert (await world[SHELTER].get(path)).status_code == 404
    # What an agency recorded she cannot rewrite, but a deny of hers outweighs it at once.
    theirs = await created(world[RIVER], release(patient, SHELTER))
    assert (await world[SHELTER].get(path)).status_code == 200
    assert (
        await app.put(f"/Consent/{theirs['id']}", theirs | {"status": "inactive"})
    ).status_code == 403
    await created(app, consent(patient, type="deny", actor=actor(SHELTER)))
    assert (await world[SHELTER].get(path)).status_code == 404


async def test_a_draft_report_is_hers_alone_whatever_was_consented_to(world: World) -> None:
    patient = await new_patient(world[RIVER])
    await created(world[RIVER], release(patient, HARBOR))
    app = await own_app(world, patient)
    who, link = reference(f"Patient/{patient}"), urn()
    draft = {
        "resourceType": "DocumentReference",
        "status": "current",
        "docStatus": "preliminary",
        "subject": who,
        "author": [who],
        "content": [{"attachment": {"title": "What happened"}}],
    }
    alone = consent(
        patient, type="deny", data=[{"meaning": "instance", "reference": reference(link)}]
    )
    stored, closing = await done(app, transaction(post(draft, link), post(alone)))
    path = f"/DocumentReference/{stored['id']}"
    for agency in (RIVER, HARBOR, SHELTER, LEGAL):
        assert (await world[agency].get(path)).status_code == 404
    final = await saved(app, stored | {"docStatus": "final"})
    await saved(app, closing | {"status": "inactive"})
    only = [{"meaning": "instance", "reference": reference(f"DocumentReference/{final['id']}")}]
    await created(app, consent(patient, type="permit", actor=actor(LEGAL), data=only))
    assert (await world[LEGAL].get(path)).status_code == 200


async def test_a_dangerous_check_in_is_acted_on_where_her_agency_may_read_it(world: World) -> None:
    await asked(world)
    patient = await new_patient(world[RIVER])
    app = await own_app(world, patient)
    first = await created(app, check_in({"place": 2, "known": 2, "contact": 1}, patient))
    assert await found(world[RIVER], "/Task?priority=stat") == []
    assert await found(app, "/Flag") == []
    await created(app, consent(patient, type="permit", actor=actor(RIVER)))
    # What she kept to herself before is not brought up by what she opens now.
    assert await found(world[RIVER], "/Task?priority=stat") == []
    second = await created(app, check_in({"place": 2, "known": 2, "contact": 1}, patient))
    (opened,) = await found(world[RIVER], "/Task?priority=stat")
    assert opened["owner"] == reference(f"Organization/{RIVER}")
    (finding,) = await found(
        world[RIVER], f"/Observation?derived-from=QuestionnaireResponse/{second['id']}"
    )
    assert finding["performer"] == [reference(f"Organization/{RIVER}")]
    assert first["id"] not in str(finding)
    assert await found(world[LEGAL], "/Task?priority=stat") == []


async def test_a_wrong_answer_is_named_in_her_app_too(world: World) -> None:
    await asked(world)
    patient = await new_patient(world[RIVER])
    app = await own_app(world, patient)
    wrong = await app.post(
        "/QuestionnaireResponse", check_in({"place": {"valueString": "home"}}, patient)
    )
    assert wrong.status_code == 422
    assert wrong.json()["issue"][0]["expression"] == [
        "QuestionnaireResponse.item[0].answer[0].value"
    ]


async def test_she_asks_for_an_amendment_and_orders_nothing(world: World) -> None:
    patient = await new_patient(world[RIVER])
    note = await created(world[RIVER], observation(patient))
    app = await own_app(world, patient)
    request = {
        "resourceType": "Task",
        "status": "requested",
        "intent": "proposal",
        "code": {"text": "amendment"},
        "focus": reference(f"Observation/{note['id']}"),
        "for": reference(f"Patient/{patient}"),
        "requester": reference(f"Patient/{patient}"),
        "owner": reference(f"Organization/{RIVER}"),
        "description": "It was measured in the evening.",
    }
    opens = consent(
        patient,
        type="permit",
        actor=actor(RIVER),
        action=actions("access", "correct"),
        **{"class": classes("Task")},
    )
    sent, _ = await done(app, transaction(post(request), post(opens)))
    await saved(world[RIVER], sent | {"status": "completed"})
    assert (await app.get(f"/Task/{sent['id']}")).json()["status"] == "completed"
    ordered = await app.post("/Task", request | {"intent": "order"})
    assert ordered.status_code == 422
    assert ordered.json()["issue"][0]["expression"] == ["Task.intent"]


async def test_she_writes_about_herself_in_her_own_voice_only(world: World) -> None:
    ana, bo = await new_patient(world[RIVER]), await new_patient(world[RIVER])
    app = await own_app(world, ana)
    hidden = await app.post("/Goal", goal(bo))
    assert hidden.status_code == 422
    nobody = await app.post("/QuestionnaireResponse", response({"a": True}, CHECK_IN))
    assert nobody.status_code == 403
    other = await app.post("/Patient", {"resourceType": "Patient"})
    assert other.status_code == 403
    said = reference(f"Organization/{RIVER}")
    voice = await app.post("/Goal", goal(ana, expressedBy=said))
    assert voice.status_code == 422
    assert voice.json()["issue"][0]["expression"] == ["Goal.expressedBy"]
    measured = await app.post("/Observation", observation(ana))
    assert measured.status_code == 422
    assert measured.json()["issue"][0]["expression"] == ["Observation.performer"]
    flag = {
        "resourceType": "Flag",
        "status": "active",
        "code": concept("s", "c"),
        "subject": reference(f"Patient/{ana}"),
    }
    assert (await app.post("/Flag", flag)).status_code == 403


@pytest.mark.parametrize("way", ["post", "transaction", "conditional"])
async def test_every_way_of_writing_is_hers_to_use(world: World, way: str) -> None:
    patient = await new_patient(world[RIVER])
    app = await own_app(world, patient)
    if way == "post":
        mine = await created(app, goal(patient))
    elif way == "transaction":
        (mine,) = await done(app, transaction(post(goal(patient))))
    else:
        once = {"If-None-Exist": f"patient=Patient/{patient}"}
        answer = await app.http.post("/fhir/Goal", headers=app.headers | once, json=goal(patient))
        assert answer.status_code == 201, answer.text
        mine = answer.json()
    changed = await saved(app, mine | {"note": [{"text": "Bought brushes."}]})
    assert changed["meta"]["versionId"] == "2"
    assert (await app.delete(f"/Goal/{mine['id']}")).status_code == 204
    assert (await world[RIVER].get(f"/Goal/{mine['id']}")).status_code == 404


async def test_a_relatives_app_writes_nothing(world: World) -> None:
    patient = await new_patient(world[RIVER])
    aunt = await created(
        world[RIVER],
        {"resourceType": "RelatedPerson", "patient": reference(f"Patient/{patient}")},
    )
    place = reference(f"RelatedPerson/{aunt['id']}")
    await created(
        world[RIVER],
        consent(patient, type="permit", actor=[{"role": {"text": "aunt"}, "reference": place}]),
    )
    app = await own_app(world, aunt["id"], "RelatedPerson")
    refused = await app.post("/Goal", goal(patient))
    assert refused.status_code == 403
    assert "about that person alone" in diagnostics(refused)
    assert (
        await app.post("/Consent", consent(patient, type="permit", actor=actor(LEGAL)))
    ).status_code == 403


async def test_a_program_s_labels_and_rules_are_not_laid_on_her_own_words(world: World) -> None:
    program = {"coding": [{"system": PROGRAM, "code": "victim-service"}]}
    organization = (await world[SHELTER].get(f"/Organization/{SHELTER}")).json()
    await saved(world[SHELTER], organization | {"type": [program]})
    patient = await new_patient(world[SHELTER])
    app = await own_app(world, patient)
    # A provider's release needs a purpose and an end; her own word does not.
    assert (
        await world[SHELTER].post("/Consent", consent(patient, type="permit", actor=actor(RIVER)))
    ).status_code == 422
    await created(
        app, consent(patient, type="permit", actor=actor(RIVER), **{"class": classes("Goal")})
    )
    mine = await created(app, goal(patient))
    assert (await world[RIVER].get(f"/Goal/{mine['id']}")).status_code == 200
