"""The survivor's own goals and words."""

from __future__ import annotations

from tests.care.conftest import (
    RIVER,
    World,
    created,
    diagnostics,
    new_patient,
    reference,
    saved,
)


async def test_a_staff_update_cannot_overwrite_what_the_survivor_expressed(world: World) -> None:
    patient = await new_patient(world[RIVER])
    who = reference(f"Patient/{patient}")
    goal = await created(
        world[RIVER],
        {
            "resourceType": "Goal",
            "lifecycleStatus": "active",
            "description": {"text": "A room with a door that I can lock."},
            "subject": who,
            "expressedBy": who,
        },
    )
    refused = await world[RIVER].put(
        f"/Goal/{goal['id']}", goal | {"description": {"text": "Obtain supportive housing"}}
    )
    assert refused.status_code == 403
    assert "own words" in diagnostics(refused)
    await saved(world[RIVER], goal | {"note": [{"text": "Viewing on Monday."}]})
    kept = (await world[RIVER].get(f"/Goal/{goal['id']}")).json()
    assert kept["description"]["text"] == "A room with a door that I can lock."
