"""What CONTRIBUTING says was followed once: the search parameter that it adds is served, and hides."""

from __future__ import annotations

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


def test_every_path_in_contributing_exists() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    for path in re.findall(r"\]\(([^)]+)\)|`((?:app|tests|docs|tools)/[\w./-]*)`", text):
        assert (ROOT / (path[0].partition("#")[0] or path[1])).exists(), path
