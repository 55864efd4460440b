"""What CONTRIBUTING says was followed once: the search parameter that it adds is served, and hides."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.spine.conftest import World, actor, consent, new_patient, world

__all__ = ["world"]

ROOT = Path(__file__).parents[2]


def _goal(patient: str, condition: str) -> dict[str, object]:
    return {
        "resourceType": "Goal",
        "lifecycleStatus": "active",
        "description": {"text": "Sleep through the night"},
        "subject": {"reference": f"Patient/{patient}"},
        "addresses": [{"reference": f"Condition/{condition}"}],
    }


async def test_goals_are_found_by_the_condition_that_they_address(world: World) -> None:
    river, harbor, legal_aid = (
        world["river-clinic"],
        world["harbor-psychiatry"],
        world["bridge-legal-aid"],
    )
    patient = await new_patient(river)
    permit = consent(patient, type="permit", actor=actor("harbor-psychiatry"))
    assert (await river.post("/Consent", permit)).status_code == 201
    condition = await river.post(
        "/Condition",
        {
            "resourceType": "Condition",
            "code": {"text": "Insomnia"},
            "subject": {"reference": f"Patient/{patient}"},
        },
    )
    goal = await river.post("/Goal", _goal(patient, condition.json()["id"]))
    assert goal.status_code == 201
    query = f"/Goal?addresses=Condition/{condition.json()['id']}&_total=accurate"
    for agency, expected in ((river, 1), (harbor, 1), (legal_aid, 0)):
        found = (await agency.get(query)).json()
        assert found["total"] == expected
        assert [e["resource"]["id"] for e in found.get("entry", [])] == [goal.json()["id"]][
            :expected
        ]


CHECKLISTS = (ROOT / "CONTRIBUTING.md").read_text()


def test_every_path_in_contributing_exists() -> None:
    for path in re.findall(r"\]\(([^)]+)\)|`((?:app|tests|docs|tools)/[\w./-]*)`", CHECKLISTS):
        assert (ROOT / (path[0].partition("#")[0] or path[1])).exists(), path


def test_every_command_in_contributing_can_be_run() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for target in re.findall(r"`make ([a-z-]+)`", CHECKLISTS):
        assert target in targets, target
    tests = re.findall(r"pytest ((?:-\S+ (?:\d )?)*)(tests/[\w./]+)`", CHECKLISTS)
    assert len(tests) >= 8
    for _, path in tests:
        assert (ROOT / path).exists(), path


def test_each_checklist_names_the_places_that_its_change_touches() -> None:
    parts = dict(re.findall(r"^## (.+?)\n(.+?)(?=^## |\Z)", CHECKLISTS, re.MULTILINE | re.DOTALL))
    for name in ("Add a search parameter", "Add a resource type", "Add an operation"):
        steps = [int(n) for n in re.findall(r"^(\d+)\. ", parts[name], re.MULTILINE)]
        assert steps == list(range(1, len(steps) + 1)), name
    for word in ("BUILDERS", "QUERIES", "BODIES"):
        text = "".join(
            (ROOT / "tests" / "authz" / f).read_text() for f in ("house.py", "operations.py")
        )
        assert f"{word}: Final" in text


def test_the_page_on_search_names_every_parameter_of_our_own() -> None:
    data = ROOT / "app" / "fhir_mappings" / "data" / "search-parameters-own.json"
    page = (ROOT / "docs" / "search.md").read_text()
    for each in json.loads(data.read_text()):
        if each["url"].startswith("https://throughline.example/"):
            for base in each["base"]:
                assert f"`{base}:{each['code']}`" in page
