"""Confidentiality and autonomy: withdrawn means that the next read is a 404."""

from __future__ import annotations

from tests.care.conftest import (
    HARBOR,
    RIVER,
    World,
    created,
    new_patient,
    observation,
    release,
    saved,
)


async def test_withdrawn_the_next_read_is_404(world: World) -> None:
    patient = await new_patient(world[RIVER])
    permit = await created(world[RIVER], release(patient, HARBOR))
    seen = await created(world[RIVER], observation(patient))
    path = f"/Observation/{seen['id']}"
    assert (await world[HARBOR].get(path)).status_code == 200
    await saved(world[RIVER], permit | {"status": "inactive"})
    answer = await world[HARBOR].get(path)
    missing = await world[HARBOR].get("/Observation/none")
    assert (answer.status_code, answer.content) == (404, missing.content)
