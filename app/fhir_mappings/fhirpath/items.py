"""What FHIRPath evaluates over: JSON values with their FHIR type, and the way from one to the next.

An item keeps the two JSON properties of a primitive element together: the value, and the `_name`
object of its id and extensions, so that `exists()` and `hasValue()` can differ.

Pinned: hl7.org/fhir/R4/fhirpath.html#types, hl7.org/fhir/R4/json.html#primitive.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from itertools import zip_longest
from types import NoneType
from typing import Any, Final, TypeAlias

from app.fhir_mappings.primitives import primitives
from app.fhir_mappings.registry import is_resource_type
from app.fhir_mappings.structure import definition


class Undecided(Exception):  # noqa: N818 - not an error: nothing can be said
    """The expression asks for what is not at hand: a resource elsewhere, a value set unknown."""


class Item:
    """One value. value: JSON, None where only `sibling` is there. type: FHIR or System type."""

    __slots__ = ("sibling", "type", "value")

    def __init__(self, value: Any, type: str, sibling: Any = None) -> None:  # noqa: A002
        self.value = value
        self.type = type
        self.sibling = sibling


Collection: TypeAlias = list[Item]

TRUE: Final = Item(True, "System.Boolean")
FALSE: Final = Item(False, "System.Boolean")
NOTHING: Final = Item(None, "Element")


class Stub(dict[str, Any]):
    """The value of an item of which only the type is known: the target of a reference elsewhere."""


_SYSTEM: Final[Mapping[str, frozenset[str]]] = {
    "Boolean": frozenset({"boolean"}),
    "String": frozenset({"string", "markdown", "code", "id", "uri", "url", "canonical", "oid"}),
    "Integer": frozenset({"integer", "positiveInt", "unsignedInt"}),
    "Decimal": frozenset({"decimal"}),
    "Date": frozenset({"date"}),
    "DateTime": frozenset({"dateTime", "instant"}),
    "Time": frozenset({"time"}),
}


@dataclass(frozen=True, slots=True)
class Property:
    """One JSON property that an element name can mean. plain: a primitive that does not repeat."""

    key: str
    type: str
    primitive: bool
    plain: bool
    sibling: str


@cache
def properties(type_name: str) -> Mapping[str, tuple[Property, ...]]:
    """Element name to its JSON properties, of a FHIR type; empty for types without elements."""
    if type_name.startswith("System.") or type_name in primitives():
        source = definition("Element").slots
    else:
        source = definition(type_name).slots
    found: dict[str, list[Property]] = {}
    for key, slot in source.items():
        primitive = slot.type in primitives()
        each = Property(key, slot.type, primitive, primitive and not slot.many, "_" + key)
        found.setdefault(slot.element, []).append(each)
    return {name: tuple(each) for name, each in found.items()}


def members(item: Item, name: str) -> Iterator[Item]:
    """The items of an element; nothing where the type has no such element.

    Undecided for a stub, of which nothing but the type is known.
    """
    value, type_name = item.value, item.type
    if type(value) is not dict:
        if type(value) is Stub:
            raise Undecided
        value = item.sibling
        if type(value) is not dict:
            return
        type_name = "Element"
    for each in properties(type_name).get(name, ()):
        yield from members_of(value, each)


def members_of(node: Mapping[str, Any], each: Property) -> Iterator[Item]:
    """The items of one JSON property."""
    if each.primitive:
        yield from _primitives(node, each)
    elif (found := node.get(each.key)) is not None:
        for one in found if type(found) is list else (found,):
            if type(one) is dict:
                name = each.type
                if name == "Resource":
                    stated = one.get("resourceType")
                    # An unknown type is a fault that the walker tells of.
                    if type(stated) is str and is_resource_type(stated):
                        name = stated
                yield Item(one, name)


def children(item: Item) -> Iterator[Item]:
    """All items one level down."""
    type_name = item.type if type(item.value) is dict else "Element"
    for name in properties(type_name):
        yield from members(item, name)


def descendants(item: Item) -> Iterator[Item]:
    """All items below, in document order."""
    for child in children(item):
        yield child
        yield from descendants(child)


def _primitives(node: Mapping[str, Any], each: Property) -> Iterator[Item]:
    """The values of a primitive element; one that is no primitive is a fault told elsewhere."""
    value, sibling = node.get(each.key), node.get(each.sibling)
    if type(value) is not list and type(sibling) is not list:
        values, siblings = [value], [sibling]
    else:
        values = value if type(value) is list else []
        siblings = sibling if type(sibling) is list else []
    for one, other in zip_longest(values, siblings):
        if type(one) in (dict, list) or type(other) not in (dict, NoneType):
            continue
        if one is not None or other is not None:
            yield Item(one, each.type, other)


def is_of_type(item: Item, name: str) -> bool:
    """True where an item is of a type or of one that specializes it.

    R4's own invariants say `Boolean` where they mean the element type `boolean`, so a system type
    also holds for the primitives that convert to it.
    """
    own = item.type.removeprefix("System.")
    if own == name:
        return True
    if item.type.startswith("System."):
        return False
    if name in _SYSTEM:
        return own in _SYSTEM[name]
    while own:
        if own == name:
            return True
        own = definition(own).base
    return False


_YES: Final = [TRUE]
_NO: Final = [FALSE]


def boolean(value: bool) -> Collection:
    """A collection of one boolean. Shared: no function changes a collection that it was given."""
    return _YES if value else _NO


def string(value: str) -> Collection:
    """A collection of one string."""
    return [Item(value, "System.String")]


def integer(collection: Collection) -> int | None:
    """The single integer of a collection."""
    value = collection[0].value if len(collection) == 1 else None
    return value if type(value) is int else None


def number(collection: Collection) -> int | Decimal | None:
    """The single number of a collection."""
    value = collection[0].value if len(collection) == 1 else None
    return value if type(value) is int or isinstance(value, Decimal) else None


def number_type(value: int | Decimal) -> str:
    """The system type of a number."""
    return "System.Integer" if type(value) is int else "System.Decimal"


def text(collection: Collection) -> str | None:
    """The single string of a collection."""
    value = collection[0].value if len(collection) == 1 else None
    return value if type(value) is str else None
