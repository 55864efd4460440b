"""A grantee reads a Consent without the other grantees, on every path; nobody finds it by them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.care.conftest import own_app
from tests.redaction.conftest import HARBOR, LEGAL, RIVER, SHELTER, Record
from tests.spine.conftest import ACT_CODE, ACT_REASON, actor, consent

Json = dict[str, Any]
OTHERS = ("open-door-shelter", "bridge-legal-aid", "scannedform", "COC", "tellingtext")


@pytest.fixture
async def shared(record: Record) -> Record:
    """A Consent for Harbor and the shelter, which says more of the shelter and of legal aid below."""
    both = consent(
        record.ids["ana"],
        type="permit",
        actor=actor(HARBOR) + actor(SHELTER),
        purpose=[{"system": ACT_REASON, "code": "TREAT"}],
        provision=[
            {
                "type": "deny",
                "actor": actor(SHELTER),
                "securityLabel": [{"system": ACT_CODE, "code": "HIV"}],
            },
            {
                "type": "permit",
                "actor": actor(LEGAL),
                "purpose": [{"system": ACT_REASON, "code": "COC"}],
                "data": [
                    {
                        "meaning": "instance",
                        "reference": {"reference": f"Encounter/{record.ids['visit']}"},
                    }
                ],
            },
            {"type": "deny", "securityLabel": [{"system": ACT_CODE, "code": "PSY"}]},
        ],
    )
    both["text"] = {
        "status": "generated",
        "div": '<div xmlns="http://www.w3.org/1999/xhtml">tellingtext</div>',
    }
    both["sourceAttachment"] = {"title": "scannedform"}
    await record.write("both", both)
    theirs = consent(
        record.ids["ana"],
        type="permit",
        actor=actor(SHELTER),
        purpose=[{"system": ACT_REASON, "code": "COC"}],
        securityLabel=[{"system": ACT_CODE, "code": "HIV"}],
        data=[
            {
                "meaning": "instance",
                "reference": {"reference": f"Encounter/{record.ids['visit']}"},
            }
        ],
        provision=[
            {
                "type": "permit",
                "actor": actor(HARBOR),
                "purpose": [{"system": ACT_REASON, "code": "TREAT"}],
            }
        ],
    )
    await record.write("theirs", theirs)
    return record


async def test_a_grantee_sees_its_own_entries_and_no_others(shared: Record) -> None:
    seen = (await shared.harbor.get(f"/Consent/{shared.ids['both']}")).json()
    provision = seen["provision"]
    assert [a["reference"]["reference"] for a in provision["actor"]] == [f"Organization/{HARBOR}"]
    assert provision["purpose"][0]["code"] == "TREAT"
    assert [each["securityLabel"][0]["code"] for each in provision["provision"]] == ["PSY"]
    assert any(each["code"] == "REDACTED" for each in seen["meta"]["security"])


async def test_consents_read_together_are_cut_as_each_alone(shared: Record) -> None:
    path = f"/Consent/{shared.ids['both']}"
    alone = await shared.harbor.get(path)
    together = await asyncio.gather(*(shared.harbor.get(path) for _ in range(6)))
    assert {each.content for each in together} == {alone.content}


async def test_the_mark_tells_nothing_of_whether_there_are_others(shared: Record) -> None:
    seen = (await shared.harbor.get(f"/Consent/{shared.ids['permit']}")).json()
    assert any(each["code"] == "REDACTED" for each in seen["meta"]["security"])


async def test_a_provision_for_others_keeps_its_type_around_what_names_the_reader(
    shared: Record,
) -> None:
    seen = (await shared.harbor.get(f"/Consent/{shared.ids['theirs']}")).json()
    provision = seen["provision"]
    assert set(provision) == {"type", "provision"}
    assert [a["reference"]["reference"] for a in provision["provision"][0]["actor"]] == [
        f"Organization/{HARBOR}"
    ]


async def test_no_path_names_another_grantee(shared: Record) -> None:
    id_, ana = shared.ids["both"], shared.ids["ana"]
    for path in (
        f"/Consent/{id_}",
        f"/Consent/{id_}/_history/1",
        f"/Consent/{id_}/_history",
        "/Consent/_history",
        f"/Consent?_id={id_}",
        f"/Consent?patient={ana}&_include=Consent:actor",
        f"/Patient?_id={ana}&_revinclude=Consent:patient",
        f"/Patient/{ana}/$everything?_type=Consent,Patient",
        f"/Organization?_id={HARBOR}&_revinclude=Consent:actor",
    ):
        answer = await shared.harbor.get(path)
        assert answer.status_code == 200, f"{path}: {answer.text}"
        for word in OTHERS:
            assert word not in answer.text, (path, word)
        assert id_ in answer.text


async def test_custodian_reads_all_of_it(shared: Record) -> None:
    text = (await shared.river.get(f"/Consent/{shared.ids['both']}")).text
    assert all(word in text for word in OTHERS)


async def test_the_survivor_reads_all_of_it(shared: Record) -> None:
    app = await own_app(shared.world, shared.ids["ana"])
    path = f"/Consent/{shared.ids['both']}"
    answer = await app.get(path)
    assert answer.content == (await shared.river.get(path)).content
    assert all(word in answer.text for word in OTHERS)


@pytest.mark.parametrize(
    "path",
    [
        f"/Consent?actor=Organization/{SHELTER}",
        f"/Consent?actor={SHELTER}&actor:missing=false",
        f"/Consent?actor:Organization={SHELTER}",
        f"/Consent?actor:Organization._id={SHELTER}",
        f"/Consent?actor:Organization.name={SHELTER}",
        "/Consent?purpose=COC",
        "/Consent?security-label=HIV",
        "/Consent?data=Encounter/{visit}",
        "/Consent?_content=tellingtext",
        "/Consent?_text=tellingtext",
        f"/Organization?_id={SHELTER}&_has:Consent:actor:status=active",
        f"/Organization?_id={SHELTER}&_has:Consent:actor:_id={{both}}",
        "/Encounter?_has:Consent:data:status=active",
        f"/Consent?_id={{both}}&actor:not=Organization/{HARBOR}",
    ],
)
async def test_nobody_finds_a_consent_by_another_grantee(shared: Record, path: str) -> None:
    path = path.format(**shared.ids)
    found = await shared.found(shared.harbor, path)
    assert found == set(), path
    total = (await shared.harbor.get(f"{path}&_summary=count")).json()["total"]
    assert total == 0, path
    if ":not" not in path:
        assert await shared.found(shared.river, path), path


async def test_a_grantee_finds_the_consents_that_name_it(shared: Record) -> None:
    expected = {"both", "permit"}
    for path in (
        f"/Consent?actor=Organization/{HARBOR}",
        f"/Consent?actor={HARBOR}",
        f"/Consent?actor:Organization.name={HARBOR}",
    ):
        found = await shared.found(shared.harbor, path)
        assert "both" in found, path
        assert found <= expected, path
    assert await shared.found(shared.harbor, f"/Consent?actor=Organization/{HARBOR}") == expected
    answer = await shared.harbor.get(f"/Consent?actor={HARBOR}&_summary=count")
    assert answer.json()["total"] == 2


async def test_a_negated_search_by_actor_agrees_with_what_is_seen(shared: Record) -> None:
    path = f"/Consent?_id={shared.ids['both']}&actor:not=Organization/{SHELTER}"
    assert await shared.found(shared.harbor, path) == {"both"}
    assert await shared.found(shared.river, path) == set()


async def test_an_emergency_shows_no_grantees(shared: Record) -> None:
    """River may call in an emergency, so the Consent is another's here."""
    ana = (await shared.world[SHELTER].post("/Patient", {"resourceType": "Patient"})).json()["id"]
    written = await shared.world[SHELTER].post(
        "/Consent", consent(ana, type="permit", actor=actor(LEGAL))
    )
    token = (
        await shared.world.token(RIVER, purpose_of_use="ETREAT", emergency_reason="unconscious")
    ).json()["access_token"]
    answer = await shared.world.http.get(
        f"/fhir/Consent/{written.json()['id']}", headers={"Authorization": f"Bearer {token}"}
    )
    assert answer.status_code == 200
    assert LEGAL not in answer.text
    found = await shared.world.http.get(
        f"/fhir/Consent?actor=Organization/{LEGAL}&_summary=count",
        headers={"Authorization": f"Bearer {token}"},
    )
    assert found.json()["total"] == 0
