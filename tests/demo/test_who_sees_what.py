"""The demo over HTTP: who sees what is a golden file, written by hand from the rules of consent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from app.demo.table import who_sees_what
from tests.demo.conftest import Service

GOLDEN = Path(__file__).with_name("who-sees-what.txt")


async def _search(service: Service, client: str, path: str, purpose: str) -> list[dict[str, Any]]:
    answer = await service.get(client, path, purpose)
    assert answer.status_code == 200, answer.text
    bundle = answer.json()
    assert all(link["relation"] != "next" for link in bundle.get("link", ()))
    return [entry["resource"] for entry in bundle.get("entry", ())]


async def test_who_sees_what_is_what_the_survivors_chose(service: Service) -> None:
    async def search(client: str, purpose: str, type_: str) -> list[str]:
        found = await _search(service, client, f"/{type_}?_count=500", purpose)
        return [resource["id"] for resource in found]

    assert await who_sees_what(search) == GOLDEN.read_text()


async def test_each_line_of_the_table_is_a_resource_that_can_be_read(service: Service) -> None:
    # The golden table comes from searches; a read of every resource by every caller must agree.
    sections = [part.splitlines() for part in GOLDEN.read_text().split("\n\n")]
    seen = {
        tuple(lines[0].split(" asks for ")): {
            line.strip() for line in lines if line.startswith("    ")
        }
        for lines in sections
    }
    everything = set().union(*seen.values())
    for (client, purpose), expected in seen.items():
        bearer = await service.demo.token(client, purpose)
        headers = {"Authorization": f"Bearer {bearer}"}
        readable = {
            path
            for path in everything
            if (await service.http.get(f"/fhir/{path}", headers=headers)).status_code == 200
        }
        assert readable == expected, (client, purpose)


async def test_referrals_stand_in_all_their_states(service: Service) -> None:
    found = await _search(service, "river-clinic", "/Task?_count=100", "TREAT")
    told = {task["id"]: task["status"] for task in found if task["id"].startswith("survivor-")}
    # The others are those that answers of danger and a missed appointment opened by themselves.
    assert {t["priority"] for t in found if t["id"] not in told} == {"stat", "urgent"}
    assert told == {
        "survivor-a-housing-task": "completed",
        "survivor-a-ride-task": "rejected",
        "survivor-a-amendment": "completed",
        "survivor-a-transfer-task": "accepted",
        "survivor-b-housing-task": "requested",
        "survivor-b-childcare-task": "accepted",
        "survivor-b-immigration-task": "accepted",
        "survivor-b-food-task": "in-progress",
        "survivor-c-therapy-task": "cancelled",
    }


async def test_the_shelters_address_is_its_own(service: Service) -> None:
    for client in ("river-clinic", "harbor-psychiatry", "bridge-legal-aid"):
        assert (await service.get(client, "/Location/open-door-house")).status_code == 404
    assert (await service.get("open-door-shelter", "/Location/open-door-house")).status_code == 200


async def test_the_completed_referral_comes_as_a_package_with_its_letter(service: Service) -> None:
    path = "/Task/survivor-a-housing-task/$referral-package"
    answer = await service.get("open-door-shelter", path)
    found = {
        f"{each['resource']['resourceType']}/{each['resource'].get('id', '')}"
        for each in answer.json()["entry"]
    }
    assert found - {"OperationOutcome/"} == {
        "Task/survivor-a-housing-task",
        "ServiceRequest/survivor-a-housing-request",
        "Consent/survivor-a-consent-open-door",
        "DocumentReference/survivor-a-housing-letter",
        "Condition/survivor-a-housing",
        "Procedure/survivor-a-stay",
        "Patient/survivor-a",
    }
    assert (await service.get("harbor-psychiatry", path)).status_code == 404


async def test_a_roster_is_the_shelters_and_a_report_goes_to_the_police_by_its_consent_alone(
    service: Service,
) -> None:
    roster = "/Group/survivor-a-peer-group"
    purposes = {"open-door-shelter": "COC", "county-police": "HLEGAL", "survivor-b-app": "PATRQT"}
    seen = {
        client: (await service.get(client, roster, purpose)).status_code
        for client, purpose in purposes.items()
    }
    assert seen == {"open-door-shelter": 200, "county-police": 404, "survivor-b-app": 404}
    reports = await _search(service, "county-police", "/DocumentReference", "HLEGAL")
    assert [each["id"] for each in reports] == ["survivor-a-report"]
    assert await _search(service, "county-police", "/Patient", "HLEGAL") == []


async def test_a_draft_and_a_goal_of_her_own_are_hers(service: Service) -> None:
    draft, goal = "/DocumentReference/survivor-b-report-draft", "/Goal/survivor-b-own-goal"
    for client in ("river-clinic", "open-door-shelter", "bridge-legal-aid"):
        assert (await service.get(client, draft, "TREAT")).status_code == 404
    assert (await service.get("survivor-b-app", draft, "PATRQT")).status_code == 200
    assert (await service.get("river-clinic", goal, "TREAT")).status_code == 200
    assert (await service.get("open-door-shelter", goal, "TREAT")).status_code == 404


async def test_research_reads_the_scores_that_she_agreed_to_and_no_name(service: Service) -> None:
    async def told(path: str) -> list[str]:
        found = await _search(service, "coast-university", path, "HRESCH")
        return sorted(each["id"] for each in found)

    series = [f"survivor-a-life-{what}" for what in ("quality", "stability", "together")]
    expected = [f"{each}-{when}" for each in series for when in ("baseline", "later")]
    everything = "/Observation?_include=Observation:subject&_include=Observation:derived-from"
    assert await told(everything) == expected
    for type_ in ("Patient", "QuestionnaireResponse", "Consent", "ResearchSubject", "Condition"):
        assert await told(f"/{type_}") == [], type_
    hidden = await service.get("coast-university", "/Patient/survivor-a", "HRESCH")
    missing = await service.get("coast-university", "/Patient/none", "HRESCH")
    assert (hidden.status_code, hidden.content) == (404, missing.content)
    # Her clinic sees who takes part, and by which consent.
    (part,) = await _search(service, "river-clinic", "/ResearchSubject", "TREAT")
    assert part["consent"] == {"reference": "Consent/survivor-a-consent-research"}
