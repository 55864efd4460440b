"""Re-engagement: a no-show is answered on the safe channel, never on an unsafe one."""

from __future__ import annotations

from tests.care.conftest import (
    RIVER,
    Json,
    World,
    created,
    found,
    reference,
    saved,
)

SAFETY = "https://throughline.example/fhir/StructureDefinition/contact-safety"


def phone(value: str, *, safe: bool) -> Json:
    parts = [{"url": "safe", "valueBoolean": safe}, {"url": "code-word", "valueString": "library"}]
    return {
        "system": "phone",
        "value": value,
        "extension": [{"url": SAFETY, "extension": parts}],
    }


async def no_show(world: World, *telecom: Json) -> tuple[str, Json]:
    """The Task that a missed appointment opens, and the person it is for."""
    made: Json = {"resourceType": "Patient"} | ({"telecom": list(telecom)} if telecom else {})
    patient = await created(world[RIVER], made)
    booked = await created(
        world[RIVER],
        {
            "resourceType": "Appointment",
            "status": "booked",
            "start": "2026-11-20T10:00:00Z",
            "end": "2026-11-20T11:00:00Z",
            "participant": [{"status": "accepted", "actor": reference(f"Patient/{patient['id']}")}],
        },
    )
    missed = await saved(world[RIVER], booked | {"status": "noshow"})
    await saved(world[RIVER], missed | {"comment": "seen"})
    (opened,) = await found(world[RIVER], f"/Task?patient=Patient/{patient['id']}")
    return patient["id"], opened


async def test_a_no_show_opens_a_task_on_the_safe_channel(world: World) -> None:
    _, opened = await no_show(
        world, phone("+1 503 555 0162", safe=False), phone("+1 503 555 0161", safe=True)
    )
    contact = opened["input"][0]["valueContactPoint"]
    assert contact["value"] == "+1 503 555 0161"
    assert "library" in str(contact)


async def test_where_no_channel_is_safe_the_task_says_to_wait(world: World) -> None:
    _, opened = await no_show(
        world,
        phone("+1 503 555 0162", safe=False),
        {"system": "phone", "value": "+1 503 555 0163"},
    )
    assert "input" not in opened
    assert "do not call" in opened["description"]


async def test_an_unsafe_number_is_refused_however_it_is_written(world: World) -> None:
    patient, opened = await no_show(world, phone("+1 503 555 0162", safe=False))
    for value in ("+1 503 555 0162", "+1-503-555-0162", "15035550162"):
        contact = {"system": "phone", "value": value}
        more = [{"type": {"text": "call"}, "valueContactPoint": contact}]
        refused = await world[RIVER].put(f"/Task/{opened['id']}", opened | {"input": more})
        assert refused.status_code == 422, value
        assert refused.json()["issue"][0]["expression"] == ["Task.input[0].valueContactPoint"]
        assert "555" not in refused.text
    care = await created(
        world[RIVER],
        {
            "resourceType": "EpisodeOfCare",
            "status": "onhold",
            "patient": reference(f"Patient/{patient}"),
        },
    )
    assert (await saved(world[RIVER], care | {"status": "active"}))["status"] == "active"
