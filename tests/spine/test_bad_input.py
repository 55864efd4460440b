"""Bad input: a clear OperationOutcome, the right status, nothing half-written."""

from __future__ import annotations

import asyncpg
import pytest

from tests.spine.conftest import AGENCIES, World, new_patient, observation

RIVER = AGENCIES[0]


@pytest.mark.parametrize(
    ("body", "status", "expression"),
    [
        (b"{", 400, None),
        (b'{"resourceType":"Patient","resourceType":"Patient"}', 400, None),
        (b'{"resourceType":"Observation","status":"final","code":{"text":"x"}}', 400, None),
        (b'{"resourceType":"Patient","colour":"red"}', 400, ["Patient.colour"]),
        (b'{"resourceType":"Patient","gender":"unsure"}', 422, ["Patient.gender"]),
        (b'{"resourceType":"Patient","active":"true"}', 400, ["Patient.active"]),
        (b'{"resourceType":"Patient","birthDate":"2026-02-30"}', 422, ["Patient.birthDate"]),
        (b'{"resourceType":"Patient","communication":[{}]}', 400, None),
    ],
)
async def test_malformed_patient_is_refused_with_its_place(
    world: World, body: bytes, status: int, expression: list[str] | None
) -> None:
    answer = await world.http.post(
        "/fhir/Patient",
        headers=world[RIVER].headers | {"content-type": "application/fhir+json"},
        content=body,
    )
    outcome = answer.json()
    assert outcome["resourceType"] == "OperationOutcome"
    assert outcome["issue"][0]["diagnostics"]
    if expression:
        assert outcome["issue"][0]["expression"] == expression
    assert answer.status_code == status
    found = (await world[RIVER].get("/Patient?_total=accurate")).json()
    assert found["total"] == 0


async def test_missing_element_is_required(world: World) -> None:
    answer = await world[RIVER].post(
        "/Observation", {"resourceType": "Observation", "status": "final"}
    )
    assert answer.status_code == 422
    assert answer.json()["issue"][0]["expression"] == ["Observation.code"]


async def test_oversize_body_is_413(world: World) -> None:
    long = {"resourceType": "Patient", "name": [{"family": "x" * 300_000}]}
    assert (await world[RIVER].post("/Patient", long)).status_code == 413


async def test_too_many_entries_are_refused(world: World) -> None:
    one = {
        "resource": {"resourceType": "Patient"},
        "request": {"method": "POST", "url": "Patient"},
    }
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [one] * 21}
    answer = await world[RIVER].post("", bundle)
    assert answer.status_code == 413
    assert answer.json()["issue"][0]["expression"] == ["Bundle.entry"]


@pytest.mark.parametrize("header", [None, "Bearer nonsense", "Basic x", "Bearer a.b.c"])
async def test_bad_token_is_401_and_says_how(world: World, header: str | None) -> None:
    headers = {"Authorization": header} if header else {}
    answer = await world.http.get("/fhir/Patient/x", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.json()["resourceType"] == "OperationOutcome"


async def test_missing_scope_is_403(world: World) -> None:
    token = (await world.token(RIVER, scope="system/Observation.rs")).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    assert (await world.http.get("/fhir/Patient/x", headers=headers)).status_code == 403
    assert (await world.http.get("/fhir/Observation/x", headers=headers)).status_code == 404


async def test_numbers_and_offsets_come_back_as_sent(world: World) -> None:
    patient = await new_patient(world[RIVER])
    body = observation(patient)
    body["valueQuantity"] = {"value": 0.5}
    answer = await world.http.post(
        "/fhir/Observation",
        headers=world[RIVER].headers | {"content-type": "application/fhir+json"},
        content=httpx_json(body).replace(b'"value":0.5', b'"value":0.50'),
    )
    assert answer.status_code == 201, answer.text
    read = await world[RIVER].get(f"/Observation/{answer.json()['id']}")
    assert b'"value":0.50' in read.content
    assert b'"2026-03-01T10:00:00+02:00"' in read.content


def httpx_json(body: object) -> bytes:
    import orjson

    return orjson.dumps(body)


async def test_every_access_and_refusal_leaves_an_audit_row(world: World) -> None:
    patient = await new_patient(world[RIVER])
    await world[AGENCIES[3]].get(f"/Patient/{patient}")
    await world.http.get("/fhir/Patient/x")
    owner = await asyncpg.connect(world.database.admin_url)
    try:
        rows = await owner.fetch(
            "SELECT interaction, outcome, client_id, rids FROM tl.audit_event "
            "WHERE interaction <> 'token' ORDER BY recorded"
        )
    finally:
        await owner.close()
    assert [(r["interaction"], r["outcome"], r["client_id"]) for r in rows] == [
        ("create", 0, RIVER),
        ("read", 4, AGENCIES[3]),
        ("read", 4, None),
    ]
    assert rows[0]["rids"]
    assert rows[1]["rids"] is None


async def test_nothing_is_answered_when_the_audit_cannot_be_written(world: World) -> None:
    patient = await new_patient(world[RIVER])
    owner = await asyncpg.connect(world.database.admin_url)
    await owner.execute("ALTER TABLE tl.audit_event RENAME TO audit_event_gone")
    await owner.close()
    answer = await world[RIVER].get(f"/Patient/{patient}")
    assert answer.status_code == 503
    assert patient not in answer.text


@pytest.mark.parametrize("parameter", [-1, [], [[]], [False], [{"name": ["other"]}]])
@pytest.mark.parametrize(
    "path",
    [
        "/Patient/$match",
        "/Patient/1/$link",
        "/Patient/1/$unlink",
        "/PlanDefinition/1/$apply",
        "/Questionnaire/1/$populate",
        "/ValueSet/$expand",
    ],
)
async def test_parameters_of_an_operation_that_are_none_are_refused_with_their_place(
    world: World, path: str, parameter: object
) -> None:
    body = {"resourceType": "Parameters", "parameter": parameter}
    answer = await world[RIVER].post(path, body)
    assert answer.status_code in (400, 422), answer.text
    assert answer.json()["issue"][0]["expression"][0].startswith("Parameters.parameter")
