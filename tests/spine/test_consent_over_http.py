"""Consent on every read path that is served: read, vread, history, references on write."""

from __future__ import annotations

import asyncpg

from tests.spine.conftest import (
    ACT_CODE,
    ACT_REASON,
    AGENCIES,
    World,
    actor,
    consent,
    new_patient,
    observation,
)

RIVER, HARBOR, SHELTER, LEGAL = AGENCIES
TREAT = [{"system": ACT_REASON, "code": "TREAT"}]


async def test_without_consent_only_the_custodian_reads(world: World) -> None:
    patient = await new_patient(world[RIVER])
    statuses = [(await world[name].get(f"/Patient/{patient}")).status_code for name in AGENCIES]
    assert statuses == [200, 404, 404, 404]


async def test_hidden_is_word_for_word_as_missing(world: World) -> None:
    patient = await new_patient(world[RIVER])
    hidden = await world[LEGAL].get(f"/Patient/{patient}")
    missing = await world[LEGAL].get("/Patient/00000000-0000-4000-8000-000000000000")
    assert (hidden.status_code, hidden.content) == (missing.status_code, missing.content)
    assert dict(hidden.headers) == dict(missing.headers)


async def test_permit_opens_and_withdrawal_closes_the_very_next_read(world: World) -> None:
    patient = await new_patient(world[RIVER])
    written = await world[RIVER].post(
        "/Consent", consent(patient, type="permit", actor=actor(HARBOR), purpose=TREAT)
    )
    assert written.status_code == 201
    assert (await world[HARBOR].get(f"/Patient/{patient}")).status_code == 200
    assert (await world[SHELTER].get(f"/Patient/{patient}")).status_code == 404
    withdrawn = written.json() | {"status": "inactive"}
    answer = await world[RIVER].put(f"/Consent/{withdrawn['id']}", withdrawn)
    assert answer.status_code == 200
    assert (await world[HARBOR].get(f"/Patient/{patient}")).status_code == 404


async def test_permit_is_for_its_purpose_only(world: World) -> None:
    patient = await new_patient(world[RIVER])
    await world[RIVER].post(
        "/Consent", consent(patient, type="permit", actor=actor(HARBOR), purpose=TREAT)
    )
    token = (await world.token(HARBOR, purpose_of_use="CAREMGT")).json()["access_token"]
    answer = await world.http.get(
        f"/fhir/Patient/{patient}", headers={"Authorization": f"Bearer {token}"}
    )
    assert answer.status_code == 404


async def test_exception_hides_a_class_from_its_grantee_and_not_from_the_custodian(
    world: World,
) -> None:
    patient = await new_patient(world[RIVER])
    seen = (await world[RIVER].post("/Observation", observation(patient))).json()["id"]
    await world[RIVER].post(
        "/Consent",
        consent(
            patient,
            type="permit",
            actor=actor(HARBOR),
            provision=[
                {
                    "type": "deny",
                    "class": [
                        {"system": "http://hl7.org/fhir/resource-types", "code": "Observation"}
                    ],
                }
            ],
        ),
    )
    assert (await world[HARBOR].get(f"/Patient/{patient}")).status_code == 200
    assert (await world[HARBOR].get(f"/Observation/{seen}")).status_code == 404
    assert (await world[RIVER].get(f"/Observation/{seen}")).status_code == 200


async def test_label_exception_hides_what_the_writer_labelled(world: World) -> None:
    patient = await new_patient(world[RIVER])
    label = {"system": ACT_CODE, "code": "PSY"}
    plain = (await world[RIVER].post("/Observation", observation(patient))).json()["id"]
    labelled = (
        await world[RIVER].post("/Observation", observation(patient, meta={"security": [label]}))
    ).json()["id"]
    await world[RIVER].post(
        "/Consent",
        consent(
            patient,
            type="permit",
            actor=actor(HARBOR),
            provision=[{"type": "deny", "securityLabel": [label]}],
        ),
    )
    assert (await world[HARBOR].get(f"/Observation/{plain}")).status_code == 200
    assert (await world[HARBOR].get(f"/Observation/{labelled}")).status_code == 404


async def test_exception_by_code_is_judged_exactly_in_the_database(world: World) -> None:
    patient = await new_patient(world[RIVER])
    secret = {"coding": [{"system": "http://loinc.org", "code": "55757-9"}]}
    hidden = (await world[RIVER].post("/Observation", observation(patient, code=secret))).json()[
        "id"
    ]
    shown = (await world[RIVER].post("/Observation", observation(patient))).json()["id"]
    await world[RIVER].post(
        "/Consent",
        consent(
            patient,
            type="permit",
            actor=actor(HARBOR),
            provision=[{"type": "deny", "code": [secret]}],
        ),
    )
    found = (await world[HARBOR].get(f"/Observation?patient={patient}")).json()["entry"]
    assert [each["resource"]["id"] for each in found] == [shown]
    assert (await world[HARBOR].get(f"/Observation/{hidden}")).status_code == 404
    assert (await world[HARBOR].get(f"/Observation/{shown}")).status_code == 200


async def test_exception_by_time_is_judged_by_clinical_time(world: World) -> None:
    patient = await new_patient(world[RIVER])
    old = observation(patient, effectiveDateTime="2019-05-05")
    hidden = (await world[RIVER].post("/Observation", old)).json()["id"]
    shown = (await world[RIVER].post("/Observation", observation(patient))).json()["id"]
    await world[RIVER].post(
        "/Consent",
        consent(
            patient,
            type="permit",
            actor=actor(HARBOR),
            provision=[{"type": "deny", "dataPeriod": {"end": "2020-12-31"}}],
        ),
    )
    assert (await world[HARBOR].get(f"/Observation/{hidden}")).status_code == 404
    assert (await world[HARBOR].get(f"/Observation/{shown}")).status_code == 200


async def test_no_organization_permits_itself(world: World) -> None:
    patient = await new_patient(world[RIVER])
    unseen = (await world[RIVER].post("/Observation", observation(patient))).json()["id"]
    only_patient = [{"system": "http://hl7.org/fhir/resource-types", "code": "Patient"}]
    await world[RIVER].post(
        "/Consent",
        consent(patient, type="permit", actor=actor(SHELTER), **{"class": only_patient}),
    )
    grab = await world[SHELTER].post(
        "/Consent", consent(patient, type="permit", actor=actor(SHELTER))
    )
    assert grab.status_code == 201
    assert (await world[SHELTER].get(f"/Observation/{unseen}")).status_code == 404


async def test_reference_to_hidden_and_to_missing_are_refused_in_the_same_words(
    world: World,
) -> None:
    patient = await new_patient(world[RIVER])
    hidden = await world[LEGAL].post("/Observation", observation(patient))
    missing = await world[LEGAL].post("/Observation", observation("no-such-patient"))
    assert hidden.status_code == missing.status_code == 422
    assert hidden.content == missing.content
    assert hidden.json()["issue"][0]["expression"] == ["Observation.subject"]


async def test_deleted_is_gone_for_those_who_saw_it_and_missing_for_others(world: World) -> None:
    patient = await new_patient(world[RIVER])
    made = (await world[RIVER].post("/Observation", observation(patient))).json()["id"]
    assert (await world[RIVER].delete(f"/Observation/{made}")).status_code == 204
    assert (await world[RIVER].get(f"/Observation/{made}")).status_code == 410
    assert (await world[LEGAL].get(f"/Observation/{made}")).status_code == 404
    assert (await world[LEGAL].delete(f"/Observation/{made}")).status_code == 204


async def test_history_is_hidden_like_the_resource(world: World) -> None:
    patient = await new_patient(world[RIVER])
    made = (await world[RIVER].post("/Observation", observation(patient))).json()
    changed = made | {"status": "amended"}
    assert (await world[RIVER].put(f"/Observation/{made['id']}", changed)).status_code == 200
    path = f"/Observation/{made['id']}/_history"
    assert (await world[RIVER].get(path)).json()["total"] == 2
    assert (await world[RIVER].get(f"{path}/1")).json()["status"] == "final"
    assert (await world[LEGAL].get(path)).status_code == 404
    assert (await world[LEGAL].get(f"{path}/1")).status_code == 404


async def test_resource_about_two_survivors_needs_the_consent_of_both(world: World) -> None:
    one, other = await new_patient(world[RIVER]), await new_patient(world[RIVER])
    both = observation(one, focus=[{"reference": f"Patient/{other}"}])
    made = (await world[RIVER].post("/Observation", both)).json()["id"]
    await world[RIVER].post("/Consent", consent(one, type="permit", actor=actor(HARBOR)))
    assert (await world[HARBOR].get(f"/Observation/{made}")).status_code == 404
    await world[RIVER].post("/Consent", consent(other, type="permit", actor=actor(HARBOR)))
    assert (await world[HARBOR].get(f"/Observation/{made}")).status_code == 200


async def test_emergency_opens_with_a_reason_and_ends_at_a_named_deny(world: World) -> None:
    patient = await new_patient(world[HARBOR])
    refused = await world.token(RIVER, purpose_of_use="ETREAT")
    assert refused.status_code == 400
    token = (
        await world.token(RIVER, purpose_of_use="ETREAT", emergency_reason="unconscious")
    ).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    assert (await world.http.get(f"/fhir/Patient/{patient}", headers=headers)).status_code == 200
    await world[HARBOR].post("/Consent", consent(patient, type="deny", actor=actor(RIVER)))
    assert (await world.http.get(f"/fhir/Patient/{patient}", headers=headers)).status_code == 404


async def test_service_role_reads_no_survivor_row_without_a_caller(world: World) -> None:
    patient = await new_patient(world[RIVER])
    await world[RIVER].post("/Observation", observation(patient))
    await world[RIVER].post("/Consent", consent(patient, type="permit", actor=actor(HARBOR)))
    connection = await asyncpg.connect(world.database.service_url)
    try:
        for table in (
            "resource",
            "resource_history",
            "index_token",
            "index_date",
            "index_string",
            "link",
            "consent_grant",
        ):
            assert await connection.fetchval(f"SELECT count(*) FROM tl.{table}") == 0, table
        for statement in (
            "SELECT * FROM tl.audit_event",
            "DELETE FROM tl.resource",
            "UPDATE tl.resource SET open = true",
            "INSERT INTO tl.consent_grant (patient) SELECT patient FROM tl.consent_grant",
            "ALTER TABLE tl.resource NO FORCE ROW LEVEL SECURITY",
        ):
            try:
                await connection.execute(statement)
            except asyncpg.InsufficientPrivilegeError:
                continue
            raise AssertionError(statement)
    finally:
        await connection.close()
