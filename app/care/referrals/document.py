"""The referral package as a FHIR document: a Composition first, then its parts in a stable order.

Pinned: hl7.org/fhir/R4/documents.html, hl7.org/fhir/R4/composition.html. The Composition is made for the
reader and is not stored; its sections refer to what is in the Bundle, and say the redisclosure notices.
Neighbour: `app.care.referrals.package`, which decides what is in it.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from html import escape
from typing import Any, Final

from app.fhir_mappings import json_text
from app.fhir_mappings.bundle import BundleEntry, render_bundle

_SECTIONS: Final = (
    ("What is asked for", ("Task", "ServiceRequest")),
    ("What was agreed to", ("Consent",)),
)
_REST: Final = "What goes with it"
_NOTICE: Final = "Before you pass this on"


def _reference(place: str) -> dict[str, str]:
    return {"reference": place}


def _narrative(sentences: Sequence[str]) -> dict[str, str]:
    text = "".join(f"<p>{escape(each)}</p>" for each in sentences)
    return {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{text}</div>'}


def composition(
    places: Sequence[str], author: str | None, notices: Sequence[str], now: datetime
) -> dict[str, Any]:
    """The Composition over parts ("Type/id" each, in their order); author: "Type/id", None if unseen."""
    subject = next((p for p in places if p.startswith("Patient/")), None)
    apart = {subject, author}
    sections: list[dict[str, Any]] = []
    told: set[str | None] = set(apart)
    for title, types in _SECTIONS:
        entries = [p for p in places if p.partition("/")[0] in types and p not in apart]
        told.update(entries)
        if entries:
            sections.append({"title": title, "entry": [_reference(p) for p in entries]})
    rest = [p for p in places if p not in told]
    if rest:
        sections.append({"title": _REST, "entry": [_reference(p) for p in rest]})
    if notices:
        sections.append({"title": _NOTICE, "text": _narrative(notices)})
    made: dict[str, Any] = {
        "resourceType": "Composition",
        "status": "final",
        "type": {
            "coding": [
                {"system": "http://loinc.org", "code": "57133-1", "display": "Referral note"}
            ]
        },
        "date": json_text.instant(now),
        "author": [_reference(author) if author else {"display": "The requester of this Task"}],
        "title": "Referral",
        "section": sections,
    }
    return made | ({"subject": _reference(subject)} if subject else {})


def bundle(
    head: dict[str, Any],
    places: Sequence[str],
    contents: Sequence[bytes],
    base_url: str,
    now: datetime,
) -> bytes:
    """The document Bundle: the Composition, then each part at its own address."""
    entries = [BundleEntry(f"urn:uuid:{uuid.uuid4()}", json_text.dump(head))]
    entries += [
        BundleEntry(f"{base_url}/{place}", content)
        for place, content in zip(places, contents, strict=True)
    ]
    return render_bundle(
        "document",
        total=None,
        links=[],
        entries=entries,
        identifier={"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{uuid.uuid4()}"},
        timestamp=now,
    )
