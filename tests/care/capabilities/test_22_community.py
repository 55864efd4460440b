"""Community screening, hotlines, directories: answers without any client identity."""

from __future__ import annotations

from tests.care.conftest import (
    LEGAL,
    NEED,
    SHELTER,
    World,
    concept,
    created,
    found,
    new_patient,
    reference,
)
from tests.care.instruments import questionnaire, response


async def test_the_directory_answers_without_any_client_identity(world: World) -> None:
    for need in ("housing", "legal"):
        await created(
            world[SHELTER],
            {
                "resourceType": "HealthcareService",
                "active": True,
                "name": need,
                "category": [concept(NEED, need)],
                "providedBy": reference(f"Organization/{SHELTER}"),
            },
        )
    services = await found(world[LEGAL], f"/HealthcareService?service-category={NEED}|housing")
    assert [each["name"] for each in services] == ["housing"]
    patient = await new_patient(world[SHELTER])
    again = await found(world[LEGAL], f"/HealthcareService?service-category={NEED}|housing")
    assert again == services
    assert patient not in str(again)


async def test_a_hotline_screening_names_nobody(world: World) -> None:
    asked = await created(
        world[SHELTER], questionnaire(None, [{"linkId": "safe", "type": "boolean"}])
    )
    given = await created(world[SHELTER], response({"safe": False}, f"Questionnaire/{asked['id']}"))
    assert "subject" not in given
    assert await found(world[SHELTER], "/Patient") == []
