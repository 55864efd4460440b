"""Transaction: all verbs, all or nothing, in the specification's order (hl7.org/fhir/R4/http.html#trules)."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.interactions.bundles import SYSTEM, criteria, entry, patient, send, statuses, total
from tests.spine.conftest import AGENCIES, World, actor, consent, new_patient, observation

RIVER, HARBOR, SHELTER, LEGAL = AGENCIES
ONE = "urn:uuid:61ebe359-bfdc-4613-8bf2-c5e300945f0a"
TWO = "urn:oid:1.2.840.113619.2"


def json_patch(*operations: dict[str, Any]) -> dict[str, Any]:
    data = base64.b64encode(json.dumps(operations).encode()).decode()
    return {"resourceType": "Binary", "contentType": "application/json-patch+json", "data": data}


async def test_all_verbs_together_answered_in_the_order_of_the_request(world: World) -> None:
    river = world[RIVER]
    kept, gone, changed = [await new_patient(river) for _ in range(3)]
    answer = await send(
        river,
        "transaction",
        entry("GET", f"Observation?patient={kept}&_total=accurate"),
        entry(
            "PATCH",
            f"Patient/{changed}",
            json_patch({"op": "add", "path": "/active", "value": True}),
        ),
        entry("PUT", f"Patient/{kept}", patient(id=kept, active=False), ifMatch='W/"1"'),
        entry("POST", "Observation", observation(kept)),
        entry("DELETE", f"Patient/{gone}"),
        entry("GET", f"Patient/{kept}"),
    )
    assert statuses(answer) == ["200", "200", "200", "201", "204", "200"]
    entries = answer.json()["entry"]
    assert entries[0]["resource"]["total"] == 1  # a read comes after the writes, wherever it stands
    assert entries[1]["resource"]["active"] is True
    assert entries[5]["resource"]["meta"]["versionId"] == "2"
    assert (await river.get(f"/Patient/{gone}")).status_code == 410


async def test_one_fault_undoes_everything(world: World) -> None:
    river, known = world[RIVER], await new_patient(world[RIVER])
    changed = json_patch({"op": "test", "path": "/active", "value": True})
    for fault in (
        entry("GET", "Patient/no-such"),
        entry("GET", "Patient?no-such=1"),
        entry("POST", "Observation", observation("no-such")),
        entry("PUT", f"Patient/{known}", patient(id=known), ifMatch='W/"9"'),
        entry("PATCH", f"Patient/{known}", changed),
    ):
        answer = await send(river, "transaction", entry("POST", "Patient", patient("lost")), fault)
        assert answer.status_code in (400, 404, 409, 412, 422), answer.text
        assert answer.json()["resourceType"] == "OperationOutcome"
        assert await total(river, "Patient") == 1


async def test_urns_are_resolved_in_references_urls_extensions_and_narrative(world: World) -> None:
    document = {
        "resourceType": "DocumentReference",
        "status": "current",
        "subject": {"reference": ONE},
        "text": {
            "status": "additional",
            "div": f'<div xmlns="http://www.w3.org/1999/xhtml"><a href="{ONE}">who</a>'
            f'<img src="{TWO}" alt="x"/> {ONE}</div>',
        },
        "extension": [
            {"url": "http://example.org/about", "valueReference": {"reference": TWO}},
            {"url": "http://example.org/uri", "valueUri": ONE},
        ],
        "content": [{"attachment": {"url": TWO}}],
    }
    answer = await send(
        world[RIVER],
        "transaction",
        entry("POST", "DocumentReference", document),
        entry("POST", "Patient", patient(), full_url=ONE),
        entry("POST", "Observation", observation("x", subject={"reference": ONE}), full_url=TWO),
    )
    assert statuses(answer) == ["201", "201", "201"]
    made, who, what = [each["resource"] for each in answer.json()["entry"]]
    person, seen = f"Patient/{who['id']}", f"Observation/{what['id']}"
    assert made["subject"]["reference"] == person
    assert made["extension"][0]["valueReference"]["reference"] == seen
    assert made["extension"][1]["valueUri"] == person
    assert made["content"][0]["attachment"]["url"] == seen
    assert f'<a href="{person}">' in made["text"]["div"]
    assert f'<img src="{seen}"' in made["text"]["div"]
    assert f" {ONE}</div>" in made["text"]["div"]


async def test_conditional_references_find_what_is_there_and_what_is_just_written(
    world: World,
) -> None:
    river = world[RIVER]
    known = (await river.post("/Patient", patient("old"))).json()["id"]
    about = {"reference": f"Patient?{criteria('new')}"}
    answer = await send(
        river,
        "transaction",
        entry(
            "POST",
            "Observation",
            observation("x", subject={"reference": f"Patient?{criteria('old')}"}),
        ),
        entry("POST", "Observation", observation("x", subject=about), full_url=ONE),
        entry("POST", "Patient", patient("new")),
        entry(
            "POST", "Observation", observation("x", subject=about, derivedFrom=[{"reference": ONE}])
        ),
    )
    assert statuses(answer) == ["201"] * 4
    first, second, new, third = [each["resource"] for each in answer.json()["entry"]]
    assert first["subject"]["reference"] == f"Patient/{known}"
    assert second["subject"]["reference"] == f"Patient/{new['id']}"
    assert third["derivedFrom"][0]["reference"] == f"Observation/{second['id']}"


async def test_conditional_reference_to_hidden_missing_or_many_is_refused(world: World) -> None:
    await world[RIVER].post("/Patient", patient("hidden"))
    harbor = world[HARBOR]
    for _ in range(2):
        await harbor.post("/Patient", patient("twice"))
    answers = []
    for name in ("hidden", "absent", "twice"):
        about = observation("x", subject={"reference": f"Patient?{criteria(name)}"})
        answers.append(await send(harbor, "transaction", entry("POST", "Observation", about)))
    assert [each.status_code for each in answers] == [422, 422, 412]
    assert answers[0].content == answers[1].content
    assert answers[2].json()["issue"][0]["expression"] == ["Bundle.entry[0].resource.subject"]
    assert await total(harbor, "Observation") == 0


async def test_conditional_entries_create_update_patch_and_delete(world: World) -> None:
    river = world[RIVER]
    old, patched, gone = [
        (await river.post("/Patient", patient(name))).json()["id"] for name in ("a", "b", "c")
    ]
    answer = await send(
        river,
        "transaction",
        entry("POST", "Patient", patient("a"), ifNoneExist=criteria("a"), full_url=ONE),
        entry("POST", "Patient", patient("n"), ifNoneExist=criteria("n")),
        entry("PUT", f"Patient?{criteria('p')}", patient("p")),
        entry(
            "PATCH",
            f"Patient?{criteria('b')}",
            json_patch({"op": "add", "path": "/active", "value": True}),
        ),
        entry("DELETE", f"Patient?{criteria('c')}"),
        entry("DELETE", f"Patient?{criteria('absent')}"),
        entry("POST", "Observation", observation("x", subject={"reference": ONE})),
    )
    assert statuses(answer) == ["200", "201", "201", "200", "204", "204", "201"]
    entries = answer.json()["entry"]
    assert entries[0]["resource"]["id"] == old
    assert entries[3]["resource"]["id"] == patched
    assert entries[6]["resource"]["subject"]["reference"] == f"Patient/{old}"
    assert (await river.get(f"/Patient/{gone}")).status_code == 410


async def test_what_a_transaction_deletes_meets_no_criteria_and_no_reference(world: World) -> None:
    river = world[RIVER]
    old = (await river.post("/Patient", patient("a"))).json()["id"]
    answer = await send(
        river,
        "transaction",
        entry("POST", "Patient", patient("a"), ifNoneExist=criteria("a")),
        entry("DELETE", f"Patient/{old}"),
    )
    assert statuses(answer) == ["201", "204"]
    new = answer.json()["entry"][0]["resource"]["id"]
    dangling = await send(
        river,
        "transaction",
        entry("DELETE", f"Patient/{new}"),
        entry("POST", "Observation", observation(new)),
    )
    assert dangling.status_code == 422
    assert (await river.get(f"/Patient/{new}")).status_code == 200


async def test_two_entries_for_one_resource_are_refused_however_they_name_it(world: World) -> None:
    river = world[RIVER]
    known = (await river.post("/Patient", patient("a"))).json()["id"]
    own = patient("a", id=known)
    for pair in (
        (entry("PUT", f"Patient/{known}", own), entry("DELETE", f"Patient/{known}")),
        (entry("PUT", f"Patient?{criteria('a')}", own), entry("DELETE", f"Patient/{known}")),
        (
            entry("POST", "Patient", patient(), full_url=ONE),
            entry("POST", "Patient", patient(), full_url=ONE),
        ),
    ):
        answer = await send(river, "transaction", *pair)
        assert answer.status_code == 422, answer.text
        assert answer.json()["issue"][0]["code"] in ("duplicate", "invariant")
    twice = await send(
        river,
        "transaction",
        entry("POST", "Patient", patient("z"), ifNoneExist=criteria("z")),
        entry("POST", "Patient", patient("z"), ifNoneExist=f"{criteria('z')}&family=Sample"),
    )
    assert twice.status_code == 412
    assert await total(river, "Patient") == 1


async def test_hidden_matches_are_no_matches(world: World) -> None:
    hidden = (await world[RIVER].post("/Patient", patient("a"))).json()["id"]
    answer = await send(
        world[LEGAL],
        "transaction",
        entry("POST", "Patient", patient("a"), ifNoneExist=criteria("a")),
        entry("DELETE", f"Patient?{criteria('b')}"),
    )
    assert statuses(answer) == ["201", "204"]
    gone = await send(world[SHELTER], "transaction", entry("DELETE", f"Patient?{criteria('a')}"))
    assert statuses(gone) == ["204"]
    assert (await world[RIVER].get(f"/Patient/{hidden}")).status_code == 200


async def test_scopes_are_asked_of_each_entry_before_anything_is_written(world: World) -> None:
    token = (await world.token(RIVER, scope="system/Patient.c system/Observation.cruds")).json()
    river = world[RIVER]
    full = dict(river.headers)
    river.headers["Authorization"] = f"Bearer {token['access_token']}"
    for refused in (
        entry("POST", "Organization", {"resourceType": "Organization", "name": "x"}),
        entry("GET", "Patient"),
        entry("POST", "Patient", patient(), ifNoneExist=criteria("a")),
        entry("PUT", f"Patient?{criteria('a')}", patient("a")),
    ):
        answer = await send(river, "transaction", entry("POST", "Patient", patient()), refused)
        assert answer.status_code == 403, answer.text
    river.headers = full
    assert await total(river, "Patient") == 0


@pytest.mark.parametrize("wish", ["minimal", "representation", "OperationOutcome"])
async def test_prefer_is_honoured(world: World, wish: str) -> None:
    answer = await send(
        world[RIVER], "transaction", entry("POST", "Patient", patient()), prefer=f"return={wish}"
    )
    (made,) = answer.json()["entry"]
    assert ("resource" in made) == (wish == "representation")
    assert ("outcome" in made["response"]) == (wish == "OperationOutcome")
    assert made["response"]["location"].startswith("Patient/")


async def test_an_entry_that_cannot_be_meant_is_refused(world: World) -> None:
    cases = [
        (entry("POST", "Patient/1", patient()), "Bundle.entry[0].request.url"),
        (entry("PUT", "Patient", patient()), "Bundle.entry[0].request.url"),
        (entry("DELETE", "Patient"), "Bundle.entry[0].request.url"),
        (entry("POST", "Patient"), "Bundle.entry[0].resource"),
        (entry("PUT", "Patient/b", patient(id="a")), "Bundle.entry[0].resource.id"),
        (entry("DELETE", "Patient?"), "Bundle.entry[0].request"),
        (entry("DELETE", "Patient?_count=1"), "Bundle.entry[0].request"),
        (entry("DELETE", "Patient?no-such=1"), "Bundle.entry[0].request"),
        (
            entry("PUT", "Patient/a", patient(id="a"), ifMatch="x"),
            "Bundle.entry[0].request.ifMatch",
        ),
        (
            entry("POST", "Patient", patient(), ifNoneMatch="*"),
            "Bundle.entry[0].request.ifNoneMatch",
        ),
        (entry("PATCH", "Patient/a", patient(id="a")), "Bundle.entry[0].resource"),
    ]
    for case, expression in cases:
        answer = await send(world[RIVER], "transaction", case)
        assert answer.status_code == 400, (case, answer.text)
        assert answer.json()["issue"][0]["expression"] == [expression], answer.text
    assert SYSTEM


async def test_consent_written_in_a_transaction_works_within_and_after_it(world: World) -> None:
    river = world[RIVER]
    given = consent("x", type="permit", actor=actor(HARBOR)) | {"patient": {"reference": ONE}}
    answer = await send(
        river,
        "transaction",
        entry("POST", "Consent", given),
        entry("POST", "Patient", patient("a"), full_url=ONE),
        entry("GET", f"Patient?{criteria('a')}"),
    )
    assert statuses(answer) == ["201", "201", "200"]
    made = answer.json()["entry"][1]["resource"]["id"]
    assert len(answer.json()["entry"][2]["resource"]["entry"]) == 1
    assert (await world[HARBOR].get(f"/Patient/{made}")).status_code == 200
    assert (await world[LEGAL].get(f"/Patient/{made}")).status_code == 404


async def test_a_transaction_that_moves_memberships_still_reads_its_own_writes(
    world: World,
) -> None:
    team = {
        "resourceType": "CareTeam",
        "status": "active",
        "subject": {"reference": ONE},
        "participant": [{"member": {"reference": f"Organization/{HARBOR}"}}],
    }
    answer = await send(
        world[RIVER],
        "transaction",
        entry("POST", "CareTeam", team),
        entry("POST", "Patient", patient("m"), full_url=ONE),
        entry("GET", f"Patient?{criteria('m')}"),
    )
    assert statuses(answer) == ["201", "201", "200"]
    assert len(answer.json()["entry"][2]["resource"]["entry"]) == 1


async def test_empty_bundles_are_answered_empty(world: World) -> None:
    for kind in ("batch", "transaction"):
        answer = await send(world[RIVER], kind)
        assert answer.status_code == 200
        assert answer.json() == {"resourceType": "Bundle", "type": f"{kind}-response"}
