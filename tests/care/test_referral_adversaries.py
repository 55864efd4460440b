"""Attempts on the closed loop: other ways of writing, other hands, other names for the same thing."""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from tests.care.conftest import (
    HARBOR,
    LEGAL,
    RIVER,
    SHELTER,
    TASK_CODE,
    Agency,
    Json,
    World,
    concept,
    created,
    diagnostics,
    new_patient,
    post,
    reference,
    referral,
    release,
    saved,
    task,
    transaction,
    urn,
)

JSON_PATCH = {"Content-Type": "application/json-patch+json"}

Way = Callable[[Agency, Json, str], Awaitable[httpx.Response]]
"""Writes a Task with a new status in one way."""


def steps(status: str) -> list[Json]:
    return [{"op": "replace", "path": "/status", "value": status}]


async def put(agency: Agency, made: Json, status: str) -> httpx.Response:
    return await agency.put(f"/Task/{made['id']}", made | {"status": status})


async def guarded_put(agency: Agency, made: Json, status: str) -> httpx.Response:
    return await agency.put(f"/Task/{made['id']}", made | {"status": status}, If_Match='W/"1"')


async def conditional_put(agency: Agency, made: Json, status: str) -> httpx.Response:
    return await agency.put(f"/Task?_id={made['id']}", made | {"status": status})


async def patch(agency: Agency, made: Json, status: str) -> httpx.Response:
    return await agency.http.patch(
        f"/fhir/Task/{made['id']}", headers=agency.headers | JSON_PATCH, json=steps(status)
    )


async def conditional_patch(agency: Agency, made: Json, status: str) -> httpx.Response:
    return await agency.http.patch(
        f"/fhir/Task?_id={made['id']}", headers=agency.headers | JSON_PATCH, json=steps(status)
    )


async def fhirpath_patch(agency: Agency, made: Json, status: str) -> httpx.Response:
    parts = [
        {"name": "type", "valueCode": "replace"},
        {"name": "path", "valueString": "Task.status"},
        {"name": "value", "valueCode": status},
    ]
    body = {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": parts}]}
    return await agency.http.patch(
        f"/fhir/Task/{made['id']}",
        headers=agency.headers | {"Content-Type": "application/fhir+json"},
        json=body,
    )


async def in_transaction(agency: Agency, made: Json, status: str) -> httpx.Response:
    request = {"method": "PUT", "url": f"Task/{made['id']}"}
    return await agency.post(
        "", transaction({"resource": made | {"status": status}, "request": request})
    )


async def patch_in_transaction(agency: Agency, made: Json, status: str) -> httpx.Response:
    data = base64.b64encode(json.dumps(steps(status)).encode()).decode()
    binary = {"resourceType": "Binary", "contentType": "application/json-patch+json", "data": data}
    request = {"method": "PATCH", "url": f"Task/{made['id']}"}
    return await agency.post("", transaction({"resource": binary, "request": request}))


WAYS: tuple[Way, ...] = (
    *(put, guarded_put, conditional_put, patch, conditional_patch, fhirpath_patch),
    *(in_transaction, patch_in_transaction),
)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_no_way_of_writing_lets_the_wrong_party_move_a_task(world: World, way: Way) -> None:
    patient = await new_patient(world[RIVER])
    made = await referral(world, patient)
    await created(world[RIVER], release(patient, LEGAL))
    for agency in (RIVER, LEGAL):
        assert (await way(world[agency], made, "accepted")).status_code == 403, agency
    skipped = await way(world[SHELTER], made, "in-progress")
    assert skipped.status_code == 422
    assert "cannot become this" in diagnostics(skipped)
    now = (await world[RIVER].get(f"/Task/{made['id']}")).json()
    assert now == made
    assert (await way(world[SHELTER], made, "accepted")).status_code == 200


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_to_whom_a_task_is_hidden_it_is_as_missing_in_every_way(
    world: World, way: Way
) -> None:
    made = await referral(world, await new_patient(world[RIVER]))
    hidden = await way(world[HARBOR], made, "accepted")
    missing = await way(world[HARBOR], made | {"id": "none"}, "accepted")
    assert hidden.status_code == missing.status_code
    assert 400 <= hidden.status_code < 500
    assert hidden.text.replace(made["id"], "none") == missing.text
    for path in (f"/Task/{made['id']}", f"/Task?_id={made['id']}"):
        await world[HARBOR].delete(path)
    assert (await world[RIVER].get(f"/Task/{made['id']}")).json() == made


async def test_two_moves_in_one_transaction_are_refused(world: World) -> None:
    made = await referral(world, await new_patient(world[RIVER]))
    entries = [
        {
            "resource": made | {"status": status},
            "request": {"method": "PUT", "url": f"Task/{made['id']}"},
        }
        for status in ("accepted", "in-progress")
    ]
    assert (await world[SHELTER].post("", transaction(*entries))).status_code == 422
    assert (await world[RIVER].get(f"/Task/{made['id']}")).json() == made


@pytest.mark.parametrize(
    "change",
    [
        {"note": [{"text": "They are full."}]},
        {"description": "Not urgent"},
        {"businessStatus": {"text": "no show"}},
        {"output": [{"type": {"text": "words"}, "valueString": "done"}]},
        {"statusReason": {"text": "changed their mind"}},
    ],
)
async def test_who_is_no_party_writes_nothing_into_the_task(world: World, change: Json) -> None:
    patient = await new_patient(world[RIVER])
    made = await referral(world, patient)
    await created(world[RIVER], release(patient, LEGAL))
    answer = await world[LEGAL].put(f"/Task/{made['id']}", made | change)
    assert answer.status_code == 403
    assert "Only the requester and the owner" in diagnostics(answer)
    assert answer.json()["issue"][0]["expression"] == ["Task"]


async def test_the_owner_does_not_change_what_was_described_but_notes_beside_it(
    world: World,
) -> None:
    made = await referral(world, await new_patient(world[RIVER]), description="Two beds")
    answer = await world[SHELTER].put(f"/Task/{made['id']}", made | {"description": "One bed"})
    assert answer.status_code == 422
    assert answer.json()["issue"][0]["expression"] == ["Task.description"]
    noted = await saved(world[SHELTER], made | {"note": [{"text": "One bed is free."}]})
    assert noted["status"] == "requested"


@pytest.mark.parametrize("status", ["in-progress", "accepted", "completed"])
async def test_a_task_that_only_now_becomes_a_referral_begins_like_any_other(
    world: World, status: str
) -> None:
    patient = await new_patient(world[RIVER])
    await created(world[RIVER], release(patient, SHELTER))
    own = await created(world[RIVER], task(patient, intent="plan", status=status))
    answer = await world[RIVER].put(f"/Task/{own['id']}", own | {"intent": "order"})
    assert answer.status_code == 422
    assert "draft, requested" in diagnostics(answer)


async def test_a_task_that_becomes_a_referral_needs_the_consent_as_well(world: World) -> None:
    patient = await new_patient(world[RIVER])
    own = await created(world[RIVER], task(patient, intent="plan"))
    answer = await world[RIVER].put(f"/Task/{own['id']}", own | {"intent": "order"})
    assert answer.status_code == 422
    assert "No Consent in force" in diagnostics(answer)


@pytest.mark.parametrize(
    "more",
    [
        {"intent": "filler-order"},
        {
            "intent": "original-order",
            "code": {"text": "a bed"},
            "focus": {"type": "ServiceRequest", "display": "a bed"},
        },
        {
            "code": {"text": "a bed"},
            "focus": reference("#r"),
            "contained": [
                {
                    "resourceType": "ServiceRequest",
                    "id": "r",
                    "status": "active",
                    "intent": "order",
                    "subject": {"display": "the person"},
                }
            ],
        },
        {
            "code": {
                "coding": [
                    *concept("urn:x", "y")["coding"],
                    *concept(TASK_CODE, "fulfill")["coding"],
                ]
            }
        },
    ],
)
async def test_a_referral_by_another_name_is_one(world: World, more: dict[str, Any]) -> None:
    patient = await new_patient(world[RIVER])
    answer = await world[RIVER].post("/Task", task(patient, status="accepted", **more))
    assert answer.status_code == 422
    assert "draft, requested" in diagnostics(answer)
    answer = await world[RIVER].post("/Task", task(patient, **more))
    assert answer.status_code == 422
    assert "No Consent in force" in diagnostics(answer)


async def test_nobody_becomes_the_owner_by_saying_that_they_employ_the_owner(world: World) -> None:
    patient = await new_patient(world[RIVER])
    worker = await created(world[SHELTER], {"resourceType": "Practitioner", "active": True})
    who = reference(f"Practitioner/{worker['id']}")

    def role(agency: str) -> Json:
        return {
            "resourceType": "PractitionerRole",
            "practitioner": who,
            "organization": reference(f"Organization/{agency}"),
        }

    # Harbor is older here than the shelter: being first decides nothing.
    await created(world[HARBOR], role(HARBOR))
    await created(world[SHELTER], role(SHELTER))
    for each in (HARBOR, SHELTER):
        await created(world[RIVER], release(patient, each))
    focus = urn()
    request = {
        "resourceType": "ServiceRequest",
        "status": "active",
        "intent": "order",
        "subject": reference(f"Patient/{patient}"),
    }
    sent = task(patient, focus=reference(focus)) | {"owner": who}
    answer = await world[RIVER].post("", transaction(post(request, focus), post(sent)))
    assert answer.status_code == 200, answer.text
    made = answer.json()["entry"][1]["resource"]
    assert (await put(world[HARBOR], made, "accepted")).status_code == 403
    assert (await put(world[SHELTER], made, "accepted")).status_code == 200
