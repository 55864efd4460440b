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
    Section("30954-2", "Results", "Observation", (("category", "laboratory,survey"),)),
    Section("8716-3", "Vital signs", "Observation", (("category", "vital-signs"),)),
    Section("18776-5", "Plan of care", "CarePlan", (("status", "active"),)),
    Section("61146-7", "Goals", "Goal", (("lifecycle-status", "active,proposed,accepted"),)),
    Section("42348-3", "Advance directives and consent", "Consent", (("status", "active"),)),
)


def composition(
    subject: str,
    author: str | None,
    found: Sequence[tuple[Section, Sequence[str]]],
    now: datetime,
) -> Json:
    """The Composition. found: each section with its entries as "Type/id"; sections of one code are one."""
    grouped: dict[str, tuple[Section, list[str]]] = {}
    for section, places in found:
        grouped.setdefault(section.code, (section, []))[1].extend(places)
    sections = [
        _section(section, places)
        for section, places in grouped.values()
        if places or section.required
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


def _section(section: Section, places: Sequence[str]) -> Json:
    made: Json = {
        "title": section.title,
        "code": {"coding": [{"system": "http://loinc.org", "code": section.code}]},
        "text": _text(f"{section.title}: {len(places)}" if places else "No information available."),
    }
    if places:
        return made | {"entry": [{"reference": place} for place in places]}
    system = "http://terminology.hl7.org/CodeSystem/list-empty-reason"
    return made | {"emptyReason": {"coding": [{"system": system, "code": "unavailable"}]}}


def _text(words: str) -> Mapping[str, str]:
    div = f'<div xmlns="http://www.w3.org/1999/xhtml"><p>{escape(words)}</p></div>'
    return {"status": "generated", "div": div}
