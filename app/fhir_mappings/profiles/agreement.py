"""Whether a value is what a profile fixes, follows its pattern, or is of a value set.

Pinned: hl7.org/fhir/R4/elementdefinition.html#ElementDefinition.fixed_x_, #pattern_x_,
hl7.org/fhir/R4/terminologies.html#strength.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from app.fhir_mappings.fhirpath.items import Item
from app.fhir_mappings.terminology.terminology import Terminology


def is_same(value: Any, fixed: Any) -> bool:
    """Exactly the same JSON; numbers by their value."""
    if type(value) is bool or type(fixed) is bool:
        return value is fixed
    if isinstance(value, int | Decimal) and isinstance(fixed, int | Decimal):
        return value == fixed
    if type(value) is not type(fixed):
        return False
    if type(value) is dict:
        return value.keys() == fixed.keys() and all(is_same(value[k], fixed[k]) for k in fixed)
    if type(value) is list:
        return len(value) == len(fixed) and all(map(is_same, value, fixed))
    return bool(value == fixed)


def follows(value: Any, pattern: Any) -> bool:
    """Everything that the pattern says is in the value; lists hold one match for each item."""
    if type(pattern) is dict:
        return type(value) is dict and all(
            key in value and follows(value[key], each) for key, each in pattern.items()
        )
    if type(pattern) is list:
        return type(value) is list and all(
            any(follows(own, each) for own in value) for each in pattern
        )
    return is_same(value, pattern)


def member_of(terminology: Terminology, item: Item, url: str) -> bool | None:
    """Whether a code, Coding, CodeableConcept or Quantity is of a value set; None: not known.

    A concept is of the set by any of its codings. False for text alone.
    """
    value = item.value
    if type(value) is str:
        return terminology.contains(url, None, value)
    if type(value) is not dict:
        return None
    if item.type != "CodeableConcept":
        return _coding(terminology, value, url)
    codings = value.get("coding")
    results = [
        _coding(terminology, each, url)
        for each in (codings if type(codings) is list else ())
        if type(each) is dict
    ]
    if True in results:
        return True
    if None in results:
        return None
    return False if terminology.knows_value_set(url) else None


def _coding(terminology: Terminology, coding: dict[str, Any], url: str) -> bool | None:
    code, system = coding.get("code"), coding.get("system", "")
    if type(code) is not str or type(system) is not str:
        return False if terminology.knows_value_set(url) else None
    return terminology.contains(url, system, code)
