"""Attempts on $link, $unlink and $match: by other hands, twice, in halves; labels hold throughout."""

from __future__ import annotations

import httpx
import pytest

from tests.care.conftest import (
    ACT_CODE,
    HARBOR,
    LEGAL,
    RIVER,
    SHELTER,
    Agency,
    Json,
    World,
    actions,
    actor,
    classes,
    consent,
    created,
    new_patient,
    observation,
    own_app,
    reference,
    release,
    saved,
)

SDV = {"system": ACT_CODE, "code": "SDV"}


async def joined(agency: Agency, one: str, other: str, how: str = "link") -> httpx.Response:
    value = {"name": "other", "valueReference": reference(f"Patient/{other}")}
    body = {"resourceType": "Parameters", "parameter": [value]}
    return await agency.post(f"/Patient/{one}/${how}", body)


async def two(world: World) -> tuple[str, str]:
    """River's and Harbor's Patient of one person; Harbor lets River correct its own."""
    ours, theirs = await new_patient(world[RIVER]), await new_patient(world[HARBOR])
    await created(world[HARBOR], may_correct(theirs, RIVER))
    return ours, theirs


def may_correct(patient: str, agency: str) -> Json:
    inner = {
        "type": "permit",
        "actor": actor(agency),
        "action": actions("access", "correct"),
        "class": classes("Patient"),
    }
    return consent(patient, type="permit", actor=actor(agency), provision=[inner])


async def sees(world: World, agency: str, *made: Json) -> list[bool]:
    paths = [f"/{each['resourceType']}/{each['id']}" for each in made]
    return [(await world[agency].get(path)).status_code == 200 for path in paths]


async def test_labels_hold_on_both_sides_of_a_link_and_after_it(world: World) -> None:
    ours, theirs = await two(world)
    plain = await created(world[HARBOR], observation(theirs))
    secret = await created(world[HARBOR], observation(theirs, meta={"security": [SDV]}))
    permit = release(ours, SHELTER)
    permit["provision"]["provision"].append({"type": "deny", "securityLabel": [SDV]})
    await created(world[RIVER], permit)
    assert await sees(world, SHELTER, plain, secret) == [False, False]
    assert (await joined(world[RIVER], ours, theirs)).status_code == 200
    assert await sees(world, SHELTER, plain, secret) == [True, False]
    stored = (await world[HARBOR].get(f"/Observation/{secret['id']}")).json()
    assert stored["meta"]["security"] == secret["meta"]["security"]
    assert (await joined(world[RIVER], ours, theirs, "unlink")).status_code == 200
    assert await sees(world, SHELTER, plain, secret) == [False, False]
    stored = (await world[HARBOR].get(f"/Observation/{secret['id']}")).json()
    assert stored["meta"]["security"] == secret["meta"]["security"]


async def test_linking_twice_is_linking_once(world: World) -> None:
    ours, theirs = await two(world)
    seen = await created(world[HARBOR], observation(theirs))
    await created(world[RIVER], release(ours, SHELTER))
    for _ in range(2):
        answer = await joined(world[RIVER], ours, theirs)
        assert answer.status_code == 200, answer.text
    assert await sees(world, SHELTER, seen) == [True]
    assert (await joined(world[RIVER], ours, theirs, "unlink")).status_code == 200
    assert await sees(world, SHELTER, seen) == [False]
    assert (await joined(world[RIVER], ours, theirs, "unlink")).status_code == 422


async def test_taking_the_link_element_away_by_hand_parts_nobody(world: World) -> None:
    ours, theirs = await two(world)
    seen = await created(world[HARBOR], observation(theirs))
    await created(world[RIVER], release(ours, SHELTER))
    assert (await joined(world[RIVER], ours, theirs)).status_code == 200
    patient = (await world[RIVER].get(f"/Patient/{ours}")).json()
    del patient["link"]
    await saved(world[RIVER], patient)
    assert await sees(world, SHELTER, seen) == [True]
    await created(world[HARBOR], consent(theirs, type="deny", actor=actor(SHELTER)))
    later = await created(world[RIVER], observation(ours))
    assert await sees(world, SHELTER, seen, later) == [False, False]
    assert (await joined(world[RIVER], ours, theirs, "unlink")).status_code == 200
    assert await sees(world, SHELTER, seen, later) == [False, True]


async def test_a_deny_on_either_side_binds_what_is_written_after_the_link(world: World) -> None:
    ours, theirs = await two(world)
    await created(world[RIVER], release(ours, SHELTER))
    assert (await joined(world[RIVER], ours, theirs)).status_code == 200
    await created(world[HARBOR], consent(theirs, type="deny", actor=actor(SHELTER)))
    later = await created(world[RIVER], observation(ours))
    assert await sees(world, SHELTER, later) == [False]


@pytest.mark.parametrize("how", ["link", "unlink"])
async def test_who_may_read_both_but_correct_one_neither_links_nor_parts(
    world: World, how: str
) -> None:
    ours, theirs = await two(world)
    # Once they are one person, who may correct one of them may correct both: then reading is all they may.
    one = may_correct(ours, SHELTER) if how == "link" else release(ours, SHELTER, "Patient")
    await created(world[RIVER], one)
    await created(world[HARBOR], release(theirs, SHELTER, "Patient"))
    if how == "unlink":
        assert (await joined(world[RIVER], ours, theirs)).status_code == 200
    before = (await world[RIVER].get(f"/Patient/{ours}")).json()
    assert (await joined(world[SHELTER], ours, theirs, how)).status_code == 403
    assert (await joined(world[SHELTER], theirs, ours, how)).status_code == 403
    assert (await world[RIVER].get(f"/Patient/{ours}")).json() == before


async def test_to_whom_a_patient_is_hidden_it_is_as_missing_for_linking_and_parting(
    world: World,
) -> None:
    ours, theirs = await two(world)
    own = await new_patient(world[LEGAL])
    for how in ("link", "unlink"):
        for one, other, absent in ((own, theirs, (own, "none")), (theirs, own, ("none", own))):
            hidden = await joined(world[LEGAL], one, other, how)
            missing = await joined(world[LEGAL], *absent, how)
            assert (hidden.status_code, hidden.content) == (missing.status_code, missing.content)
    assert (await world[RIVER].get(f"/Patient/{ours}")).json()["meta"]["versionId"] == "1"


async def test_a_match_tells_nothing_of_whom_the_caller_does_not_see(world: World) -> None:
    person: Json = {
        "resourceType": "Patient",
        "identifier": [{"system": "urn:mrn", "value": "a,b|c$d"}],
        "name": [{"family": "Núñez", "given": ["Ana"]}],
        "birthDate": "1997-03-14",
    }

    async def asked(agency: str, wanted: Json) -> httpx.Response:
        body = {
            "resourceType": "Parameters",
            "parameter": [{"name": "resource", "resource": wanted}],
        }
        return await world[agency].post("/Patient/$match", body)

    empty = await asked(HARBOR, person)
    made = await created(world[RIVER], person)
    assert (await asked(HARBOR, person)).content == empty.content
    many = person | {
        "identifier": [{"system": "urn:mrn", "value": f"v{n}"} for n in range(300)],
        "name": [{"family": f"F{n}"} for n in range(50)],
    }
    assert (await asked(HARBOR, many)).content == empty.content
    # A separator in an identifier is part of it: it finds this person, and by its halves nobody.
    (entry,) = (await asked(RIVER, person)).json()["entry"]
    assert entry["resource"]["id"] == made["id"]
    halves = {"resourceType": "Patient", "identifier": [{"system": "urn:mrn", "value": "a"}]}
    assert (await asked(RIVER, halves)).json()["total"] == 0


async def test_the_own_app_of_a_survivor_links_nobody(world: World) -> None:
    ours, theirs = await two(world)
    app = await own_app(world, ours)
    assert (await joined(app, ours, theirs)).status_code in (403, 422)
