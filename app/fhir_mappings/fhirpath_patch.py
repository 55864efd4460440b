"""FHIRPath Patch: a Parameters resource whose operations change elements named by FHIRPath.

The paths are those of `app.fhir_mappings.path` (members, indexes, `where`, `ofType`, `first()`,
`last()`, `extension(url)`), which is enough to name an element. Neighbour: `patch_value` builds the values.

Pinned: hl7.org/fhir/R4/fhirpatch.html.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from app.errors import FhirError, IssueCode, fhir_error
from app.fhir_mappings.fhirpath.syntax import Node
from app.fhir_mappings.json_text import JsonObject
from app.fhir_mappings.patch_place import Place, locate, property_of
from app.fhir_mappings.patch_value import value_of
from app.fhir_mappings.path import PathError, PathSyntaxError, parse_path


def fhirpath_patch(parameters: Mapping[str, Any]) -> Callable[[JsonObject], JsonObject]:
    """The change that a Parameters resource (a valid one) makes.

    FhirError 400 where a parameter is no operation. The change returns a new resource, not validated; it
    raises FhirError 422 where an operation cannot be applied, its expression naming the parameter.
    """
    operations = [
        _operation(each, f"Parameters.parameter[{n}]")
        for n, each in enumerate(parameters.get("parameter", ()))
    ]

    def change(resource: JsonObject) -> JsonObject:
        result = copy.deepcopy(resource)
        for operation in operations:
            operation(result)
        return result

    return change


def _operation(parameter: Mapping[str, Any], where: str) -> Callable[[JsonObject], None]:
    parts = {each["name"]: each for each in parameter.get("part", ())}
    kind = next(iter(_texts(parts.get("type"))), None)
    apply = _KINDS.get(kind or "")
    path = next(iter(_texts(parts.get("path"))), None)
    if parameter.get("name") != "operation" or apply is None or path is None:
        raise fhir_error(
            IssueCode.INVALID,
            "Name each parameter operation, with the parts type (add, insert, delete, replace or move) "
            "and path.",
            where,
        )
    try:
        node = parse_path(path)
    except PathSyntaxError as error:
        raise fhir_error(
            IssueCode.NOT_SUPPORTED,
            "The path uses more of FHIRPath than members, indexes, where, ofType, first, last and "
            "extension.",
            where,
        ) from error

    def run(resource: JsonObject) -> None:
        try:
            apply(resource, node, parts)
        except PathError as error:
            raise fhir_error(
                IssueCode.PROCESSING, f"The operation cannot be applied: {error}.", where
            ) from error
        except FhirError as error:
            raise fhir_error(
                error.issues[0].code, error.issues[0].diagnostics, where, status=error.status
            ) from error

    return run


def _texts(part: Mapping[str, Any] | None) -> list[str]:
    return [v for k, v in (part or {}).items() if k.startswith("value") and isinstance(v, str)]


def _one(resource: JsonObject, node: Node) -> Place:
    found = locate(node, resource)
    if len(found) != 1:
        raise PathError(f"the path names {'no' if not found else 'more than one'} element")
    return found[0]


def _number(parts: Mapping[str, Any], name: str) -> int:
    value = parts.get(name, {}).get("valueInteger")
    if type(value) is not int or value < 0:
        raise PathError(f"the part {name} must be an integer from 0 up (valueInteger)")
    return value


def _value(parts: Mapping[str, Any]) -> Mapping[str, Any]:
    if "value" not in parts:
        raise PathError("the part value is missing")
    found: Mapping[str, Any] = parts["value"]
    return found


def _add(resource: JsonObject, node: Node, parts: Mapping[str, Any]) -> None:
    place = _one(resource, node)
    name = next(iter(_texts(parts.get("name"))), "")
    holder = place.value
    if type(holder) is not dict:
        raise PathError("the path names a primitive, which holds no elements")
    key, slot = property_of(place.type, name, _value(parts))
    value = value_of(_value(parts), slot)
    if slot.many:
        if f"_{key}" in holder:
            holder[f"_{key}"] += [None] * (len(holder.get(key, ())) + 1 - len(holder[f"_{key}"]))
        holder.setdefault(key, []).append(value)
        return
    if not place.absent(name):
        raise PathError("the element is there already and does not repeat: replace it")
    holder[key] = value


def _list_of(resource: JsonObject, node: Node) -> tuple[dict[str, Any], str, Place]:
    found = locate(node, resource)
    if not found or found[0].index is None:
        raise PathError("the path names no list that is there")
    first = found[0]
    if any(each.holder is not first.holder or each.key != first.key for each in found):
        raise PathError("the path names elements of more than one list")
    return first.holder, first.key, first


def _insert(resource: JsonObject, node: Node, parts: Mapping[str, Any]) -> None:
    holder, key, first = _list_of(resource, node)
    index = _number(parts, "index")
    if index > len(holder[key]):
        raise PathError("the index is beyond the end of the list")
    _, slot = property_of(first.owner, first.element, _value(parts))
    holder[key].insert(index, value_of(_value(parts), slot))
    if f"_{key}" in holder:
        holder[f"_{key}"].insert(index, None)


def _delete(resource: JsonObject, node: Node, _parts: Mapping[str, Any]) -> None:
    found = locate(node, resource)
    if not found:
        return  # What is not there is deleted already (fhirpatch.html#concept).
    if len(found) > 1:
        raise PathError("the path names more than one element")
    found[0].remove()


def _replace(resource: JsonObject, node: Node, parts: Mapping[str, Any]) -> None:
    place = _one(resource, node)
    if place.key == "":
        raise PathError("the whole resource is replaced by an update, not by a patch")
    key, slot = property_of(place.owner, place.element, _value(parts))
    value = value_of(_value(parts), slot)
    if place.index is not None:
        place.holder[place.key][place.index] = value
        return
    place.remove()
    place.holder[key] = value


def _move(resource: JsonObject, node: Node, parts: Mapping[str, Any]) -> None:
    holder, key, _ = _list_of(resource, node)
    source, destination = _number(parts, "source"), _number(parts, "destination")
    if max(source, destination) >= len(holder[key]):
        raise PathError("source or destination is beyond the end of the list")
    for name in (key, f"_{key}"):
        if name in holder:
            holder[name].insert(destination, holder[name].pop(source))


_KINDS: Mapping[str, Callable[[JsonObject, Node, Mapping[str, Any]], None]] = {
    "add": _add,
    "insert": _insert,
    "delete": _delete,
    "replace": _replace,
    "move": _move,
}
