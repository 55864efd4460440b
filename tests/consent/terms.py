"""Stand-ins for what the store gives: Rids by reference, and type codes."""

from __future__ import annotations

from functools import cache
from typing import Final

from app.consent.model import Terms
from app.fhir_mappings.hashing import hash64
from app.ids import Rid

TYPES: Final = {
    name: code
    for code, name in enumerate(
        (
            "AllergyIntolerance",
            "Appointment",
            "Binary",
            "CarePlan",
            "Communication",
            "Condition",
            "Consent",
            "DocumentReference",
            "Encounter",
            "Goal",
            "MedicationRequest",
            "Observation",
            "Patient",
            "Procedure",
            "QuestionnaireResponse",
            "ServiceRequest",
            "Task",
        ),
        start=1,
    )
}
"""Codes of the resource types that the tests use."""

TERMS: Final = Terms(type_code=TYPES.get, hash64=cache(hash64))


@cache
def rid_of(reference: str) -> Rid:
    """A Rid for a reference, the same every time."""
    return Rid(hash64("rid", reference) & 0x7FFF_FFFF_FFFF_FFFF | 1)
