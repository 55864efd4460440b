"""Attacks on consent by writing: what a caller may write must never open what it may not see."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

from tests.consent.stage import Agency, Record, Stage, fixture
from tests.consent.test_cases import entry

Json = dict[str, Any]
ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
LOINC = "http://loinc.org"


async def record_of(stage: Stage, *names: str) -> Record:
    """A record of River's with these entries."""
    record = Record(stage, f"attack{stage.number()}-", timedelta(0))
    await record.write("river", {name: entry(name) for name in ("ana", *names)})
    return record


async def give(record: Record, fixture_name: str, by: str = "river", **changes: Any) -> None:
    """Record a Consent of the fixtures, with changes to its root provision."""
    consent = json.loads(fixture(fixture_name)) | {"id": fixture_name.replace("_", "-")}
    consent["provision"] |= changes
    await record.write(by, {fixture_name: consent})


def actions(*codes: str) -> list[Json]:
    system = "http://terminology.hl7.org/CodeSystem/consentaction"
    return [{"coding": [{"system": system, "code": code}]} for code in codes]


async def status(agency: Agency, path: str) -> int:
    return (await agency.get(path)).status_code


async def test_nobody_corrects_a_role_of_another_agency(stage: Stage) -> None:
    bridge = await stage.as_("bridge")
    role = (await bridge.get("/PractitionerRole/kim-at-harbor")).json()
    role["practitioner"] = {"reference": "Practitioner/bridge-ada"}
    assert (await bridge.put("/PractitionerRole/kim-at-harbor", role)).status_code == 403


async def test_the_right_to_correct_does_not_reach_a_consent(stage: Stage) -> None:
    record = await record_of(stage)
    await give(record, "permits_harbor", action=actions("access", "correct"))
    harbor = await stage.as_("harbor")
    path = f"/{record.of('permits_harbor')}"
    consent = (await harbor.get(path)).json()
    assert (await harbor.put(path, consent | {"dateTime": "2026-02-02"})).status_code == 403


async def test_who_corrects_another_agencys_entry_takes_no_label_away(stage: Stage) -> None:
    record = await record_of(stage, "employment")
    await give(record, "permits_harbor", action=actions("access", "correct"))
    harbor, path = await stage.as_("harbor"), f"/{record.of('employment')}"
    resource = (await harbor.get(path)).json()
    del resource["meta"]
    answer = await harbor.put(path, resource)
    assert answer.status_code == 200, answer.text
    assert "EMPL" in {label["code"] for label in answer.json()["meta"]["security"]}


async def test_an_old_version_is_judged_by_its_own_codes(stage: Stage) -> None:
    record = await record_of(stage, "weight")
    river, path = await stage.as_("river"), f"/{record.of('weight')}"
    resource = (await river.get(path)).json()
    resource["code"] = {"coding": [{"system": LOINC, "code": "8302-2"}]}
    assert (await river.put(path, resource)).status_code == 200
    weights = [{"coding": [{"system": LOINC, "code": "29463-7"}]}]
    await give(record, "permits_harbor", provision=[{"type": "deny", "code": weights}])
    harbor = await stage.as_("harbor")
    assert await status(harbor, path) == 200
    assert await status(harbor, f"{path}/_history/2") == 200
    assert await status(harbor, f"{path}/_history/1") == 404
    assert (await harbor.get(f"{path}/_history")).json()["total"] == 1


async def test_labels_climb_from_an_entry_that_stands_later_in_the_bundle(stage: Stage) -> None:
    record = await record_of(stage, "report", "phq9_score")
    report = (await (await stage.as_("river")).get(f"/{record.of('report')}")).json()
    assert "MH" in {label["code"] for label in report["meta"]["security"]}


async def test_labels_climb_when_the_target_is_relabelled_later(stage: Stage) -> None:
    record = await record_of(stage, "weight", "follow_up")
    await give(
        record,
        "permits_harbor",
        provision=[{"type": "deny", "securityLabel": [{"system": ACT_CODE, "code": "HIV"}]}],
    )
    harbor, river = await stage.as_("harbor"), await stage.as_("river")
    follow_up, weight = f"/{record.of('follow_up')}", f"/{record.of('weight')}"
    assert await status(harbor, follow_up) == 200
    resource = (await river.get(weight)).json()
    resource["meta"] = {"security": [{"system": ACT_CODE, "code": "HIV"}]}
    assert (await river.put(weight, resource)).status_code == 200
    assert await status(harbor, weight) == 404
    assert await status(harbor, follow_up) == 404


async def test_a_victim_service_providers_release_says_to_whom_what_for_and_until_when(
    stage: Stage,
) -> None:
    shelter = await stage.as_("open_door")
    made = (await shelter.post("/Patient", {"resourceType": "Patient"})).json()
    consent = json.loads(fixture("permits_all")) | {
        "patient": {"reference": f"Patient/{made['id']}"}
    }
    answer = await shelter.post("/Consent", consent)
    assert answer.status_code == 422
    assert {issue["expression"][0] for issue in answer.json()["issue"]} == {
        "Consent.provision.actor",
        "Consent.provision.purpose",
        "Consent.provision.period",
    }


async def test_two_consents_written_at_once_both_count(stage: Stage) -> None:
    for _ in range(3):
        record = await record_of(stage, "weight")
        river = await stage.as_("river")
        patient = {"reference": record.of("ana")}
        both = [
            json.loads(fixture(name)) | {"patient": patient}
            for name in ("permits_all", "denies_harbor")
        ]
        answers = await asyncio.gather(*(river.post("/Consent", each) for each in both))
        assert [answer.status_code for answer in answers] == [201, 201]
        assert await status(await stage.as_("bridge"), f"/{record.of('weight')}") == 200
        assert await status(await stage.as_("harbor"), f"/{record.of('weight')}") == 404


async def test_a_privacy_officers_policy_holds_for_every_survivor_until_it_is_withdrawn(
    stage: Stage,
) -> None:
    record = await record_of(stage, "weight")
    await give(record, "permits_all")
    officer = await stage.as_("privacy_office", "HCOMPL")
    policy = json.loads(fixture("denies_county"))
    del policy["patient"]
    policy["scope"] = {"text": "agency policy"}
    county, path = await stage.as_("county"), f"/{record.of('weight')}"
    assert await status(county, path) == 200
    made = (await officer.post("/Consent", policy)).json()
    try:
        assert await status(county, path) == 404
        assert await status(await stage.as_("bridge"), path) == 200
    finally:
        ended = made | {"status": "inactive"}
        assert (await officer.put(f"/Consent/{made['id']}", ended)).status_code == 200
    assert await status(county, path) == 200


async def test_the_accounting_tells_who_saw_what_and_under_which_consent(stage: Stage) -> None:
    record = await record_of(stage, "weight")
    await give(record, "permits_harbor")
    weight = record.of("weight")
    assert await status(await stage.as_("harbor"), f"/{weight}") == 200
    officer = await stage.as_("privacy_office", "HCOMPL")
    path = f"/{record.of('ana')}/$accounting-of-disclosures"
    table = (await officer.get(f"{path}?_outputFormat=csv")).text
    line = next(row for row in table.splitlines() if weight in row and "/harbor" in row)
    assert line.split(",")[4:] == ["TREAT", "", "read", weight, "root", record.of("permits_harbor")]
    events = (await officer.get(path)).json()["entry"]
    assert any(weight in json.dumps(each) for each in events)
    assert await status(await stage.as_("river"), path) == 404
