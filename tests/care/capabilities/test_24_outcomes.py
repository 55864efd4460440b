"""Outcomes: baseline against six months, in each domain."""

from __future__ import annotations

from typing import Any

from tests.care.conftest import (
    RIVER,
    Json,
    World,
    created,
    new_patient,
    reference,
)
from tests.care.instruments import phq9, phq9_answers, questionnaire, response

LIFE = "https://throughline.example/fhir/Questionnaire/how-life-goes"


def how_life_goes() -> Json:
    names = ("rest", "body", "joy", "people", "belonging", "home", "income")
    items: list[Json] = [{"linkId": name, "type": "integer"} for name in names]
    return questionnaire(None, items, url=LIFE)


async def test_baseline_against_six_months_in_each_domain(world: World) -> None:
    patient = await new_patient(world[RIVER])
    subject = reference(f"Patient/{patient}")
    life = await created(world[RIVER], how_life_goes())
    mood = await created(world[RIVER], phq9())
    for when, level, weights in (
        ("2026-01-10", 1, (2, 2, 2, 2, 2, 2, 2, 2, 0)),
        ("2026-07-10", 2, (1, 1, 1, 1, 1, 1, 1, 1, 0)),
    ):
        answers: dict[str, Any] = {item["linkId"]: level for item in how_life_goes()["item"]}
        for of, given in ((life, answers), (mood, phq9_answers(*weights))):
            made = response(given, f"Questionnaire/{of['id']}", subject=subject, authored=when)
            stored = await created(world[RIVER], made)
            await world[RIVER].post(
                f"/QuestionnaireResponse/{stored['id']}/$extract?store=true", {}
            )
    report = (await world[RIVER].get(f"/Patient/{patient}/$outcomes")).json()
    told = {}
    for outcome in report["parameter"]:
        parts = {part["name"]: part for part in outcome["part"]}
        change = parts["change"]["valueDecimal"]
        told[parts["instrument"]["valueCode"]] = (
            parts["domain"]["valueCode"],
            change,
            parts["direction"]["valueCode"],
        )
    assert told == {
        "phq-9": ("symptoms", -8, "better"),
        "life-quality": ("quality-of-life", 1, "better"),
        "life-together": ("social-integration", 1, "better"),
        "life-stability": ("stability", 1, "better"),
    }
