"""Housing, food, transport, income, legal status: closed with a Procedure; immigration to legal aid alone."""

from __future__ import annotations

from tests.care.conftest import (
    HARBOR,
    LEGAL,
    NEED,
    RIVER,
    SHELTER,
    World,
    actor,
    concept,
    consent,
    created,
    new_patient,
    reference,
    referral,
    saved,
)


async def test_a_housing_referral_closes_with_a_procedure(world: World) -> None:
    patient = await new_patient(world[RIVER])
    made = await referral(world, patient)
    accepted = await saved(world[SHELTER], made | {"status": "accepted"})
    stay = await created(
        world[SHELTER],
        {
            "resourceType": "Procedure",
            "status": "completed",
            "category": concept(NEED, "housing"),
            "subject": reference(f"Patient/{patient}"),
        },
    )
    output = [{"type": {"text": "stay"}, "valueReference": reference(f"Procedure/{stay['id']}")}]
    closed = await saved(world[SHELTER], accepted | {"status": "completed", "output": output})
    assert closed["status"] == "completed"


async def test_immigration_data_reaches_legal_aid_alone(world: World) -> None:
    patient = await new_patient(world[RIVER])
    but = [{"type": "deny", "code": [concept(NEED, "immigration")]}]
    for agency in (HARBOR, SHELTER):
        permit = consent(patient, type="permit", actor=actor(agency), provision=but)
        await created(world[RIVER], permit)
    await created(
        world[RIVER],
        consent(
            patient,
            type="permit",
            actor=actor(LEGAL),
            code=[concept(NEED, "immigration")],
        ),
    )
    status = await created(
        world[RIVER],
        {
            "resourceType": "Condition",
            "category": [concept(NEED, "immigration")],
            "code": {"text": "Application pending"},
            "subject": reference(f"Patient/{patient}"),
        },
    )
    seen = {
        agency: (await world[agency].get(f"/Condition/{status['id']}")).status_code
        for agency in (HARBOR, SHELTER, LEGAL)
    }
    assert seen == {HARBOR: 404, SHELTER: 404, LEGAL: 200}
    assert (await world[SHELTER].get(f"/Patient/{patient}")).status_code == 200
