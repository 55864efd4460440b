"""What must exist when a response tells of danger: Observation, RiskAssessment, Flag, Task, Communication.

Made with the response, in its transaction: nobody is told that a danger was written down before somebody
is asked to act on it. A screen never makes a Condition: it is an answer, not a diagnosis.
Pinned: hl7.org/fhir/R4/riskassessment.html, flag.html, task.html, communication.html.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from app.care.questionnaires.risk import Risk
from app.fhir_mappings import json_text

Json = dict[str, Any]

CODES: Final = "https://throughline.example/fhir/CodeSystem/escalation"
_PROBABILITY: Final = "http://terminology.hl7.org/CodeSystem/risk-probability"
_CATEGORY: Final = "http://terminology.hl7.org/CodeSystem"

NEUTRAL: Final = "A task that cannot wait is waiting for you."
"""All that a notification says: whoever glances at a screen learns nothing."""


def escalation(
    risk: Risk,
    response: str,
    subject: Mapping[str, Any],
    organization: str,
    security: Sequence[Mapping[str, str]],
    now: datetime,
) -> list[tuple[str, Json]]:
    """(fullUrl, resource) to write for one danger; only the finding where it need not be acted on at once.

    response, organization: "Type/id". security: the labels of the response, which everything here carries.
    """
    when = json_text.instant(now)
    meta = {"meta": {"security": [dict(each) for each in security]}} if security else {}
    urls = {name: f"urn:uuid:{uuid.uuid4()}" for name in ("finding", "assessment", "task")}
    who = {"reference": organization}
    common: Json = meta | {"subject": dict(subject)}
    finding: Json = common | {
        "resourceType": "Observation",
        "status": "final",
        "category": [_concept(f"{_CATEGORY}/observation-category", "survey")],
        "code": _concept(risk.system, risk.code),
        "effectiveDateTime": when,
        "performer": [who],
        "valueCodeableConcept": _level(risk),
        "derivedFrom": [{"reference": response}],
    }
    assessment: Json = common | {
        "resourceType": "RiskAssessment",
        "status": "preliminary",
        "occurrenceDateTime": when,
        "basis": [{"reference": urls["finding"]}],
        "prediction": [
            {
                "outcome": _concept(CODES, risk.outcome),
                "qualitativeRisk": _concept(_PROBABILITY, risk.level),
            }
        ],
    }
    made = [(urls["finding"], finding), (urls["assessment"], assessment)]
    if not risk.escalate:
        return made
    flag: Json = common | {
        "resourceType": "Flag",
        "status": "active",
        "category": [_concept(f"{_CATEGORY}/flag-category", "safety")],
        "code": _concept(CODES, risk.outcome),
        "period": {"start": when},
        "author": who,
    }
    task: Json = meta | {
        "resourceType": "Task",
        "status": "requested",
        "intent": "order",
        "priority": "stat",
        "code": _concept(CODES, "respond"),
        "focus": {"reference": urls["assessment"]},
        "for": dict(subject),
        "authoredOn": when,
        "requester": who,
        "owner": who,
    }
    told: Json = common | {
        "resourceType": "Communication",
        "status": "preparation",
        "category": [_concept(f"{_CATEGORY}/communication-category", "alert")],
        "priority": "stat",
        "about": [{"reference": urls["task"]}],
        "recipient": [who],
        "payload": [{"contentString": NEUTRAL}],
    }
    return [
        *made,
        (f"urn:uuid:{uuid.uuid4()}", flag),
        (urls["task"], task),
        (f"urn:uuid:{uuid.uuid4()}", told),
    ]


def _level(risk: Risk) -> Json:
    general = _concept(_PROBABILITY, risk.level)
    if risk.answer is None:
        return general
    system, code = risk.answer
    return {"coding": [{"system": system, "code": code}, *general["coding"]]}


def _concept(system: str, code: str) -> Json:
    return {"coding": [{"system": system, "code": code}]}
