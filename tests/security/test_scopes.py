"""SMART scopes narrow whatever a token finds: by type, by interaction, and by a search constraint."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from app.security.scopes import narrow, parse_scopes
from tests.security.conftest import add_client
from tests.spine.conftest import (
    ACT_CODE,
    Agency,
    World,
    actor,
    consent,
    new_patient,
    observation,
)

CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
LABORATORY = f"system/Observation.rs?category={CATEGORY}|laboratory"


def of_category(category: str) -> dict[str, Any]:
    return {"category": [{"coding": [{"system": CATEGORY, "code": category}]}]}


async def _with(world: World, scope: str) -> Agency:
    answer = await world.token("river-clinic", scope=scope)
    assert answer.status_code == 200, answer.text
    return Agency(world.http, {"Authorization": f"Bearer {answer.json()['access_token']}"})


async def _two(world: World) -> tuple[str, str, str]:
    """A patient with a laboratory and a survey observation; the three ids."""
    river = world["river-clinic"]
    patient = await new_patient(river)
    made = [
        (await river.post("/Observation", observation(patient, **of_category(category)))).json()[
            "id"
        ]
        for category in ("laboratory", "survey")
    ]
    return patient, made[0], made[1]


async def _found(agency: Agency, query: str) -> list[str]:
    answer = await agency.get(query)
    assert answer.status_code == 200, answer.text
    return sorted(entry["resource"]["id"] for entry in answer.json().get("entry", ()))


async def test_a_constraint_holds_on_reads_versions_searches_and_counts(world: World) -> None:
    patient, laboratory, survey = await _two(world)
    agency = await _with(world, LABORATORY)
    hidden = await agency.get(f"/Observation/{survey}")
    missing = await agency.get("/Observation/nothing-here")
    assert (hidden.status_code, hidden.text) == (missing.status_code, missing.text)
    for path in (f"/Observation/{survey}/_history/1", f"/Observation/{survey}/_history"):
        assert (await agency.get(path)).status_code == 404
    assert (await agency.get(f"/Observation/{laboratory}")).status_code == 200
    assert (await agency.get(f"/Observation/{laboratory}/_history/1")).status_code == 200
    for query in ("", f"?patient={patient}", "?code=85354-9", "?category=survey,laboratory"):
        assert await _found(agency, f"/Observation{query}") == [laboratory], query
    assert await _found(agency, "/Observation?category=survey") == []
    counted = await agency.get("/Observation?_total=accurate&_count=1")
    assert counted.json()["total"] == 1
    ordered = await agency.get("/Observation?_sort=date&_total=accurate")
    assert ordered.json()["total"] == 1


async def test_an_include_brings_no_type_that_the_scopes_do_not_name(world: World) -> None:
    patient, laboratory, _ = await _two(world)
    include = f"/Observation?_id={laboratory}&_include=Observation:subject"
    assert await _found(await _with(world, "system/Observation.rs"), include) == [laboratory]
    both = await _with(world, "system/Observation.rs system/Patient.rs")
    assert await _found(both, include) == sorted([laboratory, patient])
    narrow_ = await _with(world, f"{LABORATORY} system/Patient.rs")
    back = f"/Patient?_id={patient}&_revinclude=Observation:subject"
    assert await _found(narrow_, back) == sorted([laboratory, patient])


async def test_several_constraints_add_up_and_a_scope_without_one_covers_all(world: World) -> None:
    _, laboratory, survey = await _two(world)
    survey_too = f"{LABORATORY} system/Observation.rs?category={CATEGORY}|survey"
    assert await _found(await _with(world, survey_too), "/Observation") == sorted(
        [laboratory, survey]
    )
    whole = f"{LABORATORY} system/Observation.rs"
    assert len(await _found(await _with(world, whole), "/Observation")) == 2
    both_at_once = f"{LABORATORY}&status=cancelled"
    assert await _found(await _with(world, both_at_once), "/Observation") == []


async def test_a_constraint_never_widens_what_consent_lets_be_seen(world: World) -> None:
    river = world["river-clinic"]
    patient = await new_patient(river)
    note = {"security": [{"system": ACT_CODE, "code": "PSYTHPN"}]}
    made = await river.post(
        "/Observation", observation(patient, meta=note, **of_category("laboratory"))
    )
    assert made.status_code == 201
    answer = await world.token("bridge-legal-aid", scope=LABORATORY)
    other = Agency(world.http, {"Authorization": f"Bearer {answer.json()['access_token']}"})
    assert await _found(other, "/Observation") == []


async def test_a_token_reads_or_writes_only_as_its_letters_say(world: World) -> None:
    patient, laboratory, _ = await _two(world)
    reader = await _with(world, "system/Observation.r")
    assert (await reader.get(f"/Observation/{laboratory}")).status_code == 200
    for answer in (
        await reader.get("/Observation"),
        await reader.post("/Observation", observation(patient)),
        await reader.delete(f"/Observation/{laboratory}"),
        await reader.get(f"/Patient/{patient}"),
    ):
        assert answer.status_code == 403
        assert "lacks the scope system/" in answer.text
    old = await _with(world, "system/Observation.read system/Patient.read")
    assert len(await _found(old, "/Observation")) == 2
    assert (await old.post("/Observation", observation(patient))).status_code == 403
    writer = await _with(world, "system/Observation.write")
    assert (await writer.post("/Observation", observation(patient))).status_code == 201
    assert (await writer.get(f"/Observation/{laboratory}")).status_code == 403


@pytest.mark.parametrize(
    ("asked", "granted"),
    [
        ("system/Observation.rs", True),
        ("system/Observation.read", True),
        (LABORATORY, True),
        ("system/Patient.rs", False),
        ("system/Observation.cruds", False),
        ("system/*.rs", False),
        ("system/Observation.rs?category:not=laboratory", False),
        ("system/Observation.rs?value-quantity=5", False),
        ("system/Observation.rs?_count=5", False),
        ("system/Observation.rs?no-such-parameter=5", False),
        ("system/Observation.sr", False),
        ("system/Observation.", False),
        ("system/Nonsense.rs", False),
        ("system/Observation.rs?", False),
    ],
)
def test_what_is_asked_for_must_lie_within_what_is_registered_and_be_promised_exactly(
    asked: str, granted: bool
) -> None:
    assert (narrow("system/Observation.rs", asked) == asked) is granted


def test_a_client_registered_with_a_constraint_gets_nothing_wider() -> None:
    assert narrow(LABORATORY, LABORATORY) == LABORATORY
    assert narrow(LABORATORY, "system/Observation.rs") is None
    assert narrow(LABORATORY, "system/Observation.rs?category=survey") is None
    assert narrow("system/*.cruds", "system/*.rs?category=laboratory") is None


def test_writing_is_not_promised_under_a_constraint() -> None:
    assert parse_scopes("system/Observation.cruds?category=laboratory").held == ()


@pytest.mark.parametrize(
    "scope", ["system/Rubbish.rs", "system/*.cruds nonsense", "patient/*.rs", "openid"]
)
async def test_a_registration_with_a_scope_that_cannot_be_granted_is_refused(
    world_of_tokens: World, scope: str
) -> None:
    with pytest.raises(ValueError, match="scope"):
        await add_client(world_of_tokens, "odd", scope=scope)


@pytest.mark.parametrize("kind", ["batch", "transaction"])
async def test_a_constraint_holds_inside_a_bundle(world: World, kind: str) -> None:
    _, laboratory, survey = await _two(world)
    agency = await _with(world, LABORATORY)

    async def asked(*urls: str) -> httpx.Response:
        entries = [{"request": {"method": "GET", "url": url}} for url in urls]
        return await agency.post("", {"resourceType": "Bundle", "type": kind, "entry": entries})

    found = await asked(f"Observation/{laboratory}", "Observation?_total=accurate")
    read, searched = (each["resource"] for each in found.json()["entry"])
    assert read["id"] == laboratory
    assert [each["resource"]["id"] for each in searched["entry"]] == [laboratory]
    assert searched["total"] == 1
    for beyond in (survey, f"{survey}/_history", f"{survey}/_history/1"):
        hidden = await asked(f"Observation/{beyond}")
        missing = await asked(f"Observation/{beyond.replace(survey, 'nothing-here')}")
        assert "85354-9" not in hidden.text
        assert hidden.status_code == missing.status_code
        assert hidden.text.replace(survey, "nothing-here") == missing.text


async def test_questions_about_consent_are_answered_within_the_scopes_too(world: World) -> None:
    patient, laboratory, survey = await _two(world)
    about = "$explain-access?organization=Organization/harbor-psychiatry&purpose=TREAT"
    agency = await _with(world, f"{LABORATORY} system/Organization.r")
    within = await agency.get(f"/Observation/{laboratory}/{about}")
    assert within.status_code == 200
    assert "Patient/" not in within.text, "Patients are beyond the scope"
    beyond = await agency.get(f"/Observation/{survey}/{about}")
    missing = await agency.get(f"/Observation/nothing-here/{about}")
    assert (beyond.status_code, beyond.text) == (missing.status_code, missing.text)

    given = consent(patient, type="permit", actor=actor("harbor-psychiatry"))
    made = (await world["river-clinic"].post("/Consent", given)).json()["id"]
    for scope, named in (
        ("system/Observation.rs", False),
        ("system/Observation.rs system/Consent.rs", True),
    ):
        asker = await _with(world, f"{scope} system/Organization.r")
        told = await asker.get(f"/Observation/{survey}/{about}")
        assert told.json()["parameter"][0]["valueCode"] == "permit", "it decides all the same"
        assert (f"Consent/{made}" in told.text) is named
    preview = f"/Patient/{patient}/{about.replace('explain', 'preview')}"
    people = await (await _with(world, "system/Patient.r system/Organization.r")).get(preview)
    assert (people.status_code, f"Observation/{survey}" in people.text) == (200, False)
