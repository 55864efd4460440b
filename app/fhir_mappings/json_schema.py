"""JSON Schemas of FHIR types, from the R4 structure: for the OpenAPI document.

A schema says what a type has, not all that it must satisfy: invariants, reference targets and open
value sets are the validator's (`app.fhir_mappings.validate`). Every object may have more members,
because extensions of primitives (`_birthDate`) are not listed.
Pinned: hl7.org/fhir/R4/json.html, json-schema.org/draft/2020-12.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from app.fhir_mappings import registry
from app.fhir_mappings.structure import Slot, definition, value_set

Schema = dict[str, Any]

_PLACE: Final = "#/components/schemas/"
_MOST_CODES: Final = 40
"""Longer value sets are named and not listed."""

_JSON_TYPES: Final = {
    "boolean": "boolean",
    "integer": "integer",
    "positiveInt": "integer",
    "unsignedInt": "integer",
    "decimal": "number",
}
_FORMATS: Final = {"instant": "date-time", "uuid": "uuid"}
_EXAMPLES: Final = {"date": "2026-03-01", "dateTime": "2026-03-01T10:00:00Z"}


def reference(name: str) -> Schema:
    """A $ref to the schema of a type."""
    return {"$ref": _PLACE + name}


def schemas(roots: Iterable[str]) -> dict[str, Schema]:
    """The schemas of these types and of every type that they are made of, by name, alphabetically."""
    found: dict[str, Schema] = {"Resource": _resource()}
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found[name] = _schema(name)
        waiting += [slot.type for slot in definition(name).slots.values()]
    return dict(sorted(found.items()))


def _resource() -> Schema:
    return {
        "type": "object",
        "description": "Any R4 resource; the types of care have schemas of their own.",
        "required": ["resourceType"],
        "properties": {
            "resourceType": {"type": "string", "enum": sorted(registry.RESOURCE_TYPES)},
            "id": {"type": "string", "pattern": r"^[A-Za-z0-9\-\.]{1,64}$"},
        },
    }


def _schema(name: str) -> Schema:
    type_ = definition(name)
    if type_.kind == "primitive":
        return _primitive(name)
    required: list[str] = []
    properties: Schema = {}
    if registry.is_resource_type(name):
        required.append("resourceType")
        properties["resourceType"] = {"const": name, "type": "string"}
    for key, slot in type_.slots.items():
        properties[key] = _property(slot)
        if slot.required and not slot.choice:
            required.append(key)
    schema: Schema = {"type": "object", "properties": properties}
    if required:
        schema["required"] = required
    choices = sorted({s.element for s in type_.slots.values() if s.choice})
    if choices:
        one = ", ".join(f"{each}[x]" for each in choices)
        schema["description"] = f"At most one member of each of {one}."
    return schema


def _primitive(name: str) -> Schema:
    schema: Schema = {"type": _JSON_TYPES.get(name, "string")}
    if name in _FORMATS:
        schema["format"] = _FORMATS[name]
    if name in _EXAMPLES:
        schema["examples"] = [_EXAMPLES[name]]
    if name in ("positiveInt", "unsignedInt"):
        schema["minimum"] = 1 if name == "positiveInt" else 0
    if name in ("id", "code"):
        schema["pattern"] = f"^{definition(name).regex}$"
    return schema


def _property(slot: Slot) -> Schema:
    schema = reference(slot.type)
    if slot.type == "code" and slot.binding is not None:
        codes = {code for each in (value_set(slot.binding) or {}).values() for code in each}
        schema = {"type": "string", "description": f"A code of {slot.binding}."}
        if 0 < len(codes) <= _MOST_CODES:
            schema = {"type": "string", "enum": sorted(codes)}
    if slot.type == "Reference" and slot.targets:
        schema = reference("Reference") | {"description": f"To {', '.join(slot.targets)}."}
    return {"type": "array", "items": schema, "minItems": 1} if slot.many else schema
