"""Psychiatric, medical and collateral assessment: a score is derived from its answers."""

from __future__ import annotations

from tests.care.conftest import (
    HARBOR,
    LOINC,
    World,
    created,
    found,
    new_patient,
    reference,
)
from tests.care.instruments import numbered, response


async def test_pcl_5_answers_summing_to_40_give_a_score_of_40_derived_from_them(
    world: World,
) -> None:
    patient = await new_patient(world[HARBOR])
    asked = await created(world[HARBOR], numbered("101697-1", 20, 4))
    given = await created(
        world[HARBOR],
        response(
            {f"{n}": "a2" for n in range(1, 21)},
            f"Questionnaire/{asked['id']}",
            subject=reference(f"Patient/{patient}"),
        ),
    )
    place = f"QuestionnaireResponse/{given['id']}"
    await world[HARBOR].post(f"/{place}/$extract?store=true", {})
    (score,) = await found(world[HARBOR], f"/Observation?code={LOINC}|101698-9")
    assert score["valueQuantity"]["value"] == 40
    assert score["derivedFrom"] == [reference(place)]
    impression = await created(
        world[HARBOR],
        {
            "resourceType": "ClinicalImpression",
            "status": "completed",
            "subject": reference(f"Patient/{patient}"),
            "finding": [{"itemReference": reference(f"Observation/{score['id']}")}],
        },
    )
    assert impression["finding"]
    (provenance,) = await found(world[HARBOR], f"/Provenance?target=Observation/{score['id']}")
    assert provenance["entity"][0]["what"] == reference(place)
