"""Required bindings: the codes that an element may hold, expanded at build time from the R4
package.

Value sets that cannot be expanded (MIME types, UCUM, currencies) are not checked;
`app.fhir_mappings.structure.unexpanded` lists them with the reason.

Pinned: hl7.org/fhir/R4/terminologies.html#required.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from app.errors import IssueCode
from app.fhir_mappings.faults import Path, Walk
from app.fhir_mappings.structure import value_set

Bound = Callable[[dict[str, Any], Path, Walk], None]


def bound_codes(url: str | None) -> frozenset[str] | None:
    """Codes that a `code` with a required binding may hold; None where any may stand."""
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
