"""A Task goes only to whom the survivor lets receive it; who loses sight is noted, in neutral words."""

from __future__ import annotations

import pytest

from tests.care.conftest import (
    HARBOR,
    LEGAL,
    RIVER,
    SHELTER,
    World,
    created,
    diagnostics,
    done,
    found,
    new_patient,
    post,
    reference,
    referral,
    release,
    saved,
    service_request,
    task,
    transaction,
    urn,
)

NEUTRAL = "no longer with its receiver"


async def test_a_task_without_consent_is_refused_and_the_custodian_is_told_why(
    world: World,
) -> None:
    patient = await new_patient(world[RIVER])
    focus = urn()
    bundle = transaction(
        post(service_request(patient), focus), post(task(patient, focus=reference(focus)))
    )
    answer = await world[RIVER].post("", bundle)
    assert answer.status_code == 422
    assert "lets the owner read the Task and the ServiceRequest" in diagnostics(answer)
    assert answer.json()["issue"][0]["expression"] == ["Bundle.entry[1].resource.Task.owner"]
    assert await found(world[RIVER], "/Task") == []
    assert await found(world[RIVER], "/ServiceRequest") == []


async def test_only_what_is_missing_is_named(world: World) -> None:
    patient = await new_patient(world[RIVER])
    await created(world[RIVER], release(patient, SHELTER, "Patient"))
    request = await created(world[RIVER], service_request(patient))
    focus = reference(f"ServiceRequest/{request['id']}")
    answer = await world[RIVER].post("/Task", task(patient, focus=focus))
    assert "lets the owner read the ServiceRequest:" in diagnostics(answer)


async def test_whoever_does_not_keep_the_record_learns_nothing_of_the_consents(
    world: World,
) -> None:
    patient = await new_patient(world[RIVER])
    await created(world[RIVER], release(patient, HARBOR))
    answer = await world[HARBOR].post("/Task", task(patient, LEGAL, HARBOR))
    assert answer.status_code == 422
    assert "Consent" not in diagnostics(answer)
    assert "cannot be sent to this owner" in diagnostics(answer)


async def test_a_draft_may_wait_for_the_consent(world: World) -> None:
    patient = await new_patient(world[RIVER])
    draft = await created(world[RIVER], task(patient, status="draft"))
    answer = await world[RIVER].put(f"/Task/{draft['id']}", draft | {"status": "requested"})
    assert answer.status_code == 422
    await created(world[RIVER], release(patient, SHELTER))
    assert (await saved(world[RIVER], draft | {"status": "requested"}))["status"] == "requested"


async def test_an_unanswered_task_is_sent_elsewhere_only_with_consent(world: World) -> None:
    patient = await new_patient(world[RIVER])
    made = await referral(world, patient)
    elsewhere = made | {"owner": reference(f"Organization/{LEGAL}")}
    assert (await world[RIVER].put(f"/Task/{made['id']}", elsewhere)).status_code == 422
    await created(world[RIVER], release(patient, LEGAL))
    await saved(world[RIVER], elsewhere)
    assert (await found(world[LEGAL], f"/Task?owner=Organization/{LEGAL}"))[0]["id"] == made["id"]


async def withdraw(world: World) -> None:
    (permit,) = await found(world[RIVER], "/Consent")
    await saved(world[RIVER], permit | {"status": "inactive"})


@pytest.mark.parametrize("accepted", [False, True])
async def test_after_withdrawal_the_receiver_sees_nothing_and_the_requester_a_neutral_note(
    world: World, accepted: bool
) -> None:
    made = await referral(world, await new_patient(world[RIVER]))
    if accepted:
        made = await saved(world[SHELTER], made | {"status": "accepted"})
    await withdraw(world)
    assert (await world[SHELTER].get(f"/Task/{made['id']}")).status_code == 404
    assert (await world[SHELTER].get(f"/Task/{made['id']}/_history")).status_code == 404
    now = (await world[RIVER].get(f"/Task/{made['id']}")).json()
    assert now["status"] == made["status"]
    (note,) = now["note"]
    assert NEUTRAL in note["text"]
    assert "onsent" not in note["text"]
    cancelled = {"status": "cancelled", "statusReason": {"text": "the person's wish"}}
    assert (await saved(world[RIVER], now | cancelled))["status"] == "cancelled"


async def test_a_requester_who_did_not_write_the_consent_gets_the_note_too(world: World) -> None:
    patient = await new_patient(world[RIVER])
    await created(world[RIVER], release(patient, HARBOR))
    permit = await created(world[RIVER], release(patient, LEGAL))
    made = await created(world[HARBOR], task(patient, LEGAL, HARBOR))
    assert (await world[RIVER].get(f"/Task/{made['id']}")).status_code == 404
    await saved(world[RIVER], permit | {"status": "inactive"})
    assert (await world[LEGAL].get(f"/Task/{made['id']}")).status_code == 404
    assert (await world[RIVER].get(f"/Task/{made['id']}")).status_code == 404
    note = (await world[HARBOR].get(f"/Task/{made['id']}")).json()["note"][0]
    assert NEUTRAL in note["text"]


async def test_a_consent_that_changes_nothing_for_the_receiver_leaves_no_note(
    world: World,
) -> None:
    patient = await new_patient(world[RIVER])
    made = await referral(world, patient)
    await created(world[RIVER], release(patient, HARBOR))
    assert "note" not in (await world[RIVER].get(f"/Task/{made['id']}")).json()


async def test_a_finished_referral_is_left_as_it_is(world: World) -> None:
    made = await referral(world, await new_patient(world[RIVER]))
    rejected = made | {"status": "rejected", "statusReason": {"text": "full"}}
    await saved(world[SHELTER], rejected)
    await withdraw(world)
    assert "note" not in (await world[RIVER].get(f"/Task/{made['id']}")).json()


async def test_one_transaction_may_bring_consent_and_task(world: World) -> None:
    patient = await new_patient(world[RIVER])
    stored = await done(
        world[RIVER], transaction(post(task(patient)), post(release(patient, SHELTER)))
    )
    assert stored[0]["status"] == "requested"
