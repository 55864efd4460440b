"""`Patient/$summary`: the sections of the International Patient Summary, as a document. Pure.

An empty section says the same whether there is nothing or nothing may be seen ("unavailable"): it never
says that something was withheld. Pinned: hl7.fhir.uv.ips (Composition 60591-5), hl7.org/fhir/R4/documents.html.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Any, Final

from app.fhir_mappings import json_text

Json = dict[str, Any]

_CALLED: Final = (
    *("code", "medicationCodeableConcept", "vaccineCode", "description", "title", "category"),
    *("device", "scope", "type"),
)
"""Elements that name an entry, the most telling first."""


@dataclass(frozen=True, slots=True)
class Section:
    """code: LOINC. required: whether IPS wants the section even where it is empty.

    search: what finds its entries, beside the patient.
    """

    code: str
    title: str
    type: str
    search: tuple[tuple[str, str], ...] = ()
    required: bool = False


_PREGNANCY: Final = ",".join(
    f"http://loinc.org|{code}" for code in ("82810-3", "11778-8", "11779-6", "11780-4")
)
"""Pregnancy status, and the estimated date of delivery by its three methods."""

_FUNCTIONING: Final = "http://loinc.org|47420-5"
"""Functional status assessment: what an assessment of it is coded with."""

SECTIONS: Final = (
    Section(
        "11450-4",
        "Problems",
        "Condition",
        (("clinical-status", "active,recurrence,relapse"),),
        True,
    ),
    Section("48765-2", "Allergies and intolerances", "AllergyIntolerance", (), True),
    Section(
        "10160-0",
        "Medication",
        "MedicationStatement",
        (("status", "active,intended,on-hold"),),
        True,
    ),
    Section("10160-0", "Medication", "MedicationRequest", (("status", "active,on-hold"),), True),
    Section("11369-6", "Immunizations", "Immunization"),
    Section("47519-4", "Procedures", "Procedure"),
    Section("46264-8", "Medical devices", "DeviceUseStatement"),
    Section("30954-2", "Results", "Observation", (("category", "laboratory,imaging,survey"),)),
    Section("30954-2", "Results", "DiagnosticReport", (("status", "final,amended,corrected"),)),
    Section("8716-3", "Vital signs", "Observation", (("category", "vital-signs"),)),
    Section(
        "11348-0",
        "Past illnesses",
        "Condition",
        (("clinical-status", "inactive,remission,resolved"),),
    ),
    Section("47420-5", "Functional status", "Condition", (("category", "functional-status"),)),
    Section("47420-5", "Functional status", "ClinicalImpression", (("code", _FUNCTIONING),)),
    Section("10162-6", "Pregnancy", "Observation", (("code", _PREGNANCY),)),
    Section("29762-2", "Social history", "Observation", (("category", "social-history"),)),
    Section("104605-1", "Alerts", "Flag", (("status", "active"),)),
    Section("18776-5", "Plan of care", "CarePlan", (("status", "active"),)),
    Section("61146-7", "Goals", "Goal", (("lifecycle-status", "active,proposed,accepted"),)),
    Section("42348-3", "Advance directives and consent", "Consent", (("status", "active"),)),
)


def composition(
    subject: str,
    author: str | None,
    found: Sequence[tuple[Section, Sequence[Json]]],
    now: datetime,
) -> Json:
    """The Composition. found: each section with the resources in it; sections of one code are one."""
    grouped: dict[str, tuple[Section, list[Json]]] = {}
    for section, entries in found:
        grouped.setdefault(section.code, (section, []))[1].extend(entries)
    sections = [
        _section(section, entries)
        for section, entries in grouped.values()
        if entries or section.required
    ]
    who = {"reference": author} if author else {"reference": subject}
    return {
        "resourceType": "Composition",
        "id": str(uuid.uuid4()),
        "status": "final",
        "type": {
            "coding": [
                {
                    "system": "http://loinc.org",
                    "code": "60591-5",
                    "display": "Patient summary Document",
                }
            ]
        },
        "subject": {"reference": subject},
        "date": json_text.instant(now),
        "author": [who],
        "title": "Patient summary",
        "section": sections,
    }


def _section(section: Section, entries: Sequence[Json]) -> Json:
    made: Json = {
        "title": section.title,
        "code": {"coding": [{"system": "http://loinc.org", "code": section.code}]},
        "text": _text([label(each) for each in entries] or ["No information available."]),
    }
    if entries:
        places = [f"{each['resourceType']}/{each['id']}" for each in entries]
        return made | {"entry": [{"reference": place} for place in places]}
    system = "http://terminology.hl7.org/CodeSystem/list-empty-reason"
    return made | {"emptyReason": {"coding": [{"system": system, "code": "unavailable"}]}}


def label(resource: Json) -> str:
    """What an entry is called, for who reads the document: its code's text or display, else its type."""
    for name in _CALLED:
        stated = resource.get(name)
        for each in stated if isinstance(stated, list) else [stated]:
            if isinstance(each, str) and each:
                return each
            if isinstance(each, dict):
                codings = each.get("coding", ())
                texts = (each.get("text"), *(c.get("display") for c in codings))
                codes = (c.get("code") for c in codings)
                found = next(filter(None, (*texts, *codes)), None)
                if found:
                    return str(found)
    return str(resource["resourceType"])


def _text(words: Sequence[str]) -> Mapping[str, str]:
    lines = "".join(f"<p>{escape(each)}</p>" for each in words)
    div = f'<div xmlns="http://www.w3.org/1999/xhtml">{lines}</div>'
    return {"status": "generated", "div": div}
