"""FHIR JSON as FHIR XML, and back, compiled from the same R4 definitions as validation.

    {"resourceType":"Patient","active":true}
    <Patient xmlns="http://hl7.org/fhir"><active value="true"/></Patient>

The XML form is regular: elements in the order of the definition, `value`, `id` and `Extension.url` as
attributes, the narrative's `div` as it stands. What is written is read again and compared, so that a resource
that XML cannot carry is refused and not altered. Why this is not left to fhir.resources:
docs/decisions/0006-xml.md. Neighbour: `app.fhir_mappings.xml_reading` parses the text.

Pinned: hl7.org/fhir/R4/xml.html, hl7.org/fhir/R4/json.html.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import orjson

from app.errors import FhirError, IssueCode, fhir_error
from app.fhir_mappings import json_text
from app.fhir_mappings.json_text import MAX_DEPTH_LIMIT, JsonObject, Number
from app.fhir_mappings.registry import is_resource_type
from app.fhir_mappings.structure import Slot, TypeDefinition, definition
from app.fhir_mappings.xml_reading import FHIR, Element, read_xml

_NUMBERS: Final = frozenset({"decimal", "integer", "positiveInt", "unsignedInt"})
_JSON_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?", re.ASCII)
_BOOLEANS: Final = {"true": True, "false": False}
_NOT_TEXT: Final = re.compile(r'[&<>"\t\n\r]')
_ESCAPES: Final = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
    "\t": "&#9;",
    "\n": "&#10;",
    "\r": "&#13;",
}


def to_xml(resource: JsonObject) -> bytes:
    """A resource, as `json_text.parse` returns it, as XML in UTF-8.

    FhirError 406 (not-supported) where the XML, read again, would not be the same resource: an element that
    R4 does not know, or a narrative that is no XML by itself.
    """
    try:
        name = str(resource["resourceType"])
        inside = "".join(_members(resource, definition(name)))
        text = f'<?xml version="1.0" encoding="UTF-8"?><{name} xmlns="{FHIR}">{inside}</{name}>'
        written = text.encode()
        back = json_text.parse(
            to_json(written, max_depth=MAX_DEPTH_LIMIT), max_depth=MAX_DEPTH_LIMIT
        )
    except (AttributeError, KeyError, TypeError, UnicodeEncodeError, FhirError):
        # Whatever the tree holds that R4 does not define: validation is not asked here.
        raise _unfaithful() from None
    if _plain(back) != _plain(resource):
        raise _unfaithful()
    return written


def to_json(data: bytes, *, max_depth: int) -> bytes:
    """The JSON of a resource in XML; whether it is valid is asked of the JSON.

    FhirError (structure) with the expression for what has no place in R4's XML; `app.fhir_mappings.xml_reading`
    says what else is refused.
    """
    root = read_xml(data, max_depth=max_depth)
    return orjson.dumps(_resource(root, root.name))


def _unfaithful() -> FhirError:
    return fhir_error(
        IssueCode.NOT_SUPPORTED,
        "XML cannot carry this resource unaltered; ask for application/fhir+json.",
        status=406,
    )


def _plain(value: Any) -> Any:
    """The tree with each number as its text, so that 0.40 differs from 0.4 and true from 1."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, Number):
        return ("number", value.text)
    if type(value) is int:
        return ("number", str(value))
    return value


def _members(node: JsonObject, shape: TypeDefinition) -> Iterator[str]:
    """The child elements of an object, in the order of the definition."""
    for key, slot in shape.slots.items():
        if key == "id" and shape.kind != "resource":
            continue
        if key == "url" and shape.name == "Extension":
            continue
        if key not in node and f"_{key}" not in node:
            continue
        value, beside = node.get(key), node.get(f"_{key}")
        if not slot.many:
            yield _element(key, slot, value, beside)
            continue
        values, besides = value or [], beside or []
        for number in range(max(len(values), len(besides))):
            yield _element(
                key,
                slot,
                values[number] if number < len(values) else None,
                besides[number] if number < len(besides) else None,
            )


def _element(key: str, slot: Slot, value: Any, beside: Any) -> str:
    if slot.type == "xhtml":
        return str(value)
    if slot.type == "Resource":
        name = str(value["resourceType"])
        return f"<{key}><{name}>{''.join(_members(value, definition(name)))}</{name}></{key}>"
    shape = definition(slot.type)
    if shape.kind == "primitive":
        attributes = "" if value is None else f' value="{_text(value)}"'
        return _tag(key, attributes, beside or {}, definition("Element"))
    return _tag(key, "", value, shape)


def _tag(key: str, attributes: str, node: JsonObject, shape: TypeDefinition) -> str:
    if "id" in node:
        attributes = f' id="{_text(node["id"])}"{attributes}'
    if shape.name == "Extension":
        attributes += f' url="{_text(node["url"])}"'
    inside = "".join(_members(node, shape))
    return f"<{key}{attributes}>{inside}</{key}>" if inside else f"<{key}{attributes}/>"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Number):
        return value.text
    return _NOT_TEXT.sub(lambda found: _ESCAPES[found[0]], str(value))


def _resource(element: Element, where: str) -> dict[str, Any]:
    if not is_resource_type(element.name):
        raise _fault("R4 has no such resource type.", where)
    if element.attributes:
        raise _fault("A resource has no attributes: give the id as an element.", where)
    shape = definition(element.name)
    return {"resourceType": element.name} | _object(element, shape, where)


def _object(element: Element, shape: TypeDefinition, where: str) -> dict[str, Any]:
    """The children of an element as the members of an object of a type."""
    found: dict[str, Any] = {}
    counts: dict[str, int] = {}
    for child in element.children:
        slot = shape.slots.get(child.name)
        if slot is None or (child.name == "id" and shape.kind != "resource"):
            raise _fault(
                "Remove the element: R4 has no such element here.", f"{where}.{child.name}"
            )
        number = counts[child.name] = counts.get(child.name, 0) + 1
        path = f"{where}.{slot.element}[{number - 1}]" if slot.many else f"{where}.{slot.element}"
        if number > 1 and not slot.many:
            raise _fault("Give this element once.", path)
        value, beside = _value(child, slot, path)
        for key, each in ((child.name, value), (f"_{child.name}", beside)):
            if slot.many:
                found.setdefault(key, []).append(each)
            elif each is not None:
                found[key] = each
    # An array stands where any of its places is taken.
    return {
        key: each
        for key, each in found.items()
        if not (type(each) is list and all(one is None for one in each))
    }


def _value(element: Element, slot: Slot, where: str) -> tuple[Any, Any]:
    """An element as a member's value, and as what stands beside it where it is a primitive."""
    if slot.type == "xhtml":
        if element.xhtml is None:
            raise _fault("Give the narrative as a div in the namespace of XHTML.", where)
        return element.xhtml, None
    if slot.type == "Resource":
        if element.attributes or len(element.children) != 1:
            raise _fault("Put one resource here.", where)
        return _resource(element.children[0], where), None
    shape = definition(slot.type)
    attributes = dict(element.attributes)
    own: dict[str, Any] = {"id": attributes.pop("id")} if "id" in attributes else {}
    if shape.kind == "primitive":
        text = attributes.pop("value", None)
        _no_more(attributes, where)
        beside = own | _object(element, definition("Element"), where)
        return None if text is None else _primitive(text, slot.type), beside or None
    if shape.name == "Extension" and "url" in attributes:
        own["url"] = attributes.pop("url")
    _no_more(attributes, where)
    return own | _object(element, shape, where), None


def _primitive(text: str, type_name: str) -> Any:
    """A number or a boolean as JSON has it; what is none is left a string, which validation refuses."""
    if type_name in _NUMBERS and _JSON_NUMBER.fullmatch(text):
        return orjson.Fragment(text)
    return _BOOLEANS.get(text, text) if type_name == "boolean" else text


def _no_more(attributes: dict[str, str], where: str) -> None:
    if attributes:
        raise _fault("Remove the attribute: R4 has no such attribute here.", where)


def _fault(diagnostics: str, where: str) -> FhirError:
    return fhir_error(IssueCode.STRUCTURE, diagnostics, where, status=400)
