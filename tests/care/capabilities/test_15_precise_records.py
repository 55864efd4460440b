"""Precise, non-judgmental records: a correction is kept, and so is what it corrects."""

from __future__ import annotations

from tests.care.conftest import (
    RIVER,
    World,
    created,
    found,
    new_patient,
    reference,
    saved,
)


async def test_the_survivors_correction_stays_in_history(world: World) -> None:
    patient = await new_patient(world[RIVER])
    subject = reference(f"Patient/{patient}")
    note = await created(
        world[RIVER],
        {
            "resourceType": "ClinicalImpression",
            "status": "completed",
            "subject": subject,
            "summary": "Refuses to cooperate.",
        },
    )
    asked = await created(
        world[RIVER],
        {
            "resourceType": "Task",
            "status": "requested",
            "intent": "proposal",
            "code": {"text": "amendment"},
            "focus": reference(f"ClinicalImpression/{note['id']}"),
            "for": subject,
            "requester": subject,
            "owner": reference(f"Organization/{RIVER}"),
            "description": "I said that I was afraid, not that I refuse.",
        },
    )
    corrected = note | {"summary": "Said that she was afraid to answer."}
    await saved(world[RIVER], corrected)
    await saved(world[RIVER], asked | {"status": "completed"})
    history = (await world[RIVER].get(f"/ClinicalImpression/{note['id']}/_history")).json()
    assert [entry["resource"]["summary"] for entry in history["entry"]] == [
        "Said that she was afraid to answer.",
        "Refuses to cooperate.",
    ]
    (task_,) = await found(
        world[RIVER], f"/Task?focus=ClinicalImpression/{note['id']}&requester=Patient/{patient}"
    )
    assert task_["description"].startswith("I said")
