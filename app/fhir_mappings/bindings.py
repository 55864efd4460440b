"""Required bindings: the codes that an element may hold, expanded at build time from the R4
package.

Value sets that cannot be expanded are listed with the reason by
`app.fhir_mappings.structure.unexpanded`. Of MIME types and currencies the form is checked; UCUM units
and LOINC's answers, which bind a few elements of evidence and sequences, are not.

Pinned: hl7.org/fhir/R4/terminologies.html#required, hl7.org/fhir/R4/valueset-mimetypes.html.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Mapping
from typing import Any, Final

from app.errors import IssueCode
from app.fhir_mappings.faults import Path, Walk
from app.fhir_mappings.structure import value_set

Bound = Callable[[dict[str, Any], Path, Walk], None]


class _Form:
    """All codes of a form, for a value set that nobody can list."""

    def __init__(self, pattern: str) -> None:
        self._matches = re.compile(pattern, re.ASCII).fullmatch

    def __contains__(self, code: object) -> bool:
        return type(code) is str and self._matches(code) is not None


_NAME: Final = r"[A-Za-z0-9!#$&^_.+\-]+"
_FORMS: Final[Mapping[str, _Form]] = {
    # R4 itself also writes the short names of its own formats (CapabilityStatement.format).
    "http://hl7.org/fhir/ValueSet/mimetypes": _Form(
        rf"{_NAME}/{_NAME}(?: ?;.*)?|xml|json|ttl|none"
    ),
    "http://hl7.org/fhir/ValueSet/currencies": _Form(r"[A-Z]{3}"),
}


def bound_codes(url: str | None) -> Container[str] | None:
    """Codes that a `code` with a required binding may hold; None where any may stand."""
    if url is not None and url in _FORMS:
        return _FORMS[url]
    systems = value_set(url) if url else None
    return frozenset().union(*systems.values()) if systems is not None else None


def bound_concept(url: str | None) -> Bound | None:
    """Check of a CodeableConcept: at least one Coding must be of the value set. None: no check."""
    systems = value_set(url) if url else None
    if systems is None:
        return None

    def check(concept: dict[str, Any], path: Path, walk: Walk) -> None:
        codings = concept.get("coding")
        if type(codings) is list:
            for coding in codings:
                if type(coding) is dict:
                    codes = systems.get(coding.get("system", "")) if _is_text(coding) else None
                    if codes is not None and coding.get("code") in codes:
                        return
        walk.fault(
            IssueCode.CODE_INVALID,
            f"Give at least one Coding of the value set {url}, with its system.",
            path,
        )

    return check


def _is_text(coding: dict[str, Any]) -> bool:
    # A Coding whose parts are of the wrong JSON type is a fault of its own, found elsewhere.
    return isinstance(coding.get("system"), str) and isinstance(coding.get("code"), str)
