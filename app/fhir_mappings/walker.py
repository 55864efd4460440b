"""The walker: R4 types compiled to closures that check one JSON value each.

A type is compiled at its first use into a table from JSON property to check. A walk is one pass
over the tree: look the property up, call its check, go down. Path text is made only for a fault.

Neighbours: `structure` (what is compiled), `element_checks` (the checks of one element), `rules`
(invariants of presence), `invariants` (those of values), `nested` (resources in resources),
`faults` (what is collected), `validate`.

Pinned: hl7.org/fhir/R4/json.html, hl7.org/fhir/R4/element.html.
"""

from __future__ import annotations

from functools import cache

from app.errors import IssueCode
from app.fhir_mappings.element_checks import Check, Node, element_checks
from app.fhir_mappings.faults import Path, Walk, WalkObject, property_path
from app.fhir_mappings.invariants import compiled_invariants
from app.fhir_mappings.rules import compiled_rules
from app.fhir_mappings.structure import definition


class Walker:
    """The compiled form of one type."""

    __slots__ = ("_checks", "_is_domain", "_is_element", "_name", "_required", "_rules")

    def __init__(self, name: str) -> None:
        self._name = name
        self._is_element = definition(name).kind != "resource"
        self._is_domain = definition(name).base == "DomainResource"
        self._checks: dict[str, Check] = {}
        self._required: tuple[tuple[str, frozenset[str]], ...] = ()
        self._rules: tuple[WalkObject, ...] = ()

    def walk(self, node: Node, path: Path, walk: Walk) -> None:
        """Record every fault of an object of this type. path: of the object."""
        checks = self._checks or self._compile()
        for key, value in node.items():
            check = checks.get(key)
            if check is None:
                walk.fault(
                    IssueCode.STRUCTURE,
                    "Remove the property: R4 has no such element here.",
                    property_path(path, key),
                )
            else:
                check(value, node, path, walk)
        for element, keys in self._required:
            if keys.isdisjoint(node):
                walk.fault(
                    IssueCode.REQUIRED, "Give the element: it is required.", (path, element, None)
                )
        for rule in self._rules:
            rule(node, path, walk)
        if self._is_element and len(node) == 1 and "id" in node:
            walk.fault(
                IssueCode.INVARIANT, "Give the element content, not an id alone (ele-1).", path
            )

    def _compile(self) -> dict[str, Check]:
        """Fill the tables; the checks last, because their presence says that all is there."""
        slots = definition(self._name).slots
        checks: dict[str, Check] = {} if self._is_element else {"resourceType": _already_checked}
        required: dict[str, set[str]] = {}
        for key, slot in slots.items():
            checks.update(element_checks(key, slot, slots, walk_of))
            if slot.required:
                required.setdefault(slot.element, set()).update((key, "_" + key))
        self._required = tuple((name, frozenset(keys)) for name, keys in required.items())
        rules = compiled_rules(self._name, slots)
        invariants = compiled_invariants(self._name)
        best_practice = compiled_invariants("DomainResource") if self._is_domain else None
        self._rules = (*rules, *(each for each in (invariants, best_practice) if each))
        self._checks = checks
        return checks


@cache
def walk_of(name: str) -> WalkObject:
    """The walk of a type by name; KeyError where R4 has no such type."""
    return Walker(name).walk


def _already_checked(_value: object, _node: Node, _path: Path, _walk: Walk) -> None:
    """The resourceType has chosen the walker."""
