"""Value sets expanded and hierarchies of code systems walked, from stored resources alone.

What cannot be computed exactly from what is stored raises `CannotExpand`: a search by an incomplete value
set would silently find too little, or, negated, too much.

Pinned: hl7.org/fhir/R4/valueset.html#expansion, hl7.org/fhir/R4/valueset-filter-operator.html,
hl7.org/fhir/R4/codesystem.html#hierarchy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

Json: TypeAlias = Mapping[str, Any]

MAX_CODES: Final = 10_000
_DEPTH: Final = 10


class CannotExpand(Exception):  # noqa: N818 - says what cannot be done, in a sentence for the sender
    """The message says what is missing."""


@dataclass(slots=True)
class Expansion:
    """Codes by system, and systems all of whose codes belong."""

    codes: set[tuple[str, str]] = field(default_factory=set)
    systems: set[str] = field(default_factory=set)


@dataclass(slots=True)
class CodeSystemTree:
    """The codes of a complete CodeSystem with their parents and properties."""

    parents: dict[str, set[str]] = field(default_factory=dict)
    properties: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    @classmethod
    def of(cls, code_system: Json) -> CodeSystemTree:
        """From a CodeSystem; CannotExpand where its content is not complete."""
        if code_system.get("content") != "complete":
            raise CannotExpand("The code system stored here is not complete.")
        tree = cls()
        tree._take(code_system.get("concept", ()), None)
        for code, properties in tree.properties.items():
            for name, value in properties:
                if name == "parent" and value in tree.parents:
                    tree.parents[code].add(value)
                elif name == "child" and value in tree.parents:
                    tree.parents[value].add(code)
        return tree

    def _take(self, concepts: Any, parent: str | None) -> None:
        for each in concepts:
            code = each["code"]
            known = self.parents.setdefault(code, set())
            if parent is not None:
                known.add(parent)
            self.properties.setdefault(code, []).extend(_properties(each))
            self._take(each.get("concept", ()), code)

    def above(self, code: str) -> set[str]:
        """The code and all that it is a kind of; CannotExpand where it is unknown."""
        return self._closure(code, lambda each: self.parents[each])

    def below(self, code: str) -> set[str]:
        """The code and all kinds of it; CannotExpand where it is unknown."""
        children: dict[str, set[str]] = {}
        for child, parents in self.parents.items():
            for parent in parents:
                children.setdefault(parent, set()).add(child)
        return self._closure(code, lambda each: children.get(each, set()))

    def _closure(self, code: str, onward: Callable[[str], set[str]]) -> set[str]:
        if code not in self.parents:
            raise CannotExpand("The code system stored here has no such code.")
        found, todo = {code}, [code]
        while todo:
            new = onward(todo.pop()) - found
            found |= new
            todo += new
        return found


def _properties(concept: Json) -> Iterator[tuple[str, str]]:
    for each in concept.get("property", ()):
        for name, value in each.items():
            if name.startswith("value"):
                text = value.get("code", "") if isinstance(value, Mapping) else value
                yield each["code"], str(text).lower() if type(value) is bool else str(text)


def expand(
    value_set: Json,
    value_set_of: Callable[[str], Json | None],
    code_system_of: Callable[[str], Json | None],
    depth: int = 0,
) -> Expansion:
    """The codes of a ValueSet.

    value_set_of, code_system_of: stored resources by canonical, None where there is none. CannotExpand
    where something needed is not stored, or there are more than `MAX_CODES` codes.
    """
    if depth > _DEPTH:
        raise CannotExpand("The value set includes itself, or too deep a chain of others.")

    def one(component: Json) -> Expansion:
        return _component(component, value_set_of, code_system_of, depth)

    found = Expansion()
    compose = value_set.get("compose")
    if compose is None:
        found.codes.update(_contains(value_set.get("expansion", {}).get("contains", ())))
        if not found.codes:
            raise CannotExpand("The value set has neither a compose nor an expansion.")
        return found
    for each in compose.get("include", ()):
        taken = one(each)
        found.codes |= taken.codes
        found.systems |= taken.systems
    for each in compose.get("exclude", ()):
        taken = one(each)
        touched = {system for system, _ in taken.codes} | taken.systems
        for system in touched & found.systems:
            if system not in taken.systems:
                found.codes |= {(system, code) for code in _tree(system, code_system_of).parents}
            found.systems.discard(system)
        found.codes = {pair for pair in found.codes - taken.codes if pair[0] not in taken.systems}
    if len(found.codes) > MAX_CODES:
        raise CannotExpand(f"The value set has more than {MAX_CODES} codes.")
    return found


def _contains(entries: Any) -> Iterator[tuple[str, str]]:
    for each in entries:
        if "code" in each and not each.get("abstract", False):
            yield each.get("system", ""), each["code"]
        yield from _contains(each.get("contains", ()))


def _component(
    component: Json,
    value_set_of: Callable[[str], Json | None],
    code_system_of: Callable[[str], Json | None],
    depth: int,
) -> Expansion:
    """One include or exclude: what lies in its system and in each of its value sets."""
    parts: list[Expansion] = []
    system = component.get("system")
    if system is not None:
        if "concept" in component:
            parts.append(Expansion({(system, each["code"]) for each in component["concept"]}))
        elif "filter" in component:
            tree = _tree(system, code_system_of)
            codes = set(tree.parents)
            for each in component["filter"]:
                codes &= _filtered(tree, each)
            parts.append(Expansion({(system, code) for code in codes}))
        else:
            parts.append(Expansion(systems={system}))
    for url in component.get("valueSet", ()):
        inner = value_set_of(url)
        if inner is None:
            raise CannotExpand("The value set includes one that is not stored here.")
        parts.append(expand(inner, value_set_of, code_system_of, depth + 1))
    first, *others = parts or [Expansion()]
    for each in others:
        first = _both(first, each)
    return first


def _both(one: Expansion, other: Expansion) -> Expansion:
    codes = one.codes & other.codes
    codes |= {pair for pair in one.codes if pair[0] in other.systems}
    codes |= {pair for pair in other.codes if pair[0] in one.systems}
    return Expansion(codes, one.systems & other.systems)


def _tree(system: str, code_system_of: Callable[[str], Json | None]) -> CodeSystemTree:
    code_system = code_system_of(system)
    if code_system is None:
        raise CannotExpand("The code system that is needed is not stored here.")
    return CodeSystemTree.of(code_system)


def _filtered(tree: CodeSystemTree, criterion: Json) -> set[str]:
    name, operator, value = criterion["property"], criterion["op"], criterion["value"]
    every = set(tree.parents)
    if operator == "exists":
        has = {code for code, held in tree.properties.items() if any(n == name for n, _ in held)}
        return has if value == "true" else every - has
    if name not in ("concept", "code", "parent"):
        if operator != "=":
            raise CannotExpand("The value set has a filter that cannot be computed here.")
        return {code for code, held in tree.properties.items() if (name, value) in held}
    match operator:
        case "is-a":
            return tree.below(value)
        case "descendent-of":
            return tree.below(value) - {value}
        case "is-not-a":
            return every - tree.below(value)
        case "generalizes":
            return tree.above(value)
        case "in":
            return every & set(value.split(","))
        case "not-in":
            return every - set(value.split(","))
        case "=" if name == "parent":
            return {code for code, parents in tree.parents.items() if value in parents}
        case "=":
            return every & {value}
        case _:
            raise CannotExpand("The value set has a filter that cannot be computed here.")


def needed(value_set: Json) -> tuple[set[str], set[str]]:
    """Canonicals of the value sets, and of the code systems, that expanding may ask for."""
    sets: set[str] = set()
    systems: set[str] = set()
    compose = value_set.get("compose", {})
    for each in (*compose.get("include", ()), *compose.get("exclude", ())):
        sets.update(each.get("valueSet", ()))
        if "system" in each:
            systems.add(each["system"])
    return sets, systems
