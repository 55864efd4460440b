"""Value sets as what a search asks for: codes, and systems all of whose codes belong, from what is stored.

What cannot be computed exactly raises `CannotExpand`: a search by an incomplete value set would silently find
too little, or, negated, too much. Neighbours: `code_system`, `value_set` (who subsumes whom, and filters).
Pinned: hl7.org/fhir/R4/valueset.html#expansion, hl7.org/fhir/R4/search.html#token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from app.fhir_mappings.terminology.code_system import CodeSystem
from app.fhir_mappings.terminology.value_set import Include, UnknownContentError

Json: TypeAlias = Mapping[str, Any]

MAX_CODES: Final = 10_000
_DEPTH: Final = 10
_HIERARCHICAL: Final = frozenset({"is-a", "descendent-of", "is-not-a", "generalizes"})


class CannotExpand(Exception):  # noqa: N818 - says what cannot be done, in a sentence for the sender
    """The message says what is missing."""


@dataclass(slots=True)
class Expansion:
    """Codes by system, and systems all of whose codes belong."""

    codes: set[tuple[str, str]] = field(default_factory=set)
    systems: set[str] = field(default_factory=set)


def hierarchy(code_system: Json, url: str) -> CodeSystem:
    """A stored CodeSystem; CannotExpand where its content is not complete."""
    if code_system.get("content") != "complete":
        raise CannotExpand("The code system stored here is not complete.")
    return CodeSystem.of({"url": url, **code_system})


def above(system: CodeSystem, code: str) -> set[str]:
    """The code and all that it is a kind of; CannotExpand where it is unknown."""
    own = _own(system, code)
    return {own, *(system.ancestors(own) if system.is_a else ())}


def below(system: CodeSystem, code: str) -> set[str]:
    """The code and all kinds of it; CannotExpand where it is unknown."""
    own = _own(system, code)
    return {own, *(system.descendants(own) if system.is_a else ())}


def _own(system: CodeSystem, code: str) -> str:
    concept = system.concept(code)
    if concept is None:
        raise CannotExpand("The code system stored here has no such code.")
    return concept.code


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
                found.codes |= {(system, code) for code in _stored(system, code_system_of).concepts}
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
            parts.append(Expansion(_filtered(component, _stored(system, code_system_of))))
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


def _stored(url: str, code_system_of: Callable[[str], Json | None]) -> CodeSystem:
    code_system = code_system_of(url)
    if code_system is None:
        raise CannotExpand("The code system that is needed is not stored here.")
    return hierarchy(code_system, url)


def _filtered(component: Json, system: CodeSystem) -> set[tuple[str, str]]:
    for each in component["filter"]:
        if each["op"] in _HIERARCHICAL:
            _own(system, each["value"])
    try:
        return {(each.system, each.code) for each in Include(component, system).members()}
    except UnknownContentError as error:
        raise CannotExpand("The value set has a filter that cannot be computed here.") from error


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
