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
from tests.care.instruments import numbered, questionnaire, response

OBSERVATION_EXTRACT = (
    "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-observationExtract"
)


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


async def test_what_somebody_else_tells_is_collateral_and_says_who_told_it(world: World) -> None:
    patient = await new_patient(world[HARBOR])
    subject = reference(f"Patient/{patient}")
    sister = await created(world[HARBOR], {"resourceType": "RelatedPerson", "patient": subject})
    items = [{"linkId": "sleep", "type": "boolean", "code": [{"system": LOINC, "code": "28376-2"}]}]
    extracts = {"url": OBSERVATION_EXTRACT, "valueBoolean": True}
    asked = await created(world[HARBOR], questionnaire(None, items, extension=[extracts]))
    given = await created(
        world[HARBOR],
        response(
            {"sleep": False},
            f"Questionnaire/{asked['id']}",
            subject=subject,
            source=reference(f"RelatedPerson/{sister['id']}"),
        ),
    )
    place = f"QuestionnaireResponse/{given['id']}"
    await world[HARBOR].post(f"/{place}/$extract?store=true", {})
    (told,) = await found(world[HARBOR], f"/Observation?code={LOINC}|28376-2")
    assert told["subject"] == subject
    assert told["derivedFrom"] == [reference(place)]
    source = (await world[HARBOR].get(f"/{place}")).json()["source"]
    assert source == reference(f"RelatedPerson/{sister['id']}")
