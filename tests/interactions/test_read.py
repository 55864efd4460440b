"""read and vread with their conditions (hl7.org/fhir/R4/http.html#read, #vread, #cread)."""

from __future__ import annotations

import pytest

from tests.interactions.bundles import patient
from tests.spine.conftest import AGENCIES, World, new_patient

RIVER, HARBOR, SHELTER, LEGAL = AGENCIES


async def test_head_answers_the_headers_of_get_without_its_body(world: World) -> None:
    river, known = world[RIVER], await new_patient(world[RIVER])
    for path in (f"/Patient/{known}", f"/Patient/{known}/_history/1", "/Patient/no-such"):
        got = await river.get(path)
        head = await river.http.head(f"/fhir{path}", headers=river.headers)
        assert head.status_code == got.status_code
        assert head.content == b""
        assert dict(head.headers) == dict(got.headers)
        assert int(head.headers["content-length"]) == len(got.content)


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [
        ("if-none-match", 'W/"1"', 304),
        ("if-none-match", '"1"', 304),
        ("if-none-match", 'W/"7", W/"1"', 304),
        ("if-none-match", "*", 304),
        ("if-none-match", 'W/"2"', 200),
        ("if-none-match", "nonsense", 200),
        ("if-modified-since", "Fri, 01 Jan 2100 00:00:00 GMT", 304),
        ("if-modified-since", "Thu, 01 Jan 2015 00:00:00 GMT", 200),
        ("if-modified-since", "yesterday", 200),
    ],
)
async def test_conditional_read_answers_304_where_nothing_is_new(
    world: World, header: str, value: str, status: int
) -> None:
    river, known = world[RIVER], await new_patient(world[RIVER])
    answer = await river.get(f"/Patient/{known}", **{header: value})
    assert answer.status_code == status
    assert answer.headers["etag"] == 'W/"1"'
    assert bool(answer.content) == (status == 200)


async def test_last_modified_of_the_answer_makes_the_next_read_304(world: World) -> None:
    river, known = world[RIVER], await new_patient(world[RIVER])
    first = await river.get(f"/Patient/{known}")
    again = await river.get(
        f"/Patient/{known}", **{"if-modified-since": first.headers["last-modified"]}
    )
    assert again.status_code == 304


async def test_conditions_tell_nothing_of_what_is_hidden(world: World) -> None:
    known = await new_patient(world[RIVER])
    for headers in ({"if-none-match": "*"}, {"if-modified-since": "Fri, 01 Jan 2100 00:00:00 GMT"}):
        hidden = await world[LEGAL].get(f"/Patient/{known}", **headers)
        missing = await world[LEGAL].get("/Patient/no-such", **headers)
        assert (hidden.status_code, hidden.content) == (404, missing.content)
        assert dict(hidden.headers) == dict(missing.headers)


async def test_deleted_is_410_with_its_version_and_its_last_version_is_410_too(
    world: World,
) -> None:
    river, known = world[RIVER], await new_patient(world[RIVER])
    await river.delete(f"/Patient/{known}")
    for path in (f"/Patient/{known}", f"/Patient/{known}/_history/2"):
        gone = await river.get(path)
        assert gone.status_code == 410
        assert gone.headers["etag"] == 'W/"2"'
        assert gone.json()["issue"][0]["code"] == "deleted"
    assert (await river.get(f"/Patient/{known}/_history/1")).status_code == 200
    assert (await world[LEGAL].get(f"/Patient/{known}")).status_code == 404
    assert (await world[LEGAL].get(f"/Patient/{known}/_history/2")).status_code == 404


async def test_a_deleted_resource_comes_back_by_update_as_a_new_version(world: World) -> None:
    river, known = world[RIVER], await new_patient(world[RIVER])
    await river.delete(f"/Patient/{known}")
    back = await river.put(f"/Patient/{known}", patient(id=known))
    assert back.status_code == 200
    assert back.headers["etag"] == 'W/"3"'
    assert (await river.get(f"/Patient/{known}")).status_code == 200


@pytest.mark.parametrize("version", ["0", "2", "x", "-1", "99999999999999999999"])
async def test_vread_of_a_version_that_never_was_is_missing(world: World, version: str) -> None:
    river, known = world[RIVER], await new_patient(world[RIVER])
    answer = await river.get(f"/Patient/{known}/_history/{version}")
    assert answer.status_code == 404
