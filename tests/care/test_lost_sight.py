"""A receiver who sees a Task no more: the note for who waits, also where nobody writes anything."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from app.care.referrals import expiry
from app.care.referrals.sight import LOST_SIGHT
from tests.care.conftest import (
    HARBOR,
    LEGAL,
    RIVER,
    SHELTER,
    Json,
    World,
    actor,
    concept,
    consent,
    created,
    done,
    found,
    new_patient,
    own_app,
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
from tests.enrolled import Enrolled
from tests.spine.conftest import ACT_REASON, open_world

SAFETY = "https://throughline.example/fhir/StructureDefinition/contact-safety"
BASES = ("http://127.0.0.1:8000/fhir",)


def until(patient: str, end: datetime, receiver: str = SHELTER) -> Json:
    """A release to the receiver that ends by itself."""
    made = release(patient, receiver)
    period = {"end": end.isoformat(timespec="milliseconds")}
    made["provision"]["period"] = period
    for each in made["provision"]["provision"]:
        each["period"] = period
    return made


async def ending(world: World, seconds: float) -> tuple[Json, datetime]:
    """A referral whose Consent runs out within so many seconds."""
    patient, focus = await new_patient(world[RIVER]), urn()
    end = datetime.now(UTC) + timedelta(seconds=seconds)
    stored = await done(
        world[RIVER],
        transaction(
            post(until(patient, end)),
            post(service_request(patient), focus),
            post(task(patient, focus=reference(focus))),
        ),
    )
    return stored[2], end


async def past(end: datetime) -> None:
    await asyncio.sleep((end - datetime.now(UTC)).total_seconds() + 0.05)


async def look(world: World) -> int:
    return await expiry.look(world.service.database, world.service.audit.write, BASES)


async def notes(world: World, made: Json, agency: str = RIVER) -> list[str]:
    answer = await world[agency].get(f"/Task/{made['id']}")
    return [each["text"] for each in answer.json().get("note", ())]


async def test_when_a_consent_runs_out_the_requester_is_told_though_nobody_writes(
    world: World,
) -> None:
    made, end = await ending(world, 1.0)
    assert (await world[SHELTER].get(f"/Task/{made['id']}")).status_code == 200
    assert await look(world) == 0
    assert await notes(world, made) == []
    await past(end)
    assert (await world[SHELTER].get(f"/Task/{made['id']}")).status_code == 404
    assert await look(world) == 1
    assert await notes(world, made) == [LOST_SIGHT]
    now = (await world[RIVER].get(f"/Task/{made['id']}")).json()
    assert (now["status"], now["meta"]["versionId"]) == ("requested", "2")
    # Found by who polls, and by what was asked before it changed.
    since = made["meta"]["lastUpdated"].replace("+", "%2B")
    polled = f"/Task?requester=Organization/{RIVER}&status=requested&_lastUpdated=gt{since}"
    assert [each["id"] for each in await found(world[RIVER], polled)] == [made["id"]]
    assert "onsent" not in now["note"][0]["text"]
    cancelled = {"status": "cancelled", "statusReason": {"text": "the person's wish"}}
    assert (await saved(world[RIVER], now | cancelled))["status"] == "cancelled"
    assert await written_down(world, made, "consent-end") == 1


async def written_down(world: World, made: Json, interaction: str) -> int:
    """How many rows of the audit, of this interaction and of no client, name the Task."""
    owner = await asyncpg.connect(world.database.admin_url)
    count: int = await owner.fetchval(
        "SELECT count(*) FROM tl.audit_event e JOIN tl.resource r ON r.rid = ANY (e.rids) "
        "WHERE r.id = $1 AND e.interaction = $2 AND e.client_id IS NULL AND e.organization = r.custodian",
        made["id"],
        interaction,
    )
    await owner.close()
    return count


async def test_it_is_told_once_whoever_looks_and_how_often(world: World) -> None:
    made, end = await ending(world, 0.8)
    await past(end)
    looked = await asyncio.gather(*(look(world) for _ in range(4)))
    assert sorted(looked) == [0, 0, 0, 1]
    assert await look(world) == 0
    assert await notes(world, made) == [LOST_SIGHT]
    history = (await world[RIVER].get(f"/Task/{made['id']}/_history")).json()
    assert [e["resource"]["meta"]["versionId"] for e in history["entry"]] == ["2", "1"]


async def test_the_service_looks_by_itself(
    enrolled: Callable[[], Enrolled], tmp_path: Path
) -> None:
    async with open_world(enrolled(), tmp_path, consent_end_seconds=0.2) as world:
        made, end = await ending(world, 0.8)
        await past(end)
        for _ in range(50):
            if await notes(world, made):
                break
            await asyncio.sleep(0.1)
        assert await notes(world, made) == [LOST_SIGHT]


async def test_a_release_that_goes_on_by_another_consent_leaves_no_note(world: World) -> None:
    made, end = await ending(world, 0.8)
    patient = made["for"]["reference"].removeprefix("Patient/")
    await created(world[RIVER], release(patient, SHELTER))
    await past(end)
    assert await look(world) == 0
    assert await notes(world, made) == []


async def test_a_consent_that_is_prolonged_is_looked_at_when_it_ends_then(world: World) -> None:
    made, end = await ending(world, 0.8)
    (permit,) = await found(world[RIVER], "/Consent")
    patient = made["for"]["reference"].removeprefix("Patient/")
    later = end + timedelta(seconds=0.8)
    await saved(world[RIVER], permit | {"provision": until(patient, later)["provision"]})
    await past(end)
    assert await look(world) == 0
    await past(later)
    assert await look(world) == 1
    assert await notes(world, made) == [LOST_SIGHT]


async def test_an_answer_that_is_being_written_is_waited_for_and_kept(world: World) -> None:
    made, end = await ending(world, 0.8)
    await past(end)
    owner = await asyncpg.connect(world.database.admin_url)
    async with owner.transaction():
        await owner.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(r.id, r.type::bigint)) FROM tl.resource r "
            "WHERE r.id = $1",
            made["id"],
        )
        assert await look(world) == 0
    await owner.close()
    await asyncio.sleep(1.1)
    assert await look(world) == 1
    assert await notes(world, made) == [LOST_SIGHT]


@pytest.mark.parametrize("named", [False, True])
async def test_an_answer_and_a_withdrawal_at_once_lose_neither(
    world: World, *, named: bool
) -> None:
    patient = await new_patient(world[RIVER])
    permit = await created(world[RIVER], release(patient, SHELTER))
    more = {"reasonReference": reference(f"Consent/{permit['id']}")} if named else {}
    sent = [await created(world[RIVER], task(patient, **more)) for _ in range(4)]
    answers = [world[SHELTER].put(f"/Task/{t['id']}", t | {"status": "accepted"}) for t in sent]
    *answered, gone = await asyncio.gather(
        *answers, world[RIVER].put(f"/Consent/{permit['id']}", permit | {"status": "inactive"})
    )
    assert gone.status_code == 200, gone.text
    for made, answer in zip(sent, answered, strict=True):
        assert answer.status_code < 500, answer.text
        now = (await world[RIVER].get(f"/Task/{made['id']}")).json()
        expected = "accepted" if answer.status_code == 200 else "requested"
        assert (now["status"], len(now["note"])) == (expected, 1)


async def test_what_cannot_be_written_down_is_not_done(world: World) -> None:
    made, end = await ending(world, 0.5)
    await past(end)

    async def refuse(*_: Any) -> None:
        raise OSError

    assert await expiry.look(world.service.database, refuse, BASES) == 0
    assert await notes(world, made) == []


async def test_the_notes_doors_are_shut_to_whoever_wrote_nothing(world: World) -> None:
    made = await referral(world, await new_patient(world[RIVER]))
    pool = world.service.database.pool
    for statement in (
        "SELECT tl.tasks_in_doubt(r.patient, 0::smallint, 0::smallint) FROM (VALUES (1::bigint)) r(patient)",
        "SELECT tl.note_tasks(ARRAY[1::bigint], ARRAY[1], now(), ARRAY[''::bytea], 0::smallint, 0::smallint)",
        "SELECT tl.put_ends(1)",
        "SELECT * FROM tl.tasks_about(1, 0::smallint)",
        "SELECT * FROM tl.consent_end",
    ):
        try:
            await pool.execute(statement)
        except asyncpg.InsufficientPrivilegeError:
            continue
        raise AssertionError(statement)
    assert await notes(world, made) == []


async def withdraw(world: World, agency: str = RIVER) -> None:
    for permit in await found(world[agency], "/Consent?status=active"):
        await saved(world[agency], permit | {"status": "inactive"})


async def test_a_number_that_has_become_unsafe_does_not_keep_a_consent_from_being_withdrawn(
    world: World,
) -> None:
    patient = await new_patient(world[RIVER])
    number = {"system": "phone", "value": "+1 503 555 0162"}
    contact = [{"type": {"text": "number"}, "valueContactPoint": number}]
    made = await referral(world, patient, input=contact)
    unsafe = [{"url": SAFETY, "extension": [{"url": "safe", "valueBoolean": False}]}]
    who = (await world[RIVER].get(f"/Patient/{patient}")).json()
    await saved(world[RIVER], who | {"telecom": [number | {"extension": unsafe}]})
    await withdraw(world)
    assert (await world[SHELTER].get(f"/Task/{made['id']}")).status_code == 404
    assert await notes(world, made) == [LOST_SIGHT]


async def test_what_a_task_refers_to_and_its_custodian_sees_no_more_does_not_either(
    world: World,
) -> None:
    # Two steps: River asks the shelter, the shelter asks legal aid for what River asked.
    patient = await new_patient(world[RIVER])
    made = await referral(world, patient)
    await created(world[RIVER], release(patient, LEGAL))
    second = await created(
        world[SHELTER],
        task(
            patient,
            LEGAL,
            SHELTER,
            focus=made["focus"],
            partOf=[reference(f"Task/{made['id']}")],
        ),
    )
    await withdraw(world)
    assert (await world[LEGAL].get(f"/Task/{second['id']}")).status_code == 404
    assert await notes(world, made) == [LOST_SIGHT]
    assert await notes(world, second, SHELTER) == [LOST_SIGHT]
    # The focus is still what finds it, should the person agree again.
    await created(world[RIVER], release(patient, LEGAL))
    assert (await world[LEGAL].get(f"/Task/{second['id']}")).status_code == 200


async def test_a_survivor_who_shuts_out_the_custodian_too_is_not_refused(world: World) -> None:
    patient = await new_patient(world[RIVER])
    made = await referral(world, patient)
    app = await own_app(world, patient)
    for each in (SHELTER, RIVER):
        await created(app, consent(patient, type="deny", actor=actor(each)))
    for each in (SHELTER, RIVER):
        assert (await world[each].get(f"/Task/{made['id']}")).status_code == 404


async def test_sight_that_a_link_takes_away_is_noted_as_well(world: World) -> None:
    patient, other = await new_patient(world[RIVER]), await new_patient(world[RIVER])
    made = await referral(world, patient)
    await created(world[RIVER], consent(other, type="deny", actor=actor(SHELTER)))
    both = {"name": "other", "valueReference": reference(f"Patient/{other}")}
    linked = await world[RIVER].post(
        f"/Patient/{patient}/$link", {"resourceType": "Parameters", "parameter": [both]}
    )
    assert linked.status_code == 200, linked.text
    assert (await world[SHELTER].get(f"/Task/{made['id']}")).status_code == 404
    assert await look(world) == 1
    assert await notes(world, made) == [LOST_SIGHT]


async def test_the_withdrawals_audit_names_the_tasks_that_were_noted(world: World) -> None:
    made = await referral(world, await new_patient(world[RIVER]))
    await withdraw(world)
    owner = await asyncpg.connect(world.database.admin_url)
    named = await owner.fetchval(
        "SELECT count(*) FROM tl.audit_event e JOIN tl.resource r ON r.rid = ANY (e.rids) "
        "WHERE r.id = $1 AND e.interaction = 'update' AND e.resource_id <> r.id",
        made["id"],
    )
    await owner.close()
    assert named == 1


async def test_a_permit_for_one_purpose_that_ends_counts_like_any_other(world: World) -> None:
    patient = await new_patient(world[RIVER])
    end = datetime.now(UTC) + timedelta(seconds=0.8)
    permit = until(patient, end, HARBOR)
    permit["provision"]["purpose"] = [{"system": ACT_REASON, "code": "COC"}]
    need = concept("https://throughline.example/fhir/CodeSystem/need", "housing")
    await created(world[RIVER], permit)
    made = await created(
        world[RIVER],
        task(patient, HARBOR, code=need | {"text": "x"})
        | {
            "code": concept("http://hl7.org/fhir/CodeSystem/task-code", "fulfill"),
        },
    )
    await past(end)
    assert await look(world) == 1
    assert await notes(world, made) == [LOST_SIGHT]
