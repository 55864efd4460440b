"""Risk and escalation: the stat Task is there when the response is."""

from __future__ import annotations

from tests.care.conftest import (
    HARBOR,
    LOINC,
    World,
    done,
    found,
    new_patient,
    post,
    reference,
    transaction,
    urn,
)
from tests.care.instruments import questionnaire, response


async def test_c_ssrs_question_5_yes_has_its_stat_task_when_the_transaction_commits(
    world: World,
) -> None:
    patient = await new_patient(world[HARBOR])
    code = [{"system": LOINC, "code": "93250-9"}]
    asked = questionnaire("93373-9", [{"linkId": "5", "type": "boolean", "code": code}])
    link = urn()
    await done(
        world[HARBOR],
        transaction(
            post(asked, link),
            post(response({"5": True}, link, subject=reference(f"Patient/{patient}"))),
        ),
    )
    (task_,) = await found(world[HARBOR], "/Task?priority=stat&status=requested")
    (assessment,) = await found(world[HARBOR], "/RiskAssessment")
    assert task_["focus"] == reference(f"RiskAssessment/{assessment['id']}")
    (flag,) = await found(world[HARBOR], f"/Flag?patient=Patient/{patient}")
    (told,) = await found(world[HARBOR], "/Communication")
    stamps = {each["meta"]["lastUpdated"] for each in (task_, assessment, flag, told)}
    assert len(stamps) == 1
