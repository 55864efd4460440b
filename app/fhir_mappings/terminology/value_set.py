"""One include of a value set: the codes that it lists, or that its filters find in a code system.

Pinned: hl7.org/fhir/R4/valueset.html#compositions, hl7.org/fhir/R4/valueset-filter-operator.html.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from app.fhir_mappings.fhirpath.patterns import PatternError, full_match
from app.fhir_mappings.terminology.code_system import CodeSystem, Concept


class UnknownContentError(Exception):
    """A part of a value set is not here; the message says which."""


@dataclass(frozen=True, slots=True)
class Member:
    """A code of a value set. designations: as in the code system or the include."""

    system: str
    code: str
    display: str | None = None
    abstract: bool = False
    inactive: bool = False
    designations: list[dict[str, Any]] = field(default_factory=list, compare=False)


Filter = Callable[[CodeSystem, Concept, str], bool]


@dataclass(frozen=True, slots=True)
class Include:
    """`ValueSet.compose.include` or `exclude` with a system, and that system where it is here."""

    part: Mapping[str, Any]
    system: CodeSystem | None

    def members(self) -> list[Member]:
        """The codes; UnknownContentError where only a code system that is not here knows them."""
        url = self.part["system"]
        if "concept" in self.part:
            return [self._listed(url, each) for each in self.part["concept"]]
        if self.system is None:
            raise UnknownContentError(f"the code system {url} is not known here")
        if not self.system.complete:
            raise UnknownContentError(f"of the code system {url} only a part is known here")
        tests = [_test(each) for each in self.part.get("filter", ())]
        return [
            _member(url, concept)
            for concept in self.system.concepts.values()
            if all(test(self.system, concept) for test in tests)
        ]

    def _listed(self, url: str, each: Mapping[str, Any]) -> Member:
        concept = self.system.concept(each["code"]) if self.system else None
        if concept is None:
            return Member(
                url,
                each["code"],
                each.get("display"),
                designations=each.get("designation", []),
            )
        return Member(
            url,
            each["code"],
            each.get("display", concept.display),
            concept.is_abstract,
            concept.is_inactive,
            [*concept.designations, *each.get("designation", [])],
        )


def _member(url: str, concept: Concept) -> Member:
    return Member(
        url,
        concept.code,
        concept.display,
        concept.is_abstract,
        concept.is_inactive,
        concept.designations,
    )


def _test(source: Mapping[str, Any]) -> Callable[[CodeSystem, Concept], bool]:
    make = _FILTERS.get(source["op"])
    if make is None:
        raise UnknownContentError(f"the filter operator {source['op']} is not supported")
    return make(source["property"], source["value"])


Made = Callable[[CodeSystem, Concept], bool]


def _is_a(_property: str, value: str) -> Made:
    return lambda system, concept: system.subsumes(value, concept.code)


def _descendent_of(_property: str, value: str) -> Made:
    return lambda system, concept: concept.code != value and system.subsumes(value, concept.code)


def _is_not_a(_property: str, value: str) -> Made:
    return lambda system, concept: not system.subsumes(value, concept.code)


def _generalizes(_property: str, value: str) -> Made:
    return lambda system, concept: system.subsumes(concept.code, value)


def _equals(name: str, value: str) -> Made:
    return lambda _system, concept: value in _texts(concept, name)


def _in(name: str, value: str) -> Made:
    wanted = {each.strip() for each in value.split(",")}
    return lambda _system, concept: not wanted.isdisjoint(_texts(concept, name))


def _not_in(name: str, value: str) -> Made:
    wanted = {each.strip() for each in value.split(",")}
    return lambda _system, concept: wanted.isdisjoint(_texts(concept, name))


def _exists(name: str, value: str) -> Made:
    return lambda _system, concept: bool(_texts(concept, name)) is (value == "true")


def _regex(name: str, value: str) -> Made:
    def test(_system: CodeSystem, concept: Concept) -> bool:
        try:
            return any(full_match(value, text) for text in _texts(concept, name))
        except PatternError as error:
            raise UnknownContentError("the pattern of a filter cannot be used") from error

    return test


def _texts(concept: Concept, name: str) -> list[str]:
    """The values of a property as texts; `code`, `concept` and `display` are the concept's own."""
    if name in ("code", "concept"):
        return [concept.code]
    if name == "display":
        return [concept.display] if concept.display else []
    if name in ("parent", "child"):
        return concept.parents if name == "parent" else concept.children
    found = []
    for each in concept.properties:
        if each.get("code") == name:
            for key, value in each.items():
                if re.match("value[A-Z]", key):
                    plain = value.get("code") if type(value) is dict else value
                    found.append(str(plain).lower() if type(plain) is bool else str(plain))
    return found


_FILTERS: Final[Mapping[str, Callable[[str, str], Made]]] = {
    "is-a": _is_a,
    "descendent-of": _descendent_of,
    "is-not-a": _is_not_a,
    "generalizes": _generalizes,
    "=": _equals,
    "in": _in,
    "not-in": _not_in,
    "exists": _exists,
    "regex": _regex,
}
