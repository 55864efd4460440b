"""A resource in a shorter form: `_summary` and `_elements`, marked SUBSETTED so that nobody updates with it.

What the form leaves out is taken away at any depth for `_summary=true`, at the first level otherwise;
required elements stay, so that the resource remains valid where it can.

Pinned: hl7.org/fhir/R4/search.html#summary, #elements. Data: `data/r4-summary.json` (isSummary of the
official definitions, made by `tools/build_structure.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache
from importlib import resources
from typing import Any, Final, Literal, TypeAlias

import orjson

from app.fhir_mappings.json_text import JsonObject
from app.fhir_mappings.registry import is_resource_type
from app.fhir_mappings.structure import TypeDefinition, definition

Form: TypeAlias = Literal["true", "text", "data"]

SUBSETTED: Final[Mapping[str, str]] = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "SUBSETTED",
}

_ALWAYS: Final = frozenset({"id", "meta"})


@cache
def _summary() -> Mapping[str, frozenset[str]]:
    file = resources.files("app.fhir_mappings") / "data" / "r4-summary.json"
    return {name: frozenset(text.split()) for name, text in orjson.loads(file.read_bytes()).items()}


def summarized(resource: JsonObject, form: Form) -> JsonObject:
    """The resource in one of the forms of `_summary`.

    true: the elements that R4 marks for a summary. text: narrative, id, meta and required elements.
    data: all but the narrative.
    """
    shape = definition(resource["resourceType"])
    match form:
        case "true":
            result = _marked(resource, shape)
        case "text":
            result = _kept(resource, shape, {"text"})
        case "data":
            result = {k: v for k, v in resource.items() if k != "text"}
    return _subsetted(result)


def with_elements(resource: JsonObject, names: Collection[str]) -> JsonObject:
    """The resource with the elements that `_elements` names, alone or as Type.element, and required ones."""
    own = resource["resourceType"]
    wanted = {
        element
        for type_, _, element in (each.rpartition(".") for each in names)
        if type_ in ("", own)
    }
    return _subsetted(_kept(resource, definition(own), wanted))


def _kept(resource: JsonObject, shape: TypeDefinition, wanted: Collection[str]) -> JsonObject:
    return {
        key: value
        for key, value in resource.items()
        if key == "resourceType"
        or (slot := shape.slots.get(key.removeprefix("_"))) is None
        or slot.required
        or slot.element in wanted
        or slot.element in _ALWAYS
    }


def _marked(node: JsonObject, shape: TypeDefinition) -> JsonObject:
    wanted = _summary().get(shape.name, frozenset())
    # Of data types R4 marks some wholly and some not at all: unmarked ones are kept whole.
    whole = shape.kind == "complex" and not wanted
    result: JsonObject = {}
    for key, value in node.items():
        slot = shape.slots.get(key.removeprefix("_"))
        if slot is None or key.startswith("_") or whole:
            if slot is None or whole or slot.required or slot.element in wanted:
                result[key] = value
            continue
        if slot.required or slot.element in wanted or slot.element in _ALWAYS:
            result[key] = _inner(value, slot.type)
    return result


def _inner(value: Any, type_name: str) -> Any:
    if type(value) is list:
        return [_inner(each, type_name) for each in value]
    if type(value) is not dict:
        return value
    if type_name == "Resource":
        type_name = str(value.get("resourceType", ""))
        if not is_resource_type(type_name):
            return value
    return _marked(value, definition(type_name))


def _subsetted(resource: JsonObject) -> JsonObject:
    meta = dict(resource.get("meta", {}))
    tags = list(meta.get("tag", ()))
    if not any(
        each.get("system") == SUBSETTED["system"] and each.get("code") == SUBSETTED["code"]
        for each in tags
    ):
        tags.append(dict(SUBSETTED))
    meta["tag"] = tags
    result: JsonObject = {}
    for key, value in resource.items():
        if key != "meta":
            result[key] = value
        if key == "id" or (key == "resourceType" and "id" not in resource):
            result["meta"] = meta
    return result
