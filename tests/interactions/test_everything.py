"""Patient/{id}/$everything (hl7.org/fhir/R4/patient-operation-everything.html)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.interactions.bundles import entry, patient, send, statuses
from tests.interactions.test_history import next_path
from tests.spine.conftest import AGENCIES, World, actor, consent, new_patient, observation

RIVER, HARBOR, SHELTER, LEGAL = AGENCIES


def held(bundle: dict[str, Any], mode: str = "match") -> list[str]:
    return [
        "{resourceType}/{id}".format(**each["resource"])
        for each in bundle.get("entry", [])
        if each["search"]["mode"] == mode
    ]


async def record(world: World) -> tuple[str, list[str]]:
    """A patient with an Observation, a Provenance about it, and another patient's Observation beside it."""
    river, known = world[RIVER], await new_patient(world[RIVER])
    other = await new_patient(river)
    await river.post("/Observation", observation(other))
    body = observation(known, performer=[{"reference": f"Organization/{RIVER}"}])
    seen = (await river.post("/Observation", body)).json()["id"]
    provenance = {
        "resourceType": "Provenance",
        "target": [{"reference": f"Observation/{seen}"}],
        "recorded": "2026-03-01T10:00:00Z",
        "agent": [{"who": {"reference": f"Organization/{RIVER}"}}],
    }
    made = await river.post("/Provenance", provenance)
    assert made.status_code == 201, made.text
    return known, [f"Patient/{known}", f"Observation/{seen}", f"Provenance/{made.json()['id']}"]


async def test_a_record_holds_what_is_about_the_patient_however_far_and_what_it_names(
    world: World,
) -> None:
    known, expected = await record(world)
    bundle = (await world[RIVER].get(f"/Patient/{known}/$everything")).json()
    assert held(bundle) == expected
    assert held(bundle, "include") == [f"Organization/{RIVER}"]


async def test_each_part_is_judged_on_its_own(world: World) -> None:
    known, expected = await record(world)
    path = f"/Patient/{known}/$everything"
    hidden = await world[LEGAL].get(path)
    missing = await world[LEGAL].get("/Patient/none/$everything")
    assert (hidden.status_code, hidden.content) == (404, missing.content)
    only = [{"system": "http://hl7.org/fhir/resource-types", "code": "Observation"}]
    given = consent(
        known, type="permit", actor=actor(HARBOR), provision=[{"type": "deny", "class": only}]
    )
    await world[RIVER].post("/Consent", given)
    bundle = (await world[HARBOR].get(path)).json()
    seen = held(bundle)
    assert expected[0] in seen
    assert expected[1] not in seen
    assert "total" not in bundle


async def test_pages_follow_each_other_and_end_with_a_withdrawal(world: World) -> None:
    known, _ = await record(world)
    river, harbor = world[RIVER], world[HARBOR]
    given = (
        await river.post("/Consent", consent(known, type="permit", actor=actor(HARBOR)))
    ).json()
    path: str | None = f"/Patient/{known}/$everything?_count=2"
    whole = held((await harbor.get(f"/Patient/{known}/$everything")).json())
    seen: list[str] = []
    second = None
    while path:
        bundle = (await harbor.get(path)).json()
        seen += held(bundle)
        path = next_path(bundle, world)
        second = second or path
    assert seen == whole
    assert len(seen) == 4
    assert second is not None
    assert (await world[LEGAL].get(second)).status_code == 400
    await river.put(f"/Consent/{given['id']}", given | {"status": "inactive"})
    assert (await harbor.get(second)).status_code == 404


@pytest.mark.parametrize(
    ("query", "types"),
    [
        ("_type=Observation", {"Observation"}),
        ("_type=Observation,Organization", {"Observation", "Organization"}),
        ("_since=2100-01-01T00:00:00Z", set()),
        ("_since=2020-01-01T00:00:00Z&_type=Patient", {"Patient"}),
        ("start=2026-03-02", {"Patient"}),
        ("end=2026-02", {"Patient"}),
        (
            "start=2026-03-01&end=2026-03-01",
            {"Patient", "Observation", "Provenance", "Organization"},
        ),
    ],
)
async def test_parts_are_chosen_by_type_and_time(world: World, query: str, types: set[str]) -> None:
    known, _ = await record(world)
    answer = await world[RIVER].get(f"/Patient/{known}/$everything?{query}")
    assert answer.status_code == 200, answer.text
    bundle = answer.json()
    found = {each.split("/")[0] for each in [*held(bundle), *held(bundle, "include")]}
    assert found == types


async def test_scopes_bound_the_record_and_faults_are_named(world: World) -> None:
    known, _ = await record(world)
    river = world[RIVER]
    for query in ("_type=NoSuch", "_since=x", "_count=0", "other=1"):
        answer = await river.get(f"/Patient/{known}/$everything?{query}")
        assert answer.status_code == 400, query
    token = (await world.token(RIVER, scope="system/Patient.r")).json()["access_token"]
    river.headers["Authorization"] = f"Bearer {token}"
    bundle = (await river.get(f"/Patient/{known}/$everything")).json()
    assert held(bundle) == [f"Patient/{known}"]
    assert held(bundle, "include") == []


async def test_a_record_is_read_in_a_transaction_with_what_it_wrote(world: World) -> None:
    river, known = world[RIVER], await new_patient(world[RIVER])
    answer = await send(
        river,
        "transaction",
        entry("GET", f"Patient/{known}/$everything"),
        entry("POST", "Observation", observation(known)),
        entry("PUT", f"Patient/{known}", patient(id=known, active=True)),
    )
    assert statuses(answer) == ["200", "201", "200"]
    assert len(held(answer.json()["entry"][0]["resource"])) == 2
