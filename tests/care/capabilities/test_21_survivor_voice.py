"""Survivor voice: feedback without a name."""

from __future__ import annotations

from tests.care.conftest import (
    HARBOR,
    RIVER,
    Json,
    World,
    created,
    reference,
)
from tests.care.instruments import questionnaire, response


async def test_an_anonymous_response_has_no_subject(world: World) -> None:
    items: list[Json] = [{"linkId": "heard", "type": "boolean"}, {"linkId": "more", "type": "text"}]
    asked = await created(world[RIVER], questionnaire(None, items, title="How was it with us?"))
    given = await created(
        world[RIVER],
        response(
            {"heard": True, "more": {"valueString": "Longer visits."}},
            f"Questionnaire/{asked['id']}",
        ),
    )
    stored = (await world[RIVER].get(f"/QuestionnaireResponse/{given['id']}")).json()
    assert not {"subject", "source", "author"} & stored.keys()
    assert (await world[HARBOR].get(f"/QuestionnaireResponse/{given['id']}")).status_code == 404
    speaker = await created(world[RIVER], {"resourceType": "Practitioner", "name": [{"text": "R"}]})
    team = await created(
        world[RIVER],
        {
            "resourceType": "CareTeam",
            "status": "active",
            "name": "Advisory board",
            "participant": [
                {
                    "role": [{"text": "survivor representative"}],
                    "member": reference(f"Practitioner/{speaker['id']}"),
                }
            ],
        },
    )
    assert team["participant"][0]["role"][0]["text"] == "survivor representative"
