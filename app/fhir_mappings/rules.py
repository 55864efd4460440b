"""R4's invariants on which elements are present, compiled to set operations on an object's keys.

The rules are data (`app.fhir_mappings.structure.presence_rules`), read from the official
definitions. Invariants that look at values are FHIRPath: `app.fhir_mappings.invariants`.

Pinned: hl7.org/fhir/R4/conformance-rules.html#constraints.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from app.errors import IssueCode
from app.fhir_mappings.faults import Path, Walk, WalkObject
from app.fhir_mappings.structure import PresenceRule, Slot, presence_rules

Broken: TypeAlias = Callable[[Mapping[str, Any]], bool]
"""True where an object breaks the rule."""

_Keys: TypeAlias = list[frozenset[str]]


def compiled_rules(
    name: str, slots: Mapping[str, Slot], *, beyond: str | None = None
) -> tuple[WalkObject, ...]:
    """Checks of the rules of a type or profile, for objects with these slots.

    beyond: leave out rules that this type has already. KeyError where a rule's kind is unknown.
    """
    known = {rule.key for rule in presence_rules(beyond)} if beyond else set()
    return tuple(_compiled(rule, slots) for rule in presence_rules(name) if rule.key not in known)


def _compiled(rule: PresenceRule, slots: Mapping[str, Slot]) -> WalkObject:
    is_broken = _KINDS[rule.kind](_keys(rule, slots))
    sentence = f"{rule.human.rstrip('.')} ({rule.key})."

    def check(node: dict[str, Any], path: Path, walk: Walk) -> None:
        if is_broken(node):
            walk.fault(IssueCode.INVARIANT, sentence, path)

    return check


def _keys(rule: PresenceRule, slots: Mapping[str, Slot]) -> _Keys:
    """For each element of the rule, the JSON properties by which it is present."""
    names = [
        {key for key, slot in slots.items() if slot.element == element} for element in rule.elements
    ]
    return [frozenset(each | {"_" + key for key in each}) for each in names]


def _any_of(keys: _Keys) -> Broken:
    return frozenset[str]().union(*keys).isdisjoint


def _none_of(keys: _Keys) -> Broken:
    absent = _any_of(keys)
    return lambda node: not absent(node)


def _exactly_one(keys: _Keys) -> Broken:
    return lambda node: sum(not each.isdisjoint(node) for each in keys) != 1


def _at_most_one(keys: _Keys) -> Broken:
    return lambda node: sum(not each.isdisjoint(node) for each in keys) > 1


def _all_or_none(keys: _Keys) -> Broken:
    return lambda node: len({each.isdisjoint(node) for each in keys}) > 1


def _requires(keys: _Keys) -> Broken:
    first, second = keys
    return lambda node: not first.isdisjoint(node) and second.isdisjoint(node)


_KINDS: Final[Mapping[str, Callable[[_Keys], Broken]]] = {
    "any_of": _any_of,
    "none_of": _none_of,
    "exactly_one": _exactly_one,
    "at_most_one": _at_most_one,
    "all_or_none": _all_or_none,
    "requires": _requires,
}
