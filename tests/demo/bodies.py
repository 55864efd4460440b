"""Bodies of what the demo is asked for the examples of the OpenAPI document (`tests.demo.asks`)."""

from __future__ import annotations

from typing import Any, Final

Json = dict[str, Any]

KINDS: Final = "https://river-clinic.example/CodeSystem/shelter"
SHELTERS: Final = "https://river-clinic.example/ValueSet/shelter"


def parameters(**values: Any) -> Json:
    """`name__Type=value` as Parameters."""
    made = []
    for each, value in values.items():
        name, _, type_ = each.partition("__")
        kind = "resource" if type_ == "resource" else f"value{type_}"
        made.append({"name": name, kind: value})
    return {"resourceType": "Parameters", "parameter": made}


SYSTEM: Final[Json] = {
    "resourceType": "CodeSystem",
    "url": KINDS,
    "status": "active",
    "content": "complete",
    "hierarchyMeaning": "is-a",
    "concept": [
        {
            "code": "shelter",
            "display": "A safe place to sleep",
            "concept": [
                {"code": "night", "display": "For one night"},
                {"code": "weeks", "display": "For some weeks"},
            ],
        }
    ],
}
VALUE_SET: Final[Json] = {
    "resourceType": "ValueSet",
    "url": SHELTERS,
    "status": "active",
    "compose": {"include": [{"system": KINDS}]},
}
MARA: Final[Json] = {
    "resourceType": "Patient",
    "name": [{"family": "Whitfield", "given": ["Mara"]}],
    "gender": "female",
    "birthDate": "1997-03-14",
}
_RATE: Final[Json] = {
    "resourceType": "Observation",
    "status": "final",
    "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4", "display": "Heart rate"}]},
    "subject": {"reference": "urn:uuid:6b1f6d5e-6b0b-4c8a-9d3b-0a3f4f6f2b11"},
    "effectiveDateTime": "2025-03-03",
    "valueQuantity": {
        "value": 72,
        "unit": "/min",
        "system": "http://unitsofmeasure.org",
        "code": "/min",
    },
}


def patch(value: str) -> Json:
    """FHIRPath Patch: a Task's priority."""
    part = [
        {"name": "type", "valueCode": "replace"},
        {"name": "path", "valueString": "Task.priority"},
        {"name": "value", "valueCode": value},
    ]
    return {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": part}]}


TRANSACTION: Final[Json] = {
    "resourceType": "Bundle",
    "type": "transaction",
    "entry": [
        {
            "fullUrl": "urn:uuid:6b1f6d5e-6b0b-4c8a-9d3b-0a3f4f6f2b11",
            "resource": {"resourceType": "Patient", "gender": "female"},
            "request": {"method": "POST", "url": "Patient"},
        },
        {
            "fullUrl": "urn:uuid:0c6a4c36-3f0d-4f63-a3d0-5a2a1d1f9c22",
            "resource": _RATE,
            "request": {"method": "POST", "url": "Observation"},
        },
    ],
}
