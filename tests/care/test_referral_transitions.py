"""Every (from, to, actor) of a referral's Task, as a golden table and over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.care.referrals.transitions import NEW, Actor, Permitted, judge
from tests.care.conftest import (
    LEGAL,
    RIVER,
    SHELTER,
    World,
    created,
    diagnostics,
    new_patient,
    reference,
    referral,
    release,
    saved,
    service_request,
    task,
    transaction,
)

GOLDEN = Path(__file__).with_name("referral-transitions.txt")
STATUSES = (
    *("draft", "requested", "received", "accepted", "rejected", "ready", "cancelled"),
    *("in-progress", "on-hold", "failed", "completed", "entered-in-error"),
)
ACTORS: dict[str, set[Actor]] = {
    "requester": {Actor.REQUESTER},
    "owner": {Actor.OWNER},
    "neither": set(),
}
PATHS = {
    "draft": [],
    "requested": [],
    "accepted": ["accepted"],
    "in-progress": ["accepted", "in-progress"],
    "on-hold": ["accepted", "on-hold"],
    "completed": ["accepted", "completed"],
    "failed": ["accepted", "failed"],
    "rejected": ["rejected"],
}


def complete(status: str, done: str = "Procedure/p") -> dict[str, Any]:
    """A status with whatever it needs."""
    return {
        "status": status,
        "statusReason": {"text": "a reason"},
        "output": [{"type": {"text": "done"}, "valueReference": reference(done)}],
    }


def test_the_table_of_moves_is_the_golden_one() -> None:
    lines = []
    for before in (NEW, *STATUSES):
        for to in STATUSES:
            who = [
                name
                for name, actors in ACTORS.items()
                if before != to and judge(before, complete(to), frozenset(actors)) == Permitted()
            ]
            lines.append(f"{before} -> {to}: {', '.join(who) or 'nobody'}")
    assert "\n".join(lines) + "\n" == GOLDEN.read_text()


def allowed() -> dict[tuple[str, str], list[str]]:
    """The golden table, read again."""
    table = {}
    for line in GOLDEN.read_text().splitlines():
        move, _, who = line.partition(": ")
        before, _, to = move.partition(" -> ")
        table[before, to] = [] if who == "nobody" else who.split(", ")
    return table


async def procedure(world: World, patient: str) -> str:
    stored = await created(
        world[RIVER],
        {
            "resourceType": "Procedure",
            "status": "completed",
            "subject": reference(f"Patient/{patient}"),
        },
    )
    return f"Procedure/{stored['id']}"


async def driven(world: World, patient: str, done: str, status: str) -> dict[str, Any]:
    """A referral's Task that the parties have brought to a status."""
    first = "draft" if status == "draft" else "requested"
    request = await created(world[RIVER], service_request(patient))
    made = await created(
        world[RIVER],
        task(patient, status=first, focus=reference(f"ServiceRequest/{request['id']}")),
    )
    for step in PATHS[status]:
        made = await saved(world[SHELTER], made | complete(step, done))
    return made


@pytest.mark.parametrize("before", list(PATHS))
async def test_every_move_over_http_is_as_the_table_says(world: World, before: str) -> None:
    patient = await new_patient(world[RIVER])
    # Shelter and legal aid may both read and correct Tasks: consent alone must not decide a move.
    await created(world[RIVER], release(patient, SHELTER))
    await created(world[RIVER], release(patient, LEGAL))
    done = await procedure(world, patient)
    table = allowed()
    made = await driven(world, patient, done, before)
    for name, agency in (("neither", LEGAL), ("requester", RIVER), ("owner", SHELTER)):
        for to in STATUSES:
            if to == before:
                continue
            answer = await world[agency].put(f"/Task/{made['id']}", made | complete(to, done))
            known = table[before, to]
            if name in known:
                assert answer.status_code == 200, (name, to, answer.text)
                made = await driven(world, patient, done, before)
            else:
                expected = 403 if known else 422
                assert answer.status_code == expected, (name, to, answer.text)
                assert answer.json()["issue"][0]["expression"] == ["Task.status"]


@pytest.mark.parametrize("status", ["accepted", "in-progress", "completed", "failed", "received"])
async def test_a_referral_begins_as_draft_or_requested(world: World, status: str) -> None:
    patient = await new_patient(world[RIVER])
    await created(world[RIVER], release(patient, SHELTER))
    answer = await world[RIVER].post("/Task", task(patient, status=status))
    assert answer.status_code == 422
    assert "draft, requested" in diagnostics(answer)


@pytest.mark.parametrize("status", ["rejected", "cancelled"])
async def test_a_refusal_needs_its_reason(world: World, status: str) -> None:
    made = await referral(world, await new_patient(world[RIVER]))
    answer = await world[SHELTER].put(f"/Task/{made['id']}", made | {"status": status})
    assert answer.status_code == 422
    assert answer.json()["issue"][0]["expression"] == ["Task.statusReason"]


async def test_completion_needs_what_was_done(world: World) -> None:
    made = await referral(world, await new_patient(world[RIVER]))
    made = await saved(world[SHELTER], made | {"status": "accepted"})
    for output in ([], [{"type": {"text": "words"}, "valueString": "done"}]):
        changed = made | {"status": "completed"} | ({"output": output} if output else {})
        answer = await world[SHELTER].put(f"/Task/{made['id']}", changed)
        assert answer.status_code == 422
        assert answer.json()["issue"][0]["expression"] == ["Task.output"]


async def test_a_transaction_is_judged_as_an_update_is(world: World) -> None:
    patient = await new_patient(world[RIVER])
    made = await referral(world, patient)
    entry = {
        "resource": made | {"status": "completed"},
        "request": {"method": "PUT", "url": f"Task/{made['id']}"},
    }
    answer = await world[SHELTER].post("", transaction(entry))
    assert answer.status_code == 422
    assert answer.json()["issue"][0]["expression"] == ["Bundle.entry[0].resource.Task.status"]
    entry["resource"] = made | {"status": "accepted"}
    refused = await world[RIVER].post("", transaction(entry))
    assert refused.status_code == 403
    assert (await world[SHELTER].post("", transaction(entry))).status_code == 200


async def test_the_owner_leaves_what_was_asked_for_as_it_was_sent(world: World) -> None:
    patient = await new_patient(world[RIVER])
    other = await new_patient(world[RIVER])
    made = await referral(world, patient)
    for change in (
        {"for": reference(f"Patient/{other}")},
        {"requester": reference(f"Organization/{SHELTER}")},
        {"owner": reference(f"Organization/{LEGAL}")},
        {"priority": "stat"},
        {"code": {"text": "nothing to fulfil"}},
    ):
        answer = await world[SHELTER].put(f"/Task/{made['id']}", made | change)
        assert answer.status_code in (403, 422), change
    answer = await world[SHELTER].put(f"/Task/{made['id']}", made | {"code": {"text": "other"}})
    assert answer.json()["issue"][0]["expression"] == ["Task.code"]


async def test_nobody_makes_himself_the_owner_by_the_move_itself(world: World) -> None:
    patient = await new_patient(world[RIVER])
    made = await referral(world, patient)
    await created(world[RIVER], release(patient, LEGAL))
    grabbed = made | {"status": "accepted", "owner": reference(f"Organization/{LEGAL}")}
    answer = await world[LEGAL].put(f"/Task/{made['id']}", grabbed)
    assert answer.status_code == 403


async def test_a_sent_referral_is_not_deleted(world: World) -> None:
    patient = await new_patient(world[RIVER])
    made = await referral(world, patient)
    assert (await world[RIVER].delete(f"/Task/{made['id']}")).status_code == 422
    draft = await created(world[RIVER], task(patient, status="draft"))
    assert (await world[RIVER].delete(f"/Task/{draft['id']}")).status_code == 204


async def test_a_task_of_ones_own_is_no_referral(world: World) -> None:
    patient = await new_patient(world[RIVER])
    own = await created(
        world[RIVER],
        {
            "resourceType": "Task",
            "status": "in-progress",
            "intent": "plan",
            "for": reference(f"Patient/{patient}"),
            "description": "Call back",
        },
    )
    assert (await saved(world[RIVER], own | {"status": "completed"}))["status"] == "completed"


async def test_the_requesters_practitioner_is_spoken_for_by_the_employer(world: World) -> None:
    patient = await new_patient(world[RIVER])
    nurse = await created(world[RIVER], {"resourceType": "Practitioner"})
    who = f"Practitioner/{nurse['id']}"
    await created(
        world[RIVER],
        {
            "resourceType": "PractitionerRole",
            "practitioner": reference(who),
            "organization": reference(f"Organization/{RIVER}"),
        },
    )
    made = await referral(world, patient, requester=who)
    refused = await world[SHELTER].put(f"/Task/{made['id']}", made | {"status": "entered-in-error"})
    assert refused.status_code == 403
    assert (await saved(world[RIVER], made | {"status": "entered-in-error"}))["id"] == made["id"]
