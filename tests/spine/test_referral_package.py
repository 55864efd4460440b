"""The closed-loop referral: the receiver polls, pulls its package, answers, and loses sight."""

from __future__ import annotations

from typing import Any

from tests.spine.conftest import (
    ACT_REASON,
    AGENCIES,
    World,
    actor,
    consent,
    new_patient,
    observation,
)

RIVER, HARBOR, SHELTER, LEGAL = AGENCIES
PROGRAM = "https://throughline.example/fhir/CodeSystem/program"
ACTION = "http://terminology.hl7.org/CodeSystem/consentaction"
TYPES = "http://hl7.org/fhir/resource-types"


def entry(name: str, resource: dict[str, Any]) -> dict[str, Any]:
    return {
        "fullUrl": f"urn:uuid:00000000-0000-4000-8000-{name:0>12}",
        "resource": resource,
        "request": {"method": "POST", "url": resource["resourceType"]},
    }


def urn(name: str) -> dict[str, str]:
    return {"reference": f"urn:uuid:00000000-0000-4000-8000-{name:0>12}"}


async def refer(world: World, patient: str) -> dict[str, str]:
    """River refers the survivor to the shelter in one transaction; ids by type."""
    subject = {"reference": f"Patient/{patient}"}
    permit = consent(
        patient,
        type="permit",
        actor=actor(SHELTER),
        purpose=[{"system": ACT_REASON, "code": "TREAT"}],
        period={"end": "2999-12-31"},
        **{
            "class": [
                {"system": TYPES, "code": c} for c in ("Patient", "ServiceRequest", "Consent")
            ]
        },
        provision=[
            {
                "type": "permit",
                "actor": actor(SHELTER),
                "purpose": [{"system": ACT_REASON, "code": "TREAT"}],
                "action": [
                    {"coding": [{"system": ACTION, "code": "access"}]},
                    {"coding": [{"system": ACTION, "code": "correct"}]},
                ],
                "class": [{"system": TYPES, "code": "Task"}],
            }
        ],
    )
    request = {
        "resourceType": "ServiceRequest",
        "status": "active",
        "intent": "order",
        "subject": subject,
        "supportingInfo": [urn("1"), urn("4")],
    }
    task = {
        "resourceType": "Task",
        "status": "requested",
        "intent": "order",
        "for": subject,
        "focus": urn("2"),
        "requester": {"reference": f"Organization/{RIVER}"},
        "owner": {"reference": f"Organization/{SHELTER}"},
    }
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            entry("1", permit),
            entry("2", request),
            entry("3", task),
            entry("4", observation(patient)),
        ],
    }
    answer = await world[RIVER].post("", bundle)
    assert answer.status_code == 200, answer.text
    return {e["resource"]["resourceType"]: e["resource"]["id"] for e in answer.json()["entry"]}


def types(bundle: dict[str, Any]) -> list[str]:
    return sorted(e["resource"]["resourceType"] for e in bundle["entry"])


async def test_receiver_pulls_what_is_permitted_and_nothing_else(world: World) -> None:
    patient = await new_patient(world[RIVER])
    made = await refer(world, patient)
    polled = await world[SHELTER].get(f"/Task?owner=Organization/{SHELTER}&_include=Task:focus")
    assert types(polled.json()) == ["ServiceRequest", "Task"]
    path = f"/Task/{made['Task']}/$referral-package"
    package = (await world[SHELTER].get(path)).json()
    assert types(package) == ["Consent", "Patient", "ServiceRequest", "Task"]
    whole = (await world[RIVER].get(path)).json()
    assert types(whole) == ["Consent", "Observation", "Patient", "ServiceRequest", "Task"]
    shown = next(
        e["resource"] for e in package["entry"] if e["resource"]["resourceType"] == "Patient"
    )
    assert set(shown) == {"resourceType", "id", "meta", "name"}
    hidden = await world[LEGAL].get(path)
    missing = await world[LEGAL].get("/Task/none/$referral-package")
    assert (hidden.status_code, hidden.content) == (404, missing.content)


async def test_receiver_answers_its_task_and_corrects_nothing_else(world: World) -> None:
    made = await refer(world, await new_patient(world[RIVER]))
    task = (await world[SHELTER].get(f"/Task/{made['Task']}")).json()
    answer = await world[SHELTER].put(
        f"/Task/{task['id']}", task | {"status": "accepted"}, If_Match='W/"1"'
    )
    assert answer.status_code == 200, answer.text
    stale = await world[SHELTER].put(
        f"/Task/{task['id']}", task | {"status": "rejected"}, If_Match='W/"1"'
    )
    assert stale.status_code == 412
    request = (await world[SHELTER].get(f"/ServiceRequest/{made['ServiceRequest']}")).json()
    refused = await world[SHELTER].put(
        f"/ServiceRequest/{request['id']}", request | {"status": "revoked"}
    )
    assert refused.status_code == 403


async def test_withdrawal_ends_the_package_at_once(world: World) -> None:
    made = await refer(world, await new_patient(world[RIVER]))
    permit = (await world[RIVER].get(f"/Consent/{made['Consent']}")).json()
    await world[RIVER].put(f"/Consent/{permit['id']}", permit | {"status": "inactive"})
    answer = await world[SHELTER].get(f"/Task/{made['Task']}/$referral-package")
    assert answer.status_code == 404


async def test_notice_goes_with_victim_service_and_part_2_data(world: World) -> None:
    patient = await new_patient(world[RIVER])
    made = await refer(world, patient)
    path = f"/Task/{made['Task']}/$referral-package"
    assert "OperationOutcome" not in types((await world[SHELTER].get(path)).json())
    request = (await world[RIVER].get(f"/ServiceRequest/{made['ServiceRequest']}")).json()
    request["meta"]["security"] = [{"system": PROGRAM, "code": "victim-service"}]
    assert (await world[RIVER].put(f"/ServiceRequest/{request['id']}", request)).status_code == 200
    package = (await world[SHELTER].get(path)).json()
    notice = package["entry"][-1]["resource"]
    assert notice["resourceType"] == "OperationOutcome"
    assert "victim-service provider" in notice["issue"][0]["diagnostics"]


async def test_transaction_with_one_fault_writes_nothing(world: World) -> None:
    patient = await new_patient(world[RIVER])
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [entry("1", observation(patient)), entry("2", observation("no-such-patient"))],
    }
    answer = await world[RIVER].post("", bundle)
    assert answer.status_code == 422
    assert answer.json()["issue"][0]["expression"] == ["Bundle.entry[1].resource.subject"]
    found = await world[RIVER].get("/Observation?_total=accurate")
    assert found.json()["total"] == 0
