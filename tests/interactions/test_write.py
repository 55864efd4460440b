"""create, update and delete, plain and conditional (hl7.org/fhir/R4/http.html#create, #update, #delete)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from app.settings import Settings
from tests.interactions.bundles import criteria, patient, total
from tests.spine.conftest import AGENCIES, Agency, World, actor, consent, new_patient, observation

RIVER, HARBOR, SHELTER, LEGAL = AGENCIES


async def send(
    agency: Agency, method: str, path: str, body: object = None, **headers: str
) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await agency.http.request(
        method, f"/fhir{path}", headers=agency.headers | named, json=body
    )


async def test_create_tells_where_and_which_version(world: World) -> None:
    answer = await world[RIVER].post("/Patient", patient(id="mine", meta={"versionId": "9"}))
    made = answer.json()
    base = world.service.settings.fhir_base
    assert answer.status_code == 201
    assert made["id"] != "mine"
    assert answer.headers["location"] == f"{base}/Patient/{made['id']}/_history/1"
    assert answer.headers["etag"] == 'W/"1"'
    assert made["meta"]["versionId"] == "1"


@pytest.mark.parametrize(
    ("wish", "holds"),
    [
        ("return=minimal", None),
        ("return=representation", "Patient"),
        ("return=OperationOutcome", "OperationOutcome"),
        ("respond-async; return=minimal", None),
        ("return=nonsense", "Patient"),
    ],
)
async def test_prefer_says_what_comes_back_from_every_write(
    world: World, wish: str, holds: str | None
) -> None:
    river = world[RIVER]
    made = await send(river, "POST", "/Patient", patient("a"), prefer=wish)
    known = made.headers["location"].split("/")[-3]
    changed = await send(
        river, "PUT", f"/Patient/{known}", patient("a", id=known, active=True), prefer=wish
    )
    found = await send(
        river, "POST", "/Patient", patient("a"), prefer=wish, if_none_exist=criteria("a")
    )
    assert [made.status_code, changed.status_code, found.status_code] == [201, 200, 200]
    for answer in (made, changed, found):
        assert answer.headers["etag"]
        assert (answer.json()["resourceType"] if answer.content else None) == holds


async def test_update_wants_the_id_of_its_url_and_a_known_one(world: World) -> None:
    river, known = world[RIVER], await new_patient(world[RIVER])
    for body in (patient(), patient(id="other")):
        answer = await river.put(f"/Patient/{known}", body)
        assert answer.status_code == 400
        assert answer.json()["issue"][0]["expression"] == ["Patient.id"]
    hidden = await world[LEGAL].put(f"/Patient/{known}", patient(id=known))
    missing = await world[LEGAL].put("/Patient/no-such", patient(id="no-such"))
    assert hidden.status_code == missing.status_code == 405
    assert hidden.content == missing.content


async def test_update_as_create_is_a_setting_and_never_takes_a_hidden_id(
    world: World, tmp_path: Path
) -> None:
    known = await new_patient(world[RIVER])
    world.service.settings = Settings(state_dir=tmp_path, update_as_create=True)
    made = await world[LEGAL].put("/Patient/own-id", patient(id="own-id"))
    assert made.status_code == 201
    assert made.headers["location"].endswith("/Patient/own-id/_history/1")
    assert (await world[LEGAL].put(f"/Patient/{known}", patient(id=known))).status_code == 405
    assert (await world[RIVER].get(f"/Patient/{known}")).headers["etag"] == 'W/"1"'


async def test_of_ten_writers_with_the_same_version_exactly_one_wins(world: World) -> None:
    river, known = world[RIVER], await new_patient(world[RIVER])
    answers = await asyncio.gather(
        *(
            river.put(
                f"/Patient/{known}", patient(id=known, name=[{"family": f"W{n}"}]), if_match='W/"1"'
            )
            for n in range(10)
        )
    )
    assert sorted(each.status_code for each in answers) == [200] + [412] * 9
    (won,) = [each for each in answers if each.status_code == 200]
    assert (await river.get(f"/Patient/{known}")).content == won.content
    assert (await river.get(f"/Patient/{known}/_history")).json()["total"] == 2


async def test_of_ten_conditional_creates_exactly_one_makes_the_resource(world: World) -> None:
    river = world[RIVER]
    answers = await asyncio.gather(
        *(
            send(river, "POST", "/Patient", patient("a"), if_none_exist=criteria("a"))
            for _ in range(10)
        )
    )
    assert sorted(each.status_code for each in answers) == [200] * 9 + [201]
    assert len({each.json()["id"] for each in answers}) == 1
    assert await total(river, "Patient") == 1


async def test_conditional_create_update_and_delete_by_number_of_matches(world: World) -> None:
    river = world[RIVER]
    made = await send(river, "PUT", f"/Patient?{criteria('a')}", patient("a"))
    assert made.status_code == 201
    known = made.json()["id"]
    changed = await send(river, "PUT", f"/Patient?{criteria('a')}", patient("a", active=True))
    assert (changed.status_code, changed.json()["id"]) == (200, known)
    other = await send(river, "PUT", f"/Patient?{criteria('a')}", patient("a", id="other"))
    assert other.status_code == 400
    own = await send(river, "PUT", f"/Patient?{criteria('new')}", patient("new", id="own"))
    assert own.status_code == 405
    stale = await send(river, "PUT", f"/Patient?{criteria('a')}", patient("a"), if_match='W/"1"')
    assert stale.status_code == 412
    assert (await send(river, "DELETE", f"/Patient?{criteria('none')}")).status_code == 204
    await river.post("/Patient", patient("a"))
    for answer in (
        await send(river, "POST", "/Patient", patient("a"), if_none_exist=criteria("a")),
        await send(river, "PUT", f"/Patient?{criteria('a')}", patient("a")),
        await send(river, "DELETE", f"/Patient?{criteria('a')}"),
    ):
        assert answer.status_code == 412
        assert answer.json()["issue"][0]["code"] == "multiple-matches"
    assert await total(river, "Patient") == 2
    await river.delete(f"/Patient/{known}")
    assert (await send(river, "DELETE", f"/Patient?{criteria('a')}")).status_code == 204
    assert await total(river, "Patient") == 0


async def test_conditional_delete_takes_as_many_as_the_setting_allows(
    world: World, tmp_path: Path
) -> None:
    river = world[RIVER]
    world.service.settings = Settings(state_dir=tmp_path, conditional_delete_limit=3)
    for _ in range(4):
        await river.post("/Patient", patient("a"))
    assert (await send(river, "DELETE", f"/Patient?{criteria('a')}")).status_code == 412
    assert await total(river, "Patient") == 4
    one = (await river.get("/Patient")).json()["entry"][0]["resource"]["id"]
    await river.delete(f"/Patient/{one}")
    assert (await send(river, "DELETE", f"/Patient?{criteria('a')}")).status_code == 204
    assert await total(river, "Patient") == 0


async def test_conditions_want_criteria_and_only_criteria(world: World) -> None:
    river = world[RIVER]
    await river.post("/Patient", patient("a"))
    for query in ("", "_count=1", f"{criteria('a')}&_sort=_id", "no-such=1", "_pretty=true"):
        for answer in (
            await send(river, "DELETE", f"/Patient?{query}"),
            await send(river, "PUT", f"/Patient?{query}", patient("a")),
            await send(river, "POST", "/Patient", patient("a"), if_none_exist=query),
        ):
            assert answer.status_code == 400, (query, answer.text)
    assert await total(river, "Patient") == 1


async def test_hidden_matches_are_no_matches_and_answers_do_not_tell(world: World) -> None:
    known = (await world[RIVER].post("/Patient", patient("a"))).json()["id"]
    legal = world[LEGAL]
    for method, body in (("DELETE", None), ("PATCH", [])):
        hidden, missing = [
            await legal.http.request(
                method,
                f"/fhir/Patient?{criteria(name)}",
                headers=legal.headers | {"content-type": "application/json-patch+json"},
                json=body,
            )
            for name in ("a", "b")
        ]
        assert (hidden.status_code, hidden.content) == (missing.status_code, missing.content)
        assert dict(hidden.headers) == dict(missing.headers)
    made = await send(legal, "PUT", f"/Patient?{criteria('a')}", patient("a"))
    again = await send(
        world[SHELTER], "POST", "/Patient", patient("a"), if_none_exist=criteria("a")
    )
    assert [made.status_code, again.status_code] == [201, 201]
    assert (await world[RIVER].get(f"/Patient/{known}")).headers["etag"] == 'W/"1"'


async def test_delete_is_idempotent_and_the_same_for_hidden_and_missing(world: World) -> None:
    river, known = world[RIVER], await new_patient(world[RIVER])
    answers = [
        await world[LEGAL].delete(f"/Patient/{known}"),
        await world[LEGAL].delete("/Patient/no-such"),
        await river.delete(f"/Patient/{known}"),
        await river.delete(f"/Patient/{known}"),
    ]
    assert [each.status_code for each in answers] == [204] * 4
    assert len({tuple(sorted(each.headers.items())) for each in answers}) == 1
    assert (await river.get(f"/Patient/{known}/_history")).json()["total"] == 2


async def test_who_may_read_but_not_correct_is_refused_and_nothing_changes(world: World) -> None:
    known = await new_patient(world[RIVER])
    await world[RIVER].post("/Consent", consent(known, type="permit", actor=actor(HARBOR)))
    harbor = world[HARBOR]
    for answer in (
        await harbor.put(f"/Patient/{known}", patient(id=known, active=True)),
        await harbor.delete(f"/Patient/{known}"),
        await send(harbor, "DELETE", f"/Patient?_id={known}"),
    ):
        assert answer.status_code == 403
    assert (await world[RIVER].get(f"/Patient/{known}")).headers["etag"] == 'W/"1"'


async def test_conditional_interactions_need_the_scope_to_search(world: World) -> None:
    river = world[RIVER]
    token = (await world.token(RIVER, scope="system/Patient.crud")).json()["access_token"]
    river.headers["Authorization"] = f"Bearer {token}"
    for answer in (
        await send(river, "POST", "/Patient", patient("a"), if_none_exist=criteria("a")),
        await send(river, "PUT", f"/Patient?{criteria('a')}", patient("a")),
        await send(river, "DELETE", f"/Patient?{criteria('a')}"),
    ):
        assert answer.status_code == 403


async def test_without_the_scope_to_read_a_write_answers_no_content(world: World) -> None:
    river = world[RIVER]
    await river.post("/Patient", patient("a", birthDate="1990-01-01"))
    token = (await world.token(RIVER, scope="system/Patient.cus")).json()["access_token"]
    river.headers["Authorization"] = f"Bearer {token}"
    found = await send(river, "POST", "/Patient", patient("a"), if_none_exist=criteria("a"))
    assert (found.status_code, found.content) == (200, b"")


async def test_an_update_that_changes_nothing_makes_no_version(world: World) -> None:
    river, known = world[RIVER], await new_patient(world[RIVER])
    made = (await river.post("/Observation", observation(known))).json()
    again = await river.put(f"/Observation/{made['id']}", made)
    assert (again.status_code, again.headers["etag"]) == (200, 'W/"1"')


def _document(subject: str) -> dict[str, object]:
    """A document whose Composition names the other entry, a person, as `subject`."""
    composition = {
        "resourceType": "Composition",
        "status": "final",
        "type": {"text": "Summary"},
        "subject": {"reference": subject},
        "date": "2026-03-01",
        "author": [{"display": "Sample"}],
        "title": "Summary",
    }
    return {
        "resourceType": "Bundle",
        "type": "document",
        "identifier": {
            "system": "urn:ietf:rfc:3986",
            "value": "urn:uuid:" + "0" * 8 + "-1111-4111-8111-" + "0" * 12,
        },
        "timestamp": "2026-03-01T10:00:00Z",
        "entry": [
            {"fullUrl": f"urn:uuid:00000000-2222-4222-8222-{n:012}", "resource": resource}
            for n, resource in enumerate([composition, patient()])
        ],
    }


async def test_a_stored_document_may_name_its_own_entries_and_nothing_unknown(world: World) -> None:
    own, other = (f"urn:uuid:00000000-2222-4222-8222-{n:012}" for n in (1, 7))
    made = await world[RIVER].post("/Bundle", _document(own))
    assert made.status_code == 201
    refused = await world[RIVER].post("/Bundle", _document(other))
    assert refused.status_code == 422
    expression = refused.json()["issue"][0]["expression"]
    assert expression == ["Bundle.entry[0].resource.subject"]
    # About nobody who is known here: it is its custodian's alone.
    for agency in (HARBOR, LEGAL):
        assert (await world[agency].get(f"/Bundle/{made.json()['id']}")).status_code == 404
