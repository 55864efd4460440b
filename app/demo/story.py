"""What the tour writes: one synthetic survivor, new each time, as transaction Bundles.

Every entry is a POST, so that the server chooses the ids and the demo's own data is left alone.
Neighbours: `app.demo.tour` tells the story, `app.demo.agency` carries it over HTTP.
Pinned: hl7.org/fhir/R4/http.html#transaction, hl7.org/fhir/R4/consent.html.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import Any, Final

Json = dict[str, Any]

_ACT_CODE: Final = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
_LOINC: Final = "http://loinc.org"
_NEED: Final = "https://throughline.example/fhir/CodeSystem/need"
_PHQ9_WEIGHTS: Final = (2, 2, 1, 2, 1, 1, 2, 1, 0)
_PHQ9_ANSWERS: Final = ("LA6568-5", "LA6569-3", "LA6570-1", "LA6571-9")

PHQ9_TOTAL: Final = sum(_PHQ9_WEIGHTS)
"""The score that psychiatry writes: the sum of the weights of the nine answers."""


def transaction(entries: Iterable[tuple[str, Json]]) -> Json:
    """A transaction that creates resources; each entry is its urn:uuid and the resource."""
    return {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {
                "fullUrl": urn,
                "resource": resource,
                "request": {"method": "POST", "url": resource["resourceType"]},
            }
            for urn, resource in entries
        ],
    }


def urn() -> str:
    """A name for an entry that has no id yet."""
    return f"urn:uuid:{uuid.uuid4()}"


def _concept(system: str, code: str) -> Json:
    return {"coding": [{"system": system, "code": code}]}


def _reference(target: str) -> Json:
    return {"reference": target}


def consent(patient: str, recorder: str, provision: Json) -> Json:
    """An active privacy Consent; patient: a reference, recorder: an Organization id."""
    return {
        "resourceType": "Consent",
        "status": "active",
        "scope": _concept("http://terminology.hl7.org/CodeSystem/consentscope", "patient-privacy"),
        "category": [_concept(_LOINC, "59284-0")],
        "patient": _reference(patient),
        "performer": [_reference(patient)],
        "organization": [_reference(f"Organization/{recorder}")],
        "policyRule": _concept(_ACT_CODE, "OPTIN"),
        "provision": provision,
    }


def permit(
    recipient: str,
    action: str,
    purposes: Sequence[str],
    *,
    types: Sequence[str] = (),
    need: str = "",
    **more: Any,
) -> Json:
    """A permit provision for one organization; types and need narrow it, `more` is added as it is."""
    provision: Json = {
        "type": "permit",
        "actor": [
            {
                "role": _concept(
                    "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "IRCP"
                ),
                "reference": _reference(f"Organization/{recipient}"),
            }
        ],
        "action": [_concept("http://terminology.hl7.org/CodeSystem/consentaction", action)],
        "purpose": [
            {"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": code}
            for code in purposes
        ],
    }
    if types:
        provision["class"] = [
            {"system": "http://hl7.org/fhir/resource-types", "code": name} for name in types
        ]
    if need:
        provision["code"] = [_concept(_NEED, need)]
    return provision | more


def _period(today: date, days: int) -> Json:
    return {
        "start": (today - timedelta(days=1)).isoformat(),
        "end": (today + timedelta(days=days)).isoformat(),
    }


def first_visit(today: date) -> Json:
    """River Clinic meets somebody new: Patient, her consent to Harbor, a blood pressure."""
    patient = urn()
    return transaction(
        [
            (
                patient,
                {
                    "resourceType": "Patient",
                    "active": True,
                    "name": [{"use": "official", "family": "Marlowe", "given": ["Noor"]}],
                    "telecom": [{"system": "phone", "value": "+1-503-555-0190", "use": "mobile"}],
                    "gender": "female",
                    "birthDate": "1994-09-08",
                },
            ),
            (
                urn(),
                consent(
                    patient,
                    "river-clinic",
                    permit(
                        "harbor-psychiatry", "access", ["TREAT", "COC"], period=_period(today, 365)
                    ),
                ),
            ),
            (
                urn(),
                {
                    "resourceType": "Observation",
                    "status": "final",
                    "code": _concept(_LOINC, "85354-9"),
                    "subject": _reference(patient),
                    "effectiveDateTime": today.isoformat(),
                    "component": [
                        _pressure("8480-6", 122),
                        _pressure("8462-4", 79),
                    ],
                },
            ),
        ]
    )


def _pressure(code: str, value: int) -> Json:
    return {
        "code": _concept(_LOINC, code),
        "valueQuantity": {
            "value": value,
            "unit": "mmHg",
            "system": "http://unitsofmeasure.org",
            "code": "mm[Hg]",
        },
    }


def psychiatry_visit(patient: str, today: date) -> Json:
    """Harbor Psychiatry writes: what it may share and what not, answers, a score, a note, a medicine."""
    answers = urn()
    return transaction(
        [
            (
                urn(),
                consent(
                    patient,
                    "harbor-psychiatry",
                    permit(
                        "river-clinic",
                        "access",
                        ["TREAT", "COC"],
                        period=_period(today, 365),
                        provision=[
                            {
                                "type": "deny",
                                "securityLabel": [{"system": _ACT_CODE, "code": "PSYTHPN"}],
                            }
                        ],
                    ),
                ),
            ),
            (answers, _phq9_answers(patient, today)),
            (
                urn(),
                {
                    "resourceType": "Observation",
                    "status": "final",
                    "code": _concept(_LOINC, "44261-6"),
                    "subject": _reference(patient),
                    "effectiveDateTime": today.isoformat(),
                    "valueQuantity": {
                        "value": PHQ9_TOTAL,
                        "unit": "points",
                        "system": "http://unitsofmeasure.org",
                        "code": "{score}",
                    },
                    "derivedFrom": [_reference(answers)],
                },
            ),
            (
                urn(),
                {
                    "resourceType": "MedicationRequest",
                    "status": "active",
                    "intent": "order",
                    "medicationCodeableConcept": _concept(
                        "http://www.nlm.nih.gov/research/umls/rxnorm", "36437"
                    ),
                    "subject": _reference(patient),
                    "authoredOn": today.isoformat(),
                },
            ),
            (
                urn(),
                {
                    "resourceType": "DocumentReference",
                    "meta": {"security": [{"system": _ACT_CODE, "code": "PSYTHPN"}]},
                    "status": "current",
                    "type": {"text": "Psychotherapy note"},
                    "subject": _reference(patient),
                    "content": [
                        {
                            "attachment": {
                                "contentType": "text/plain; charset=utf-8",
                                "data": base64.b64encode(b"What was said in the session.").decode(),
                            }
                        }
                    ],
                },
            ),
        ]
    )


def _phq9_answers(patient: str, today: date) -> Json:
    return {
        "resourceType": "QuestionnaireResponse",
        "questionnaire": "Questionnaire/phq-9",
        "status": "completed",
        "subject": _reference(patient),
        "authored": today.isoformat(),
        "item": [
            {
                "linkId": f"item-{number}",
                "answer": [{"valueCoding": {"system": _LOINC, "code": _PHQ9_ANSWERS[weight]}}],
            }
            for number, weight in enumerate(_PHQ9_WEIGHTS, start=1)
        ],
    }


def referral(patient: str, today: date) -> Json:
    """River Clinic asks Open Door for a place to stay, with a release of ninety days for just that."""
    release, request = urn(), urn()
    purposes = ["CAREMGT", "COC"]
    parts = ["Task", "ServiceRequest", "Consent"]
    need = {"coding": [{"system": _NEED, "code": "housing"}]}
    return transaction(
        [
            (
                release,
                consent(
                    patient,
                    "river-clinic",
                    permit(
                        "open-door-shelter",
                        "access",
                        purposes,
                        types=["Patient"],
                        period=_period(today, 90),
                        provision=[
                            permit(
                                "open-door-shelter", "access", purposes, types=parts, need="housing"
                            ),
                            permit(
                                "open-door-shelter",
                                "correct",
                                purposes,
                                types=["Task"],
                                need="housing",
                            ),
                        ],
                    ),
                ),
            ),
            (
                request,
                {
                    "resourceType": "ServiceRequest",
                    "status": "active",
                    "intent": "order",
                    "category": [need],
                    "code": {"text": "A place to stay"},
                    "subject": _reference(patient),
                    "authoredOn": today.isoformat(),
                    "supportingInfo": [_reference(release)],
                },
            ),
            (
                urn(),
                {
                    "resourceType": "Task",
                    "meta": {"tag": need["coding"]},
                    "status": "requested",
                    "intent": "order",
                    "code": _concept("http://hl7.org/fhir/CodeSystem/task-code", "fulfill"),
                    "focus": _reference(request),
                    "for": _reference(patient),
                    "authoredOn": today.isoformat(),
                    "requester": _reference("Organization/river-clinic"),
                    "owner": _reference("Organization/open-door-shelter"),
                },
            ),
        ]
    )
