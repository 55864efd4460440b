"""history of an instance, a type, the system (hl7.org/fhir/R4/http.html#history)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.interactions.bundles import entry, patient, send, statuses
from tests.spine.conftest import (
    ACT_CODE,
    AGENCIES,
    Agency,
    World,
    actor,
    consent,
    new_patient,
    observation,
)

RIVER, HARBOR, SHELTER, LEGAL = AGENCIES


async def versions(agency: Agency, path: str) -> list[tuple[str, str]]:
    """(url of the request, ETag) of the entries of one page."""
    answer = await agency.get(path)
    assert answer.status_code == 200, answer.text
    return [
        (each["fullUrl"].split("/fhir/")[1], each["response"]["etag"])
        for each in answer.json().get("entry", [])
    ]


async def changed(agency: Agency, known: str) -> None:
    await agency.put(f"/Patient/{known}", patient(id=known, active=True))


def next_path(bundle: dict[str, Any], world: World) -> str | None:
    urls = [each["url"] for each in bundle["link"] if each["relation"] == "next"]
    base = world.service.settings.fhir_base
    return urls[0].removeprefix(base) if urls else None


async def test_each_version_comes_with_the_request_and_response_that_made_it(world: World) -> None:
    river, known = world[RIVER], await new_patient(world[RIVER])
    await changed(river, known)
    await river.delete(f"/Patient/{known}")
    bundle = (await river.get(f"/Patient/{known}/_history")).json()
    assert (bundle["type"], bundle["total"]) == ("history", 3)
    gone, second, first = bundle["entry"]
    assert gone["request"] == {"method": "DELETE", "url": f"Patient/{known}"}
    assert "resource" not in gone
    assert second["request"] == {"method": "PUT", "url": f"Patient/{known}"}
    assert second["response"]["status"] == "200"
    assert first["request"] == {"method": "POST", "url": "Patient"}
    assert first["response"]["etag"] == 'W/"1"'
    assert first["resource"]["meta"]["lastUpdated"] == first["response"]["lastModified"]


async def test_type_and_system_histories_hold_every_version_newest_first(world: World) -> None:
    river, one = world[RIVER], await new_patient(world[RIVER])
    other = await new_patient(river)
    seen = (await river.post("/Observation", observation(one))).json()["id"]
    await changed(river, one)
    await river.delete(f"/Patient/{other}")
    of_type = [
        (f"Patient/{other}", 'W/"2"'),
        (f"Patient/{one}", 'W/"2"'),
        (f"Patient/{other}", 'W/"1"'),
        (f"Patient/{one}", 'W/"1"'),
    ]
    assert await versions(river, "/Patient/_history") == of_type
    of_system = await versions(river, "/_history")
    assert of_system[:4] == [*of_type[:2], (f"Observation/{seen}", 'W/"1"'), of_type[2]]


async def test_since_and_at_choose_versions_by_their_time(world: World) -> None:
    river, known = world[RIVER], await new_patient(world[RIVER])
    await changed(river, known)
    await river.put(f"/Patient/{known}", patient(id=known, active=False))
    bundle = (await river.get(f"/Patient/{known}/_history")).json()
    third, second, first = [each["response"]["lastModified"] for each in bundle["entry"]]
    path = f"/Patient/{known}/_history"

    async def found(query: str) -> list[str]:
        return [tag for _, tag in await versions(river, f"{path}?{query}")]

    assert await found(f"_since={second}") == ['W/"3"', 'W/"2"']
    assert await found("_since=2100-01-01T00:00:00Z") == []
    assert await found(f"_at={first}") == ['W/"1"']
    assert await found(f"_at={second}") == ['W/"2"']
    assert await found(f"_at={third}") == ['W/"3"']
    assert await found("_at=2999") == ['W/"3"']
    assert await found("_at=1999") == []
    assert await found(f"_at={third[:4]}") == ['W/"3"', 'W/"2"', 'W/"1"']
    assert (await river.get(f"{path}?_since={second}")).json()["total"] == 2


async def test_pages_follow_each_other_stable_while_versions_are_written(world: World) -> None:
    river = world[RIVER]
    made = [await new_patient(river) for _ in range(4)]
    await changed(river, made[0])
    for path in ("/Patient/_history", "/_history?_since=2020-01-01T00:00:00Z"):
        expected = (await versions(river, path))[:5]
        seen: list[tuple[str, str]] = []
        at: str | None = f"{path}{'&' if '?' in path else '?'}_count=2&_elements=active"
        while at:
            bundle = (await river.get(at)).json()
            assert len(bundle["entry"]) <= 2
            assert all("name" not in each.get("resource", {}) for each in bundle["entry"])
            seen += [
                (e["fullUrl"].split("/fhir/")[1], e["response"]["etag"]) for e in bundle["entry"]
            ]
            at = next_path(bundle, world)
            await changed(river, made[1])
            await new_patient(river)
        assert seen[:5] == expected
        assert len(set(seen)) == len(seen)


async def test_a_cursor_is_its_callers_alone_and_says_nothing(world: World) -> None:
    river = world[RIVER]
    for _ in range(3):
        await new_patient(river)
    bundle = (await river.get("/Patient/_history?_count=1")).json()
    path = next_path(bundle, world)
    assert path is not None
    assert (await world[LEGAL].get(path)).status_code == 400
    assert (await river.get(path.replace("/Patient/", "/Observation/"))).status_code == 400
    assert (await river.get(path[:-3] + "abc")).status_code == 400
    assert (await river.get(f"{path}&_since=2020")).status_code == 400
    assert "Patient" not in path.partition("_cursor=")[2]


async def test_a_hidden_record_is_in_no_history(world: World) -> None:
    river, known = world[RIVER], await new_patient(world[RIVER])
    await river.post("/Observation", observation(known))
    await changed(river, known)
    legal = world[LEGAL]
    hidden = await legal.get(f"/Patient/{known}/_history")
    missing = await legal.get("/Patient/none/_history")
    assert (hidden.status_code, hidden.content) == (404, missing.content)
    assert await versions(legal, "/Patient/_history") == []
    assert await versions(legal, "/Observation/_history") == []
    assert all("Organization" in url for url, _ in await versions(legal, "/_history"))


async def test_versions_from_before_a_relabelling_are_hidden_with_the_present_one(
    world: World,
) -> None:
    river, known = world[RIVER], await new_patient(world[RIVER])
    label = {"system": ACT_CODE, "code": "PSY"}
    given = consent(
        known,
        type="permit",
        actor=actor(HARBOR),
        provision=[{"type": "deny", "securityLabel": [label]}],
    )
    await river.post("/Consent", given)
    made = (await river.post("/Observation", observation(known))).json()
    harbor, path = world[HARBOR], f"/Observation/{made['id']}"
    assert len(await versions(harbor, f"{path}/_history")) == 1
    await river.put(path, made | {"meta": {"security": [label]}})
    for hidden in (path, f"{path}/_history", f"{path}/_history/1"):
        assert (await harbor.get(hidden)).status_code == 404
    assert await versions(harbor, "/Observation/_history") == []
    assert len(await versions(river, "/Observation/_history")) == 2


async def test_the_history_after_a_withdrawal_is_that_of_a_stranger(world: World) -> None:
    river, known = world[RIVER], await new_patient(world[RIVER])
    given = (
        await river.post("/Consent", consent(known, type="permit", actor=actor(HARBOR)))
    ).json()
    await changed(river, known)
    await changed(river, known)
    harbor = world[HARBOR]
    bundle = (await harbor.get("/Patient/_history?_count=1")).json()
    path = next_path(bundle, world)
    assert path is not None
    await river.put(f"/Consent/{given['id']}", given | {"status": "inactive"})
    assert await versions(harbor, path) == []
    assert (await harbor.get(f"/Patient/{known}/_history")).status_code == 404


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("_since=yesterday", "_since"),
        ("_count=-1", "_count"),
        ("_at=x", "_at"),
        ("code=1", "code"),
        ("_count=1&_count=2", "_count"),
    ],
)
async def test_parameters_at_fault_are_named(world: World, query: str, name: str) -> None:
    for path in ("/Patient/_history", "/_history", "/Patient/x/_history"):
        answer = await world[RIVER].get(f"{path}?{query}")
        assert answer.status_code == 400, answer.text
        assert answer.json()["issue"][0]["expression"] == [name]
    lenient = await world[RIVER].get("/Patient/_history?code=1", prefer="handling=lenient")
    assert lenient.status_code == 200


async def test_the_system_history_holds_the_types_of_the_scopes(world: World) -> None:
    river, known = world[RIVER], await new_patient(world[RIVER])
    await river.post("/Observation", observation(known))
    token = (await world.token(RIVER, scope="system/Observation.s system/Patient.r")).json()
    river.headers["Authorization"] = f"Bearer {token['access_token']}"
    assert {url.split("/")[0] for url, _ in await versions(river, "/_history")} == {"Observation"}
    assert (await river.get("/Patient/_history")).status_code == 403
    assert (await river.get(f"/Patient/{known}/_history")).status_code == 200


async def test_history_is_read_in_batches_and_transactions(world: World) -> None:
    river, known = world[RIVER], await new_patient(world[RIVER])
    answer = await send(
        river,
        "transaction",
        entry("GET", f"Patient/{known}/_history"),
        entry("PUT", f"Patient/{known}", patient(id=known, active=True)),
    )
    assert statuses(answer) == ["200", "200"]
    assert answer.json()["entry"][0]["resource"]["total"] == 2
