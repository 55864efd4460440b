"""Each file of `cases/` is one idea in a sentence: who sees what, why, and that every read path agrees.

A case's record is written over HTTP by the agencies that the case names; then every expectation is asked of
every way of reading (`read_paths`), and of `$explain-access`, asked by a privacy officer, for its reason. A way
that leads over another resource may be silent where the decision about that one is to deny, and only there;
`silent` of an expectation names any other, with the reason.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.consent import read_paths
from tests.consent.read_paths import ALL, Asked, Silent, provenance
from tests.consent.stage import PEOPLE, RIVER, Record, Stage, fixture, moved

CASES = sorted((Path(__file__).parent / "cases").glob("*.yaml"))
APPS = {"ana_app": "ana", "bo_app": "bo", "uncle_app": "uncle", "aunt_app": "aunt"}
Json = dict[str, Any]


def load(path: Path) -> Json:
    loaded: Json = yaml.safe_load(path.read_text("utf-8"))
    return loaded


def named(item: str | Json) -> tuple[str, str]:
    """(name, who writes it) of an entry of a case's list."""
    return (item, RIVER) if isinstance(item, str) else (item["name"], item["by"])


def entry(name: str) -> Json:
    loaded: Json = json.loads(fixture(f"record/{name}"))
    return loaded


async def perform(stage: Stage, case: Json) -> Record:
    """Write the case's record and Consents; register the apps of its people."""
    shift = datetime.now(UTC) - case["now"]
    record = Record(stage, f"case{stage.number()}-", shift)
    wanted = dict(named(each) for each in case["resources"])
    people = {APPS[e["caller"]] for e in case["expect"] if e["caller"] in APPS}
    for name in ("ana", *sorted(people), *(e["resource"] for e in case["expect"])):
        wanted.setdefault(name, RIVER)
    own = [name for name, by in wanted.items() if by == RIVER]
    await record.write(RIVER, {name: entry(name) for name in own})
    others = {by for by in wanted.values() if by != RIVER} | {
        by for _, by in map(named, case["consents"]) if by != RIVER
    }
    for by in sorted(others):
        await _let_in(record, by)
        mine = {name: entry(name) for name, writer in wanted.items() if writer == by}
        if mine:
            await record.write(by, mine)
    asked = dict.fromkeys(e["resource"] for e in case["expect"])
    for by in sorted({wanted[name] for name in asked}):
        leading = {
            f"provenance of {name}": provenance(f"p{n}", record.names[name].replace("_", "-"))
            for n, name in enumerate(asked)
            if wanted[name] == by
        }
        await record.write(by, leading)
    await _refer(record, [name for name in asked if name != "ana"])
    for item in case["consents"]:
        name, by = named(item)
        consent = moved(json.loads(fixture(name)), shift) | {"id": name.replace("_", "-")}
        await record.write(by, {name: consent})
    for by in sorted(others):
        await (await stage.as_(RIVER)).send("DELETE", f"/{record.of(f'let in {by}')}")
    for app, name in APPS.items():
        if name in record.names:
            await stage.person(record.caller(app), await record.rid(name))
    return record


async def _let_in(record: Record, by: str) -> None:
    """A Consent that lets an agency write into the record; it is deleted before anybody is asked."""
    consent = json.loads(
        fixture("let_in").replace("Organization/harbor", f"Organization/{_id(by)}")
    )
    await record.write(RIVER, {f"let in {by}": consent | {"id": f"let-in-{_id(by)}"}})


def _id(name: str) -> str:
    return name.replace("_", "-")


async def _refer(record: Record, names: list[str]) -> None:
    """A referral that rests on the resources; River sees them all while others are let in."""
    river = await record.stage.as_(RIVER)
    visible = [
        {"reference": record.names[name]}
        for name in names
        if (await river.get(f"/{record.of(name)}")).status_code == 200
    ]
    request: Json = {
        "resourceType": "ServiceRequest",
        "id": "request",
        "status": "active",
        "intent": "order",
        "subject": {"reference": "Patient/ana"},
    }
    if visible:
        request["supportingInfo"] = visible
    task = {
        "resourceType": "Task",
        "id": "referral",
        "status": "draft",
        "intent": "order",
        "focus": {"reference": "ServiceRequest/request"},
        "for": {"reference": "Patient/ana"},
    }
    await record.write(RIVER, {"request": request, "referral": task})


@pytest.mark.parametrize("path", CASES, ids=lambda p: p.stem)
async def test_every_read_path_agrees_with_the_case(stage: Stage, path: Path) -> None:
    case = load(path)
    record = await perform(stage, case)
    for expected in case["expect"]:
        agency = await _agency(stage, record, expected)
        type_, id_ = record.of(expected["resource"]).split("/")
        asked = Asked(
            agency,
            type_,
            id_,
            record.of(f"provenance of {expected['resource']}").split("/")[1],
            record.of("referral").split("/")[1],
            record.of("request").split("/")[1],
            record.of("ana").split("/")[1],
        )
        permit = expected["decision"] == "permit"
        for name, read in ALL.items():
            if name == "referral package" and not await _supports(stage, record, expected):
                continue
            found = await read(asked)
            if isinstance(found, Silent):
                if not expected.get("silent", {}).get(name):
                    lead, _ = await _explained(stage, record, expected, found.lead)
                    assert lead == "deny", (name, expected, "silent although its lead is shown")
                continue
            assert found == permit, (name, expected)
        decision, because = await _explained(
            stage, record, expected, record.of(expected["resource"])
        )
        assert (decision, because) == (expected["decision"], expected["because"]), expected


async def _agency(stage: Stage, record: Record, expected: Json) -> Any:
    headers = await stage.headers(
        record.caller(expected["caller"]),
        expected["purpose"],
        emergency=bool(expected.get("emergency")),
    )
    return read_paths.Agency(stage.http, headers)


async def _supports(stage: Stage, record: Record, expected: Json) -> bool:
    """Whether the referral rests on the resource at all."""
    answer = await (await stage.as_(RIVER)).get(f"/{record.of('request')}")
    return record.of(expected["resource"]) in answer.text


async def _explained(stage: Stage, record: Record, expected: Json, target: str) -> tuple[str, str]:
    """The decision about `target` for the caller of an expectation, and its reason."""
    caller = expected["caller"]
    query = {"purpose": expected["purpose"]}
    if expected.get("emergency"):
        query["emergency"] = "true"
    if caller in APPS:
        query["person"] = record.of(APPS[caller])
    elif caller in PEOPLE:
        organization, practitioner = PEOPLE[caller]
        query["organization"] = "Organization/" + (organization if practitioner else "bridge")
        if practitioner:
            query["practitioner"] = practitioner
    else:
        query["organization"] = f"Organization/{_id(caller)}"
    officer = await stage.as_("privacy_office", "HCOMPL")
    answer = await officer.send("GET", f"/{target}/$explain-access", params=query)
    assert answer.status_code == 200, answer.text
    parameters = answer.json()["parameter"]
    reasons = [
        {part["name"]: part for part in p["part"]} for p in parameters if p["name"] == "subject"
    ]
    decision = parameters[0]["valueCode"]
    telling = [r for r in reasons if r["decision"]["valueCode"] == decision] or reasons
    return decision, str(telling[0]["because"]["valueString"])


def test_there_are_enough_cases_and_each_begins_with_a_sentence() -> None:
    assert len(CASES) >= 150
    for path in CASES:
        first = path.read_text("utf-8").splitlines()[0]
        assert first.startswith("# "), path.name
        assert first.rstrip().endswith((".", ":")), path.name


def test_every_fixture_is_used() -> None:
    used = {"let_in"}
    used |= {named(each)[0] for path in CASES for each in load(path)["consents"]}
    found = {p.stem for p in (Path(__file__).parent / "fixtures").glob("*.json")}
    assert found == used
