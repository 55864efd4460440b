"""The value of a FHIRPath Patch operation as JSON: a typed value, a resource, or parts for an element
that has no type of its own (`Patient.contact`).

Pinned: hl7.org/fhir/R4/fhirpatch.html, hl7.org/fhir/R4/parameters.html.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.fhir_mappings.patch_place import property_of
from app.fhir_mappings.path import PathError
from app.fhir_mappings.structure import Slot


def value_of(part: Mapping[str, Any], slot: Slot) -> Any:
    """The JSON value of a part for an element. PathError where it has none, or one that cannot be meant.

    Whether the value is valid there is asked of the patched resource as a whole.
    """
    if any(key.startswith("_value") for key in part):
        raise PathError("extensions of a primitive cannot be patched in")
    typed = [key for key in part if key.startswith("value")]
    if typed:
        return part[typed[0]]
    if "resource" in part:
        return part["resource"]
    if not part.get("part"):
        raise PathError("the value is missing")
    return _built(part["part"], slot)


def _built(parts: list[Mapping[str, Any]], slot: Slot) -> dict[str, Any]:
    """An object put together of parts, each named after its element."""
    result: dict[str, Any] = {}
    for part in parts:
        key, inner = property_of(slot.type, str(part["name"]), part)
        value = value_of(part, inner)
        if inner.many:
            result.setdefault(key, []).append(value)
        elif key in result:
            raise PathError("a part that does not repeat is given twice")
        else:
            result[key] = value
    return result
