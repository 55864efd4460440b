"""No pathologising: a positive screen is no diagnosis."""

from __future__ import annotations

from tests.care.conftest import (
    LOINC,
    RIVER,
    World,
    created,
    found,
    new_patient,
    reference,
)
from tests.care.instruments import phq9, phq9_answers, response


async def test_a_positive_screen_creates_no_condition(world: World) -> None:
    patient = await new_patient(world[RIVER])
    asked = await created(world[RIVER], phq9())
    given = await created(
        world[RIVER],
        response(
            phq9_answers(*[3] * 9),
            f"Questionnaire/{asked['id']}",
            subject=reference(f"Patient/{patient}"),
        ),
    )
    await world[RIVER].post(f"/QuestionnaireResponse/{given['id']}/$extract?store=true", {})
    scores = await found(world[RIVER], f"/Observation?code={LOINC}|44261-6")
    assert [each["valueQuantity"]["value"] for each in scores] == [27]
    assert "not a diagnosis" in scores[0]["note"][0]["text"]
    assert await found(world[RIVER], "/Condition") == []
