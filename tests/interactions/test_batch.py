"""Batch: independent entries, each a request of its own (hl7.org/fhir/R4/http.html#transaction)."""

from __future__ import annotations

import asyncpg

from tests.interactions.bundles import criteria, entry, patient, send, statuses, total
from tests.spine.conftest import AGENCIES, World, new_patient, observation

RIVER, HARBOR, SHELTER, LEGAL = AGENCIES


async def test_each_entry_has_its_own_fate_in_the_order_of_the_request(world: World) -> None:
    river, known = world[RIVER], await new_patient(world[RIVER])
    answer = await send(
        river,
        "batch",
        entry("GET", f"Patient/{known}"),
        entry("POST", "Patient", {"resourceType": "Patient", "gender": "unsure"}),
        entry("POST", "Observation", observation(known)),
        entry("GET", "Patient/no-such"),
        entry("GET", f"Observation?patient={known}&_total=accurate"),
        entry("DELETE", f"Patient/{known}"),
        entry("GET", f"Patient/{known}/_history"),
        entry("GET", f"Patient/{known}"),
    )
    assert statuses(answer) == ["200", "422", "201", "404", "200", "204", "200", "410"]
    entries = answer.json()["entry"]
    assert entries[0]["resource"]["id"] == known
    assert entries[0]["response"]["etag"] == 'W/"1"'
    assert entries[1]["response"]["outcome"]["issue"][0]["expression"] == ["Patient.gender"]
    assert entries[2]["response"]["location"].endswith("/_history/1")
    assert entries[4]["resource"]["total"] == 1
    assert entries[6]["resource"]["type"] == "history"


async def test_what_is_hidden_is_missing_in_a_batch_too(world: World) -> None:
    known = await new_patient(world[RIVER])
    answer = await send(
        world[LEGAL],
        "batch",
        entry("GET", f"Patient/{known}"),
        entry("GET", "Patient/00000000-0000-4000-8000-000000000000"),
        entry("POST", "Observation", observation(known)),
        entry("POST", "Observation", observation("no-such")),
        entry("DELETE", f"Patient/{known}"),
        entry("GET", "Patient?_total=accurate"),
    )
    assert statuses(answer) == ["404", "404", "422", "422", "204", "200"]
    entries = answer.json()["entry"]
    assert entries[0] == entries[1]
    assert entries[2] == entries[3]
    assert entries[5]["resource"]["total"] == 0
    assert (await world[RIVER].get(f"/Patient/{known}")).status_code == 200


async def test_scope_is_asked_of_each_entry(world: World) -> None:
    token = (await world.token(RIVER, scope="system/Patient.cr system/Observation.s")).json()
    river = world[RIVER]
    river.headers["Authorization"] = f"Bearer {token['access_token']}"
    answer = await send(
        river,
        "batch",
        entry("POST", "Patient", patient()),
        entry("GET", "Patient"),
        entry("GET", "Observation"),
        entry("POST", "Organization", {"resourceType": "Organization", "name": "x"}),
    )
    assert statuses(answer) == ["201", "403", "200", "403"]


async def test_conditions_of_entries_hold(world: World) -> None:
    river = world[RIVER]
    known = (await river.post("/Patient", patient("a"))).json()["id"]
    answer = await send(
        river,
        "batch",
        entry("GET", f"Patient/{known}", ifNoneMatch='W/"1"'),
        entry("PUT", f"Patient/{known}", patient("a", id=known, active=True), ifMatch='W/"7"'),
        entry("POST", "Patient", patient("a"), ifNoneExist=criteria("a")),
    )
    assert statuses(answer) == ["304", "412", "200"]
    assert await total(river, "Patient") == 1


async def test_a_bundle_in_an_entry_and_a_path_that_climbs_are_refused(world: World) -> None:
    inside = {"resourceType": "Bundle", "type": "batch"}
    answer = await send(
        world[RIVER],
        "batch",
        entry("POST", "/", inside),
        entry("GET", "Patient/../metadata"),
        entry("GET", "Patient/%2e%2e/metadata"),
        entry("GET", "NoSuchType/1"),
    )
    assert statuses(answer) == ["400", "400", "400", "404"]
    without_request = await send(world[RIVER], "batch", {"resource": patient()})
    assert without_request.status_code == 422


async def test_every_entry_of_a_batch_is_audited(world: World) -> None:
    river, known = world[RIVER], await new_patient(world[RIVER])
    await send(
        world[LEGAL], "batch", entry("GET", f"Patient/{known}"), entry("POST", "Patient", patient())
    )
    await send(
        river, "transaction", entry("POST", "Patient", patient()), entry("GET", f"Patient/{known}")
    )
    owner = await asyncpg.connect(world.database.admin_url)
    rows = await owner.fetch(
        "SELECT interaction, outcome, client_id FROM tl.audit_event "
        "WHERE interaction <> 'token' ORDER BY recorded OFFSET 1"
    )
    await owner.close()
    assert sorted((r["client_id"], r["interaction"], r["outcome"]) for r in rows) == [
        (LEGAL, "batch", 0),
        (LEGAL, "create", 0),
        (LEGAL, "read", 4),
        (RIVER, "create", 0),
        (RIVER, "read", 0),
        (RIVER, "transaction", 0),
    ]
