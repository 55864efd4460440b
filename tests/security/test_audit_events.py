"""The audit as AuditEvents: officers see all of it, a survivor what is about them, nobody else anything."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from app.fhir_mappings.validate import validate
from tests.authz import house as cast
from tests.authz.conftest import provider, world
from tests.authz.house import HARBOR, House
from tests.security.provider import Provider
from tests.spine.conftest import Agency, World

__all__ = ["provider", "world"]


@pytest.fixture
async def house(world: World, provider: Provider) -> House:
    house = await cast.build(world, provider)
    for relation in ("shared", "excepted", "unshared"):
        await house.subject("Observation", relation)
    return house


def _as(house: House, actor: str) -> Agency:
    return Agency(house.world.http, house.headers[actor])


async def _events(agency: Agency, query: str = "") -> list[dict[str, Any]]:
    answer = await agency.get(f"/AuditEvent?_count=1000{query}")
    assert answer.status_code == 200, answer.text
    return [entry["resource"] for entry in answer.json().get("entry", ())]


def _told(event: dict[str, Any]) -> set[str]:
    return {
        each["what"]["reference"] for each in event["entity"] if "reference" in each.get("what", {})
    }


async def test_a_survivor_sees_who_read_what_about_them_but_not_of_what_is_kept_back(
    house: House,
) -> None:
    shared = await house.subject("Observation", "shared")
    await _as(house, "consented").get(f"/Observation/{shared}")
    note = await house.subject("Observation", "excepted")
    await _as(house, "custodian").get(f"/Observation/{note}")
    events = await _events(_as(house, "survivor's app"))
    signed_in = await _events(_as(house, "survivor"))
    assert [e for e in signed_in if e["id"] in {each["id"] for each in events}] == events
    ana, bo = house.patients["shared"], house.patients["unshared"]
    reads = [e for e in events if e["subtype"][0]["code"] == "read"]
    assert [e["agent"][0]["altId"] for e in reads] == [HARBOR]
    assert _told(reads[0]) == {f"Patient/{ana}", f"Observation/{shared}"}
    assert reads[0]["purposeOfEvent"][0]["coding"][0]["code"] == "TREAT"
    everything = str(events)
    assert note not in everything
    assert bo not in everything


async def test_nobody_but_a_privacy_officer_and_the_survivor_sees_any_of_it(house: House) -> None:
    shared = await house.subject("Observation", "shared")
    await _as(house, "consented").get(f"/Observation/{shared}")
    (event, *_) = await _events(_as(house, "survivor's app"), "&subtype=read")
    officer = await _events(_as(house, "privacy officer"), f"&_id={event['id']}")
    assert [each["id"] for each in officer] == [event["id"]]
    others = ("custodian", "consented", "unconsented", "emergency", "another's app", "clinician")
    for actor in others:
        agency = _as(house, actor)
        hidden = await agency.get(f"/AuditEvent/{event['id']}")
        missing = await agency.get("/AuditEvent/00000000-0000-4000-8000-000000000000")
        assert (hidden.status_code, hidden.text) == (missing.status_code, missing.text), actor
        assert hidden.status_code == 404
        counted = await agency.get(f"/AuditEvent?_id={event['id']}&_total=accurate")
        assert counted.json()["total"] == 0, actor
    assert (await _as(house, "no token").get("/AuditEvent")).status_code == 401


async def test_each_kind_of_act_is_told_as_a_valid_audit_event(house: House) -> None:
    officer = _as(house, "privacy officer")
    shared = await house.subject("Observation", "shared")
    await _as(house, "unconsented").get(f"/Observation/{shared}")
    await _as(house, "consented").get(f"/Observation/{shared}")
    await _as(house, "consented").get(f"/Observation?_id={shared}")
    await _as(house, "no token").get(f"/Observation/{shared}")
    await _as(house, "emergency").get(f"/Observation/{shared}")
    events = await _events(officer)
    for event in events:
        assert [
            i for i in validate(event, expected_type="AuditEvent") if i.severity == "error"
        ] == []
    kinds = {(event["subtype"][0]["code"], event["action"], event["outcome"]) for event in events}
    assert {
        ("read", "R", "4"),
        ("search-type", "E", "0"),
        ("create", "C", "0"),
        ("token", "E", "0"),
        ("emergency-token", "E", "0"),
    } <= kinds
    refused = [e for e in events if e["outcome"] == "4" and e["subtype"][0]["code"] == "read"]
    assert any(f"Observation/{shared}" in str(e["entity"]) for e in refused)
    urgent = [
        e for e in events if "Emergency access: found unconscious" in e.get("outcomeDesc", "")
    ]
    assert f"Observation/{shared}" in set().union(*(_told(e) for e in urgent))
    met = set()
    for event in events:
        for profile in event["meta"].get("profile", ()):
            met.add(profile.rpartition(".")[2])
            assert _beyond_the_pattern(event, profile.rpartition(".")[2]) == []
    assert {"PatientRead", "PatientCreate", "PatientQuery", "Create", "Query"} <= met
    assert all("profile" not in e["meta"] for e in events if "token" in e["subtype"][0]["code"])


def _beyond_the_pattern(event: dict[str, Any], pattern: str) -> list[str]:
    """What an event lacks of a pattern of IHE BALP 1.1 that it claims to follow (content, section 3)."""
    kind = pattern.removeprefix("Patient")
    actions = {"Create": "C", "Read": "R", "Update": "U", "Delete": "D", "Query": "E"}
    client, server = ("110152", "110153") if kind == "Read" else ("110153", "110152")
    roles = [each.get("role", {}).get("code") for each in event["entity"]]
    wanted = {
        "action": event["action"] == actions[kind],
        "type": event["type"]["code"] == "rest",
        "subtype": event["subtype"][0]["system"] == "http://hl7.org/fhir/restful-interaction",
        "agents": [a["type"]["coding"][0]["code"] for a in event["agent"]][:2] == [client, server],
        "requestor": sum(a["requestor"] for a in event["agent"]) == 1,
        "patient": roles.count("1") == (1 if pattern != kind else 0),
        "data": kind == "Query" or roles.count("4") == 1,
        "query": kind != "Query"
        or [
            ("query" in e or "_query" in e)
            for e in event["entity"]
            if e.get("role", {}).get("code") == "24"
        ]
        == [True],
        "transaction": "XrequestId" in str(event["entity"][-1]["type"]),
    }
    return [name for name, holds in wanted.items() if not holds]


async def test_the_audit_is_searched_by_its_parameters_and_paged_without_loss(
    house: House, owner: asyncpg.Connection
) -> None:
    officer = _as(house, "privacy officer")
    shared = await house.subject("Observation", "shared")
    ana = house.patients["shared"]
    for _ in range(3):
        await _as(house, "consented").get(f"/Observation/{shared}")
    assert len(await _events(officer, f"&altid={HARBOR}&subtype=read&action=R&outcome=0")) == 3
    assert len(await _events(officer, f"&patient={ana}&subtype=read")) == 3
    assert len(await _events(officer, f"&entity=Observation/{shared}&subtype=read")) == 3
    assert len(await _events(officer, f"&agent=Organization/{HARBOR}&subtype=read")) == 3
    assert await _events(officer, "&date=lt2020") == []
    assert len(await _events(officer, "&date=ge2020&subtype=read")) == 3
    pages = []
    page = "/AuditEvent?subtype=read&altid=harbor-psychiatry&_count=2"
    for _ in range(2):
        pages.append((await officer.get(page)).json())
        links = {link["relation"]: link["url"] for link in pages[-1]["link"]}
        page = links.get("next", page).partition("/fhir")[2] or page
    seen = [entry["resource"]["id"] for each in pages for entry in each["entry"]]
    assert [len(each["entry"]) for each in pages] == [2, 1]
    assert len(seen) == len(set(seen)) == 3
    assert "_cursor=" in page
    for actor in ("survivor's app", "survivor", "consented", "custodian"):
        stolen = await _as(house, actor).get(page)
        assert (stolen.status_code, "Observation/" in stolen.text) == (400, False), actor
    for query in ("site=x", "nonsense=1", "_count=many", "_cursor=forged", "_sort=agent"):
        assert (await officer.get(f"/AuditEvent?{query}")).status_code == 400
    posted = await house.world.http.post(
        "/fhir/AuditEvent/_search",
        data={"subtype": "read"},
        headers=house.headers["privacy officer"],
    )
    assert len(posted.json()["entry"]) >= 3


async def test_nobody_writes_or_changes_an_audit_event(house: House) -> None:
    river = _as(house, "custodian")
    (event, *_) = await _events(_as(house, "privacy officer"))
    body = {k: v for k, v in event.items() if k != "id"}
    assert (await river.post("/AuditEvent", body)).status_code == 405
    assert (await river.put(f"/AuditEvent/{event['id']}", event)).status_code == 405
    assert (await river.delete(f"/AuditEvent/{event['id']}")).status_code in (204, 405)
    assert (
        await _as(house, "privacy officer").get(f"/AuditEvent/{event['id']}")
    ).status_code == 200
    entry = {"resource": body, "request": {"method": "POST", "url": "AuditEvent"}}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
    assert (await river.post("", bundle)).status_code == 405


async def test_the_policies_hold_the_audit_without_the_query(house: House) -> None:
    await _events(_as(house, "privacy officer"))
    service = await asyncpg.connect(house.world.database.service_url)
    try:
        assert await service.fetch("SELECT * FROM tl.audit_entry") == []
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await service.execute("DELETE FROM tl.audit_entry")
    finally:
        await service.close()
