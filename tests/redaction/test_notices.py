"""The redisclosure notice and the scope of the consent go with every consented disclosure."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from app.consent.labels import PROGRAM_SYSTEM
from app.consent.notices import PART2_NOTICE, VICTIM_NOTICE, scope_of
from tests.redaction.conftest import LEGAL, RIVER, SHELTER, TREAT, Record
from tests.spine.conftest import ACT_CODE, ACT_REASON, actor, consent, observation

Json = dict[str, Any]
DOCUMENT: Json = json.loads((Path(__file__).parents[2] / "openapi" / "openapi.json").read_text())
PART2 = {"security": [{"system": ACT_CODE, "code": "42CFRPart2"}]}
VICTIM = {"security": [{"system": PROGRAM_SYSTEM, "code": "victim-service"}]}
TYPES = "http://hl7.org/fhir/resource-types"
NOTICE, SCOPE = "redisclosure-notice", "consent-scope"


@pytest.fixture
async def disclosed(record: Record) -> Record:
    """Legal aid reads a Part 2 Observation by a Consent that says for what, until when and which types."""
    permit = consent(
        record.ids["ana"],
        type="permit",
        actor=actor(LEGAL) + actor(SHELTER),
        purpose=TREAT,
        period={"end": "2099-12-31"},
        **{"class": [{"system": TYPES, "code": c} for c in ("Patient", "Observation")]},
        provision=[{"type": "deny", "securityLabel": [{"system": ACT_CODE, "code": "HIV"}]}],
    )
    await record.write("release", permit)
    await record.write("program", observation(record.ids["ana"], meta=PART2))
    await record.write("plain", observation(record.ids["ana"]))
    return record


async def test_every_way_of_reading_carries_notice_and_scope(disclosed: Record) -> None:
    legal, ana, id_ = disclosed.world[LEGAL], disclosed.ids["ana"], disclosed.ids["program"]
    for path in (
        f"/Observation/{id_}",
        f"/Observation/{id_}/_history/1",
        f"/Observation/{id_}/_history",
        f"/Observation?_id={id_}",
        f"/Observation?patient={ana}",
        f"/Patient?_id={ana}&_revinclude=Observation:patient",
        f"/Patient/{ana}/$everything",
    ):
        answer = await legal.get(path)
        assert answer.status_code == 200, path
        assert answer.headers.get(NOTICE) == PART2_NOTICE, path
        assert _told(disclosed, path), path
        assert answer.headers.get(SCOPE) == (
            "purpose=TREAT; until=2099-12-31; class=Patient, Observation"
        ), path


def _told(record: Record, path: str) -> bool:
    """Whether the OpenAPI document tells of the headers, for the operation that was asked."""
    for id_ in record.ids.values():
        path = path.partition("?")[0].replace(id_, "{id}")
    template = path.replace("_history/1", "_history/{version}")
    if "$" not in template:
        template = re.sub(r"^/[A-Z]\w+", "/{type}", template)
    answer = DOCUMENT["paths"][f"/fhir{template}"]["get"]["responses"]["200"]
    return {NOTICE, SCOPE} <= {name.lower() for name in answer["headers"]}


async def test_a_bundle_of_requests_carries_them_once(disclosed: Record) -> None:
    entries = [
        {"request": {"method": "GET", "url": f"Observation/{disclosed.ids[name]}"}}
        for name in ("plain", "program")
    ]
    bundle = {"resourceType": "Bundle", "type": "batch", "entry": entries}
    answer = await disclosed.world[LEGAL].post("", bundle)
    assert answer.headers[NOTICE] == PART2_NOTICE
    assert answer.headers[SCOPE].count("purpose=TREAT") == 1


async def test_nothing_is_said_where_nothing_is_disclosed(disclosed: Record) -> None:
    for agency, path in (
        (disclosed.river, f"/Observation/{disclosed.ids['program']}"),
        (disclosed.world[LEGAL], f"/Observation/{disclosed.ids['plain']}"),
        (disclosed.world[LEGAL], f"/Observation?_id={disclosed.ids['plain']}"),
        (disclosed.world[LEGAL], "/Observation?_summary=count"),
        (disclosed.world[LEGAL], f"/Organization/{RIVER}"),
    ):
        answer = await agency.get(path)
        assert answer.status_code == 200, path
        assert NOTICE not in answer.headers, path
        assert SCOPE not in answer.headers, path


async def test_who_may_not_see_the_record_gets_no_notice_of_it(disclosed: Record) -> None:
    hiv = {"security": [*PART2["security"], {"system": ACT_CODE, "code": "HIV"}]}
    id_ = await disclosed.write("denied", observation(disclosed.ids["ana"], meta=hiv))
    hidden = await disclosed.world[LEGAL].get(f"/Observation/{id_}")
    assert hidden.status_code == 404
    page = await disclosed.world[LEGAL].get(f"/Observation?_id={id_}")
    assert "entry" not in page.json()
    for answer in (hidden, page):
        assert NOTICE not in answer.headers
        assert SCOPE not in answer.headers


async def test_the_scope_names_no_other_recipient_and_no_refusal(disclosed: Record) -> None:
    answer = await disclosed.world[LEGAL].get(f"/Observation/{disclosed.ids['program']}")
    for word in (SHELTER, LEGAL, "HIV", disclosed.ids["release"]):
        assert word not in answer.headers[SCOPE]


async def test_of_several_consents_that_open_a_record_one_is_told_and_always_the_same(
    disclosed: Record,
) -> None:
    other = consent(
        disclosed.ids["ana"],
        type="permit",
        actor=actor(LEGAL),
        purpose=[*TREAT, {"system": ACT_REASON, "code": "COC"}],
        period={"end": "2088-12-31"},
        **{"class": [{"system": TYPES, "code": "Observation"}]},
    )
    await disclosed.write("second release", other)
    path = f"/Observation/{disclosed.ids['program']}"
    told = {(await disclosed.world[LEGAL].get(path)).headers[SCOPE] for _ in range(3)}
    assert told == {"purpose=TREAT; until=2099-12-31; class=Patient, Observation"}


async def test_records_of_a_victim_service_provider_carry_their_own_notice(
    disclosed: Record,
) -> None:
    id_ = await disclosed.write("shelter note", observation(disclosed.ids["ana"], meta=VICTIM))
    answer = await disclosed.world[LEGAL].get(f"/Observation/{id_}")
    assert answer.headers[NOTICE] == VICTIM_NOTICE
    both = await disclosed.world[LEGAL].get(f"/Observation?patient={disclosed.ids['ana']}")
    assert both.headers[NOTICE] == f"{PART2_NOTICE} {VICTIM_NOTICE}"


async def test_an_emergency_carries_the_notice_and_no_scope(record: Record) -> None:
    """River may call in an emergency: the record is the shelter's here."""
    shelter = record.world[SHELTER]
    ana = (await shelter.post("/Patient", {"resourceType": "Patient"})).json()["id"]
    id_ = (await shelter.post("/Observation", observation(ana, meta=PART2))).json()["id"]
    token = (
        await record.world.token(RIVER, purpose_of_use="ETREAT", emergency_reason="unconscious")
    ).json()["access_token"]
    answer = await record.world.http.get(
        f"/fhir/Observation/{id_}", headers={"Authorization": f"Bearer {token}"}
    )
    assert answer.status_code == 200
    assert answer.headers[NOTICE] == PART2_NOTICE
    assert SCOPE not in answer.headers


def test_the_scope_is_that_of_the_provision_within_those_around_it() -> None:
    consent_ = {
        "provision": {
            "type": "permit",
            "purpose": [{"code": "TREAT"}],
            "period": {"end": "2030-01-01"},
            "provision": [
                {"type": "deny"},
                {
                    "type": "permit",
                    "period": {"end": "2029-01-01"},
                    "securityLabel": [{"code": "SUD"}, {"code": "bad\r\nSet-Cookie: x"}],
                },
            ],
        }
    }
    assert scope_of(consent_, "Consent.provision.provision[1]") == (
        "purpose=TREAT; until=2029-01-01; label=SUD"
    )
    assert scope_of({"provision": {"type": "permit"}}, "Consent.provision") == "the whole record"
    assert scope_of({}, "Consent.provision.provision[4]") == "the whole record"
