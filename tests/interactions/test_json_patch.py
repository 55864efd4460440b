"""JSON Patch (RFC 6902; hl7.org/fhir/R4/http.html#patch)."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import orjson
import pytest

from tests.interactions.bundles import criteria, patient
from tests.spine.conftest import AGENCIES, Agency, World, actor, consent, new_patient, observation

RIVER, HARBOR, SHELTER, LEGAL = AGENCIES
JSON_PATCH = "application/json-patch+json"


async def patch(
    agency: Agency, path: str, operations: Any, media: str = JSON_PATCH, **headers: str
) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = operations if isinstance(operations, bytes) else orjson.dumps(operations)
    return await agency.http.patch(
        f"/fhir{path}", headers=agency.headers | named | {"content-type": media}, content=body
    )


async def test_every_operation_is_applied_in_order_as_one_version(world: World) -> None:
    river = world[RIVER]
    known = (await river.post("/Patient", patient("a", gender="female"))).json()["id"]
    answer = await patch(
        river,
        f"/Patient/{known}",
        [
            {"op": "test", "path": "/gender", "value": "female"},
            {"op": "replace", "path": "/gender", "value": "other"},
            {"op": "add", "path": "/name/-", "value": {"text": "Second"}},
            {"op": "copy", "from": "/name/0", "path": "/name/-"},
            {"op": "move", "from": "/name/1", "path": "/name/0"},
            {"op": "remove", "path": "/identifier"},
        ],
    )
    assert answer.status_code == 200, answer.text
    made = answer.json()
    assert [each.get("text", "Sample") for each in made["name"]] == ["Second", "Sample", "Sample"]
    assert made["gender"] == "other"
    assert "identifier" not in made
    assert answer.headers["etag"] == 'W/"2"'
    found = (await river.get(f"/Patient?{criteria('a')}&_total=accurate")).json()
    assert found["total"] == 0


async def test_numbers_keep_their_text_whether_patched_or_not(world: World) -> None:
    river, known = world[RIVER], await new_patient(world[RIVER])
    body = orjson.dumps(observation(known, valueQuantity={"value": 1234.5}))
    body = body.replace(b"1234.5", b"1234.50")
    made = await river.http.post(
        "/fhir/Observation",
        headers=river.headers | {"content-type": "application/fhir+json"},
        content=body,
    )
    path = f"/Observation/{made.json()['id']}"
    change = b'[{"op":"add","path":"/referenceRange","value":[{"low":{"value":0.40}}]},'
    change += b'{"op":"test","path":"/valueQuantity/value","value":1234.5}]'
    answer = await patch(river, path, change)
    assert answer.status_code == 200, answer.text
    assert b"1234.50" in answer.content
    assert b'"value":0.40' in answer.content


@pytest.mark.parametrize(
    ("operations", "status", "expression"),
    [
        ([{"op": "test", "path": "/active", "value": True}], 409, ["[0]"]),
        ([{"op": "test", "path": "/name/0/family", "value": "x"}], 409, ["[0]"]),
        ([{"op": "remove", "path": "/nothing"}], 422, ["[0]"]),
        (
            [
                {"op": "add", "path": "/active", "value": True},
                {"op": "move", "from": "/x", "path": "/y"},
            ],
            422,
            ["[1]"],
        ),
        ([{"op": "add", "path": "/colour", "value": "red"}], 400, ["Patient.colour"]),
        ([{"op": "add", "path": "/gender", "value": "unsure"}], 422, ["Patient.gender"]),
        ([{"op": "replace", "path": "/id", "value": "other"}], 400, ["Patient"]),
        (
            [{"op": "replace", "path": "", "value": {"resourceType": "Observation"}}],
            400,
            ["Patient"],
        ),
        ([{"op": "replace", "path": "", "value": 3}], 422, None),
        ([{"op": "paint", "path": "/active"}], 400, None),
        ([{"op": "add", "path": "active", "value": True}], 400, None),
        (
            [
                {
                    "op": "add",
                    "path": "/managingOrganization",
                    "value": {"reference": "Organization/none"},
                }
            ],
            422,
            ["Patient.managingOrganization"],
        ),
        ({"op": "add", "path": "/active", "value": True}, 400, None),
        (b"[", 400, None),
        (b'[{"op":"remove","op":"add","path":"/active"}]', 400, None),
    ],
)
async def test_a_patch_that_cannot_be_applied_says_why_and_changes_nothing(
    world: World, operations: Any, status: int, expression: list[str] | None
) -> None:
    river, known = world[RIVER], await new_patient(world[RIVER])
    answer = await patch(river, f"/Patient/{known}", operations)
    assert answer.status_code == status, answer.text
    if expression is not None:
        assert answer.json()["issue"][0]["expression"] == expression
    assert (await river.get(f"/Patient/{known}")).headers["etag"] == 'W/"1"'


async def test_copies_of_copies_are_stopped(world: World) -> None:
    river, known = world[RIVER], await new_patient(world[RIVER])
    wide = [{"op": "add", "path": "/contained", "value": []}]
    wide += [{"op": "copy", "from": "", "path": "/contained/-"}] * 40
    deep = [{"op": "copy", "from": "", "path": "/contained"}] * 270
    for bomb in (wide, deep):
        answer = await patch(river, f"/Patient/{known}", bomb)
        assert answer.status_code == 413


async def test_if_match_guards_a_patch_and_of_ten_exactly_one_wins(world: World) -> None:
    river, known = world[RIVER], await new_patient(world[RIVER])
    answers = await asyncio.gather(
        *(
            patch(
                river,
                f"/Patient/{known}",
                [{"op": "add", "path": "/birthDate", "value": f"2000-01-{n + 10}"}],
                if_match='W/"1"',
            )
            for n in range(10)
        )
    )
    assert sorted(each.status_code for each in answers) == [200] + [412] * 9


async def test_patches_without_if_match_all_take_effect(world: World) -> None:
    river, known = world[RIVER], await new_patient(world[RIVER])
    change = [{"op": "add", "path": "/name/-", "value": {"text": "one more"}}]
    await asyncio.gather(*(patch(river, f"/Patient/{known}", change) for _ in range(5)))
    assert len((await river.get(f"/Patient/{known}")).json()["name"]) == 6


async def test_hidden_and_missing_are_the_same_and_deleted_is_gone(world: World) -> None:
    known = await new_patient(world[RIVER])
    change = [{"op": "test", "path": "/name/0/family", "value": "Sample"}]
    hidden = await patch(world[LEGAL], f"/Patient/{known}", change)
    missing = await patch(world[LEGAL], "/Patient/no-such", change)
    assert hidden.status_code == missing.status_code == 404
    assert hidden.content == missing.content
    await world[RIVER].delete(f"/Patient/{known}")
    assert (await patch(world[RIVER], f"/Patient/{known}", change)).status_code == 410


async def test_a_reader_without_the_right_to_correct_may_not_patch(world: World) -> None:
    known = await new_patient(world[RIVER])
    await world[RIVER].post("/Consent", consent(known, type="permit", actor=actor(HARBOR)))
    answer = await patch(
        world[HARBOR], f"/Patient/{known}", [{"op": "add", "path": "/active", "value": True}]
    )
    assert answer.status_code == 403


async def test_another_media_type_is_415_and_tells_what_is_accepted(world: World) -> None:
    known = await new_patient(world[RIVER])
    answer = await patch(world[RIVER], f"/Patient/{known}", [], media="text/plain")
    assert answer.status_code == 415
    assert JSON_PATCH in answer.headers["accept-patch"]


async def test_conditional_patch_by_number_of_matches(world: World) -> None:
    river = world[RIVER]
    known = (await river.post("/Patient", patient("a"))).json()["id"]
    change = [{"op": "add", "path": "/active", "value": True}]
    one = await patch(river, f"/Patient?{criteria('a')}", change)
    assert (one.status_code, one.json()["id"], one.json()["active"]) == (200, known, True)
    assert (await patch(river, f"/Patient?{criteria('none')}", change)).status_code == 404
    await river.post("/Patient", patient("a"))
    assert (await patch(river, f"/Patient?{criteria('a')}", change)).status_code == 412
