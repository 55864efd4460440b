"""Emergency access: what it opens, whom it is told to, and what the survivor learns of it."""

from __future__ import annotations

from typing import Any

from tests.security.conftest import add_client
from tests.spine.conftest import ACT_CODE, AGENCIES, Agency, World, new_patient, observation

RIVER, HARBOR, _, LEGAL = AGENCIES
REASON = {"purpose_of_use": "ETREAT", "emergency_reason": "found unconscious"}


async def _night_room(world: World) -> Agency:
    world.secrets["night-room"] = str(
        await add_client(
            world,
            "night-room",
            organization=world.organizations[LEGAL],
            purposes_of_use=("ETREAT",),
            emergency=True,
        )
    )
    answer = await world.token("night-room", **REASON)
    return Agency(world.http, {"Authorization": f"Bearer {answer.json()['access_token']}"})


async def _told(agency: Agency) -> list[dict[str, Any]]:
    found = (await agency.get("/Communication")).json()
    return [entry["resource"] for entry in found.get("entry", ())]


async def test_the_custodian_is_told_once_of_each_token_and_nobody_else_is(world: World) -> None:
    patient = await new_patient(world[RIVER])
    made = (await world[RIVER].post("/Observation", observation(patient))).json()["id"]
    night = await _night_room(world)
    for path in (f"/Patient/{patient}", f"/Observation/{made}", "/Observation"):
        assert (await night.get(path)).status_code == 200
    (told,) = await _told(world[RIVER])
    assert told["subject"]["reference"] == f"Patient/{patient}"
    assert told["recipient"] == [{"reference": f"Organization/{RIVER}"}]
    assert told["reasonCode"][0]["coding"][0]["code"] == "ETREAT"
    assert "found unconscious" in told["payload"][0]["contentString"]
    assert await _told(world[HARBOR]) == []


async def test_the_survivor_sees_it_unless_what_was_seen_is_labelled_unsafe_to_know(
    world: World,
) -> None:
    patients = [await new_patient(world[RIVER]) for _ in range(2)]
    unsafe = {"security": [{"system": ACT_CODE, "code": "NOPAT"}]}
    made = [
        (await world[RIVER].post("/Observation", observation(patients[0]))).json()["id"],
        (await world[RIVER].post("/Observation", observation(patients[1], meta=unsafe))).json()[
            "id"
        ],
    ]
    night = await _night_room(world)
    for id_ in made:
        assert (await night.get(f"/Observation/{id_}")).status_code == 200
    assert len(await _told(world[RIVER])) == 2
    pool = world.service.database.pool
    seen = []
    for number, patient in enumerate(patients):
        rid = await pool.fetchval(
            "SELECT tl.occupied((SELECT code FROM tl.resource_type WHERE name = 'Patient'), $1)",
            patient,
        )
        name = f"own-app-{number}"
        world.secrets[name] = str(
            await add_client(world, name, patient=rid, purposes_of_use=("PATRQT",))
        )
        token = (await world.token(name)).json()["access_token"]
        seen.append(await _told(Agency(world.http, {"Authorization": f"Bearer {token}"})))
    assert [len(each) for each in seen] == [1, 0]


async def test_nothing_is_told_of_an_emergency_that_saw_nothing(world: World) -> None:
    await new_patient(world[RIVER])
    night = await _night_room(world)
    assert (await night.get("/Observation")).status_code == 200
    assert (await night.get("/Patient/nobody-here")).status_code == 404
    assert await _told(world[RIVER]) == []
