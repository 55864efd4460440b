"""Synthetic records: what one patient's fifty resources look like. Nobody in them exists.

A record is a list of slots, each one resource; every slot comes in `VARIANTS` wordings, so that codes, dates
and labels are spread as in a real store. References to the patient's own resources are written with
`placeholder` ids, which `bench.templates` replaces. Neighbour: `bench.load` (how many, whose, when).
Pinned: hl7.org/fhir/R4/resourcelist.html.
"""

from __future__ import annotations

from random import Random
from typing import Any, Final

Json = dict[str, Any]

VARIANTS: Final = 128
ORGANIZATIONS: Final = 40
HOMES: Final = 16
"""How many of the organizations are custodians; the others only receive."""

SLOTS: Final = (
    "Patient",
    "Consent",
    *["Encounter"] * 6,
    *["Condition"] * 4,
    *["Observation"] * 24,
    *["MedicationRequest"] * 3,
    "CarePlan",
    "Goal",
    *["QuestionnaireResponse"] * 3,
    "Procedure",
    "DocumentReference",
    "Appointment",
    "ServiceRequest",
    "Task",
    "Communication",
)
"""The resource types of one record, in the order of their slots: fifty."""

_LOINC: Final = "http://loinc.org"
_SNOMED: Final = "http://snomed.info/sct"
_ICD10: Final = "http://hl7.org/fhir/sid/icd-10-cm"
_ACT_CODE: Final = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
_ACT_REASON: Final = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
_CATEGORY: Final = "http://terminology.hl7.org/CodeSystem/observation-category"

_OBSERVATIONS: Final = (
    *[("vital-signs", c) for c in ("85354-9", "8867-4", "9279-1", "8310-5", "29463-7", "2708-6")],
    *[("laboratory", c) for c in ("718-7", "2345-7", "4548-4", "2160-0", "3016-3", "6690-2")],
    *[("survey", c) for c in ("44261-6", "70274-6", "101698-9", "75626-2", "91147-9")],
    *[("social-history", c) for c in ("72166-2", "71802-3", "88122-7", "63586-2")],
)
_CONDITIONS: Final = (
    "I10",
    "E11.9",
    "J45.909",
    "M54.5",
    "F43.10",
    "F33.1",
    "F41.1",
    "F10.20",
    "F11.20",
    "Z04.81",
    "T74.51XA",
    "B20",
    "K21.9",
    "G43.909",
    "Z59.00",
)
_FAMILIES: Final = ("Abara", "Beltran", "Castillo", "Dvorak", "Eze", "Fontaine", "Gruber", "Haddad")
_GIVEN: Final = ("Ana", "Bilal", "Chloe", "Dara", "Emre", "Faye", "Goran", "Hana", "Ines", "Jun")


def organization_id(number: int) -> str:
    """Id of one of the forty organizations; number 0 is the caller of the measurements."""
    return f"bench-organization-{number}"


def home(variant: int) -> int:
    """The organization that keeps the records of patients of this variant."""
    return variant % HOMES


def placeholder(slot: int) -> str:
    """The id by which a template names slot `slot` of the same patient: a UUID like any other."""
    return f"00000000-7e57-4b1d-8b1d-{slot:012d}"


def _ref(slot: int) -> Json:
    return {"reference": f"{SLOTS[slot]}/{placeholder(slot)}"}


def _concept(system: str, code: str) -> Json:
    return {"coding": [{"system": system, "code": code}]}


def _day(random: Random) -> str:
    return f"{random.randint(2019, 2026)}-{random.randint(1, 12):02d}-{random.randint(1, 28):02d}"


def _moment(random: Random) -> str:
    return f"{_day(random)}T{random.randint(7, 19):02d}:{random.randint(0, 59):02d}:00Z"


def consent(variant: int, number: int = 0) -> Json:
    """A Consent of three provisions: a permit to two organizations and two exceptions of it.

    number: which of a patient's several Consents; each names other recipients. Every third patient
    lets organization 0 read.
    """
    recipients = {1 + (variant * 7 + number * 11) % (ORGANIZATIONS - 1)}
    if variant % 3 == 0 and number == 0:
        recipients.add(0)
    exceptions: list[Json] = [{"securityLabel": [{"system": _ACT_CODE, "code": "PSYTHPN"}]}]
    match variant % 8:
        case 0:
            exceptions.append({"class": [_type("DocumentReference")]})
        case 1:
            exceptions.append({"dataPeriod": {"end": "2020-06-01"}})
        case 2:
            exceptions.append({"purpose": [{"system": _ACT_REASON, "code": "HPAYMT"}]})
        case 3:
            exceptions.append({"code": [_concept(_ICD10, "B20")]})
        case _:
            exceptions.append({"securityLabel": [{"system": _ACT_CODE, "code": "HIV"}]})
    return {
        "resourceType": "Consent",
        "status": "active",
        "scope": _concept("http://terminology.hl7.org/CodeSystem/consentscope", "patient-privacy"),
        "category": [_concept(_LOINC, "59284-0")],
        "patient": _ref(0),
        "dateTime": "2026-01-05",
        "policyRule": _concept(_ACT_CODE, "OPTIN"),
        "provision": {
            "type": "permit",
            "period": {"start": "2020-01-01", "end": "2100-01-01"},
            "actor": [
                {
                    "role": {"text": "recipient"},
                    "reference": {"reference": f"Organization/{organization_id(each)}"},
                }
                for each in sorted(recipients)
            ],
            "purpose": [
                {"system": _ACT_REASON, "code": code} for code in ("TREAT", "CAREMGT", "COC")
            ],
            "provision": [{"type": "deny", **each} for each in exceptions],
        },
    }


def _type(name: str) -> Json:
    return {"system": "http://hl7.org/fhir/resource-types", "code": name}


def resource(slot: int, variant: int) -> Json:
    """The resource of a slot, without id and meta; the same for the same arguments."""
    random = Random(f"{slot}/{variant}")
    type_ = SLOTS[slot]
    made: Json = {"resourceType": type_}
    encounter = _ref(2 + random.randrange(6))
    match type_:
        case "Patient":
            made |= {
                "active": True,
                "name": [{"family": random.choice(_FAMILIES), "given": [random.choice(_GIVEN)]}],
                "gender": random.choice(("female", "male", "other", "unknown")),
                "birthDate": f"{random.randint(1950, 2008)}-{random.randint(1, 12):02d}-11",
            }
        case "Consent":
            made = consent(variant)
        case "Encounter":
            made |= {
                "status": "finished",
                "class": {"system": _ACT_CODE, "code": random.choice(("AMB", "VR", "HH"))},
                "subject": _ref(0),
                "period": {"start": _moment(random)},
            }
        case "Condition":
            made |= {
                "clinicalStatus": _concept(
                    "http://terminology.hl7.org/CodeSystem/condition-clinical", "active"
                ),
                "code": _concept(_ICD10, random.choice(_CONDITIONS)),
                "subject": _ref(0),
                "encounter": encounter,
                "onsetDateTime": _day(random),
            }
        case "Observation":
            category, code = random.choice(_OBSERVATIONS)
            made |= {
                "status": random.choice(("final", "final", "final", "amended")),
                "category": [_concept(_CATEGORY, category)],
                "code": _concept(_LOINC, code),
                "subject": _ref(0),
                "encounter": encounter,
                "effectiveDateTime": _moment(random),
                "valueQuantity": {
                    "value": random.randint(10, 200),
                    "unit": "1",
                    "system": "http://unitsofmeasure.org",
                    "code": "1",
                },
            }
        case "MedicationRequest":
            made |= {
                "status": "active",
                "intent": "order",
                "medicationCodeableConcept": {
                    "text": random.choice(("sertraline", "prazosin", "metformin"))
                },
                "subject": _ref(0),
                "encounter": encounter,
                "authoredOn": _day(random),
            }
        case "CarePlan":
            made |= {
                "status": "active",
                "intent": "plan",
                "subject": _ref(0),
                "goal": [_ref(SLOTS.index("Goal"))],
                "period": {"start": _day(random)},
            }
        case "Goal":
            made |= {
                "lifecycleStatus": "active",
                "description": {"text": "A place to live that is mine"},
                "subject": _ref(0),
                "expressedBy": _ref(0),
                "startDate": _day(random),
            }
        case "QuestionnaireResponse":
            made |= {
                "questionnaire": f"https://throughline.example/fhir/Questionnaire/q{random.randrange(6)}|1",
                "status": "completed",
                "subject": _ref(0),
                "authored": _moment(random),
                "item": [
                    {"linkId": str(n), "answer": [{"valueInteger": random.randint(0, 3)}]}
                    for n in range(1, 10)
                ],
            }
        case "Procedure":
            made |= {
                "status": "completed",
                "code": {"text": random.choice(("EMDR session", "Group session", "Housing found"))},
                "subject": _ref(0),
                "performedDateTime": _moment(random),
            }
        case "DocumentReference":
            made |= {
                "status": "current",
                "type": _concept(_LOINC, random.choice(("34117-2", "18842-5", "57133-1"))),
                "subject": _ref(0),
                "date": _moment(random),
                "content": [{"attachment": {"contentType": "text/plain", "data": "c2FtcGxl"}}],
            }
        case "Appointment":
            made |= {
                "status": random.choice(("booked", "fulfilled", "noshow")),
                "start": _moment(random),
                "participant": [{"actor": _ref(0), "status": "accepted"}],
            }
            made["end"] = made["start"]
        case "ServiceRequest":
            made |= {
                "status": "active",
                "intent": "order",
                "code": {"text": random.choice(("Housing", "Legal help", "Transport"))},
                "subject": _ref(0),
                "authoredOn": _day(random),
                "requester": {"reference": f"Organization/{organization_id(home(variant))}"},
                "supportingInfo": [_ref(slot) for slot in (8, 12, 13, 14)],
            }
        case "Task":
            owner = f"Organization/{organization_id(random.randrange(ORGANIZATIONS))}"
            made |= {
                "status": random.choice(("requested", "accepted", "completed")),
                "intent": "order",
                "code": _concept("http://hl7.org/fhir/CodeSystem/task-code", "fulfill"),
                "focus": _ref(SLOTS.index("ServiceRequest")),
                "for": _ref(0),
                "authoredOn": _moment(random),
                "requester": {"reference": f"Organization/{organization_id(home(variant))}"},
                "owner": {"reference": owner},
            }
        case "Communication":
            made |= {"status": "completed", "subject": _ref(0), "sent": _moment(random)}
    return made
