"""Where in a resource a FHIRPath points: the object or list that holds each element, so that it can change.

Pinned: hl7.org/fhir/R4/fhirpatch.html, hl7.org/fhir/R4/json.html. Neighbours: `path` (the subset of
FHIRPath, criteria of `where`), `structure` (which JSON properties an element may stand in).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.fhir_mappings.fhirpath.syntax import Call, Indexer, Literal, Member, Node, TypeOperation
from app.fhir_mappings.json_text import JsonObject
from app.fhir_mappings.path import PathError, criterion, is_subtype
from app.fhir_mappings.structure import Slot, definition


@dataclass(frozen=True, slots=True)
class Place:
    """One element: `holder[key]`, or `holder[key][index]` in a list; key is "" for the resource itself.

    type: FHIR type of the element. owner: that of its holder. element: its name without type suffix.
    """

    holder: dict[str, Any]
    key: str
    index: int | None
    type: str
    owner: str
    element: str

    @property
    def value(self) -> Any:
        """The JSON value."""
        if self.key == "":
            return self.holder
        found = self.holder[self.key]
        return found if self.index is None else found[self.index]

    def absent(self, element: str) -> bool:
        """Whether none of the properties of a child element is there."""
        value = self.value
        return not any(
            slot.element == element and (key in value or f"_{key}" in value)
            for key, slot in definition(self.type).slots.items()
        )

    def remove(self) -> None:
        """Take the element away, with the extensions beside a primitive; an empty list goes too."""
        if self.key == "":
            raise PathError("the whole resource is deleted by DELETE, not by a patch")
        for name in (self.key, f"_{self.key}"):
            if name not in self.holder:
                continue
            if self.index is None:
                del self.holder[name]
                continue
            del self.holder[name][self.index : self.index + 1]
            if not any(each is not None for each in self.holder[name]):
                del self.holder[name]


def locate(node: Node, resource: JsonObject) -> list[Place]:
    """The elements that a path names, in order. PathError for an unknown element or function."""
    name = resource["resourceType"]
    return _locate(node, [Place(resource, "", None, name, "", "")], resource)


def _locate(node: Node | None, focus: list[Place], root: JsonObject) -> list[Place]:
    match node:
        case None:
            return focus
        case Member(None, name) if name[:1].isupper():
            if not all(is_subtype(each.type, name) for each in focus):
                raise PathError("the path begins with another type")
            return focus
        case Member(of, name):
            return [e for place in _locate(of, focus, root) for e in _children(place, name)]
        case Indexer(of, Literal(_, digits)):
            return _locate(of, focus, root)[int(digits) : int(digits) + 1]
        case TypeOperation("as", of, name) | Call(of, "as" | "ofType", (Member(None, name),)):
            return [e for e in _locate(of, focus, root) if is_subtype(e.type, name)]
        case Call(of, "first", ()):
            return _locate(of, focus, root)[:1]
        case Call(of, "last", ()):
            return _locate(of, focus, root)[-1:]
        case Call(of, "where", (test,)):
            return [e for e in _locate(of, focus, root) if criterion(test, e.type)(e.value, root)]
        case Call(of, "extension", (Literal("string", url),)):
            return [
                e
                for place in _locate(of, focus, root)
                for e in _children(place, "extension")
                if e.value.get("url") == url
            ]
    raise PathError("the path uses a function that names no element")


def _children(place: Place, name: str) -> list[Place]:
    owner = place.value["resourceType"] if place.type == "Resource" else place.type
    slots = {k: s for k, s in definition(owner).slots.items() if s.element == name}
    if not slots:
        raise PathError("the path names an element that R4 does not have there")
    value = place.value
    if type(value) is not dict:
        return []
    found: list[Place] = []
    for key, slot in slots.items():
        if key not in value:
            continue
        places = range(len(value[key])) if slot.many else (None,)
        found += [Place(value, key, index, slot.type, owner, name) for index in places]
    return found


def property_of(owner: str, element: str, part: Mapping[str, Any]) -> tuple[str, Slot]:
    """The JSON property for a new value of an element: of a choice, the one of the value's type."""
    slots = {k: s for k, s in definition(owner).slots.items() if s.element == element}
    if not slots:
        raise PathError("R4 has no such element there")
    if len(slots) == 1:
        return next(iter(slots.items()))
    for key, slot in slots.items():
        if f"value{slot.type[0].upper()}{slot.type[1:]}" in part:
            return key, slot
    raise PathError("the value is of none of the element's types")
