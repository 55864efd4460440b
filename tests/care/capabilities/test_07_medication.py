"""Medication: the alert reaches primary care, the diagnosis does not."""

from __future__ import annotations

from tests.care.conftest import (
    HARBOR,
    RIVER,
    World,
    actor,
    classes,
    concept,
    consent,
    created,
    new_patient,
    reference,
)


async def test_an_interaction_alert_reaches_primary_care_and_the_diagnosis_does_not(
    world: World,
) -> None:
    patient = await new_patient(world[HARBOR])
    subject = reference(f"Patient/{patient}")
    kinds = ("Patient", "MedicationRequest", "DetectedIssue")
    await created(
        world[HARBOR],
        consent(patient, type="permit", actor=actor(RIVER), **{"class": classes(*kinds)}),
    )
    medicine = await created(
        world[HARBOR],
        {
            "resourceType": "MedicationRequest",
            "status": "active",
            "intent": "order",
            "medicationCodeableConcept": {"text": "Sertraline 50 mg"},
            "subject": subject,
        },
    )
    diagnosis = await created(
        world[HARBOR],
        {
            "resourceType": "Condition",
            "code": concept("http://hl7.org/fhir/sid/icd-10-cm", "F43.10"),
            "subject": subject,
        },
    )
    alert = await created(
        world[HARBOR],
        {
            "resourceType": "DetectedIssue",
            "status": "final",
            "severity": "high",
            "patient": subject,
            "implicated": [reference(f"MedicationRequest/{medicine['id']}")],
            "detail": "With ibuprofen: bleeding.",
        },
    )
    assert (await world[RIVER].get(f"/DetectedIssue/{alert['id']}")).status_code == 200
    assert (await world[RIVER].get(f"/MedicationRequest/{medicine['id']}")).status_code == 200
    assert (await world[RIVER].get(f"/Condition/{diagnosis['id']}")).status_code == 404
