"""What a token search compares: the (system, value) pairs of a value, by its FHIR type.

Codes and identifiers are compared exactly. A `code` has the implicit system of its required
binding. An empty system stands for none. What a token is called (`texts_of`) is searched by `:text`.

Pinned: hl7.org/fhir/R4/search.html#token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from app.fhir_mappings.structure import Slot, value_set

Pair: TypeAlias = tuple[str, str | None]
"""System ("" for none) and value (None where only a system is given)."""

Pairs: TypeAlias = Callable[[Any], Iterator[Pair]]

_SPECIAL_VALUES: Final = "http://terminology.hl7.org/CodeSystem/special-values"
# Value sets that take all of one code system which is kept outside of FHIR.
_OUTSIDE: Final = MappingProxyType(
    {
        "http://hl7.org/fhir/ValueSet/currencies": "urn:iso:std:iso:4217",
        "http://hl7.org/fhir/ValueSet/mimetypes": "urn:ietf:bcp:13",
        "http://hl7.org/fhir/ValueSet/ucum-units": "http://unitsofmeasure.org",
    }
)


def pairs_of(type_name: str, slot: Slot | None) -> Pairs | None:
    """How to read pairs from values of a FHIR type; None where a token search cannot.

    slot: the property that the values stand in, for the implicit system of a `code`.
    """
    if type_name == "code" and slot is not None:
        return _code(slot)
    return _PAIRS.get(type_name)


def coding_pairs(coding: Mapping[str, Any]) -> Iterator[Pair]:
    """Of a Coding; one with neither system nor code has none."""
    system, code = coding.get("system", ""), coding.get("code")
    if system or code:
        yield system, code


def identifier_pairs(identifier: Mapping[str, Any]) -> Iterator[Pair]:
    """Of an Identifier or a ContactPoint, whose system is a word such as `phone`."""
    system, value = identifier.get("system", ""), identifier.get("value")
    if system or value:
        yield system, value


def _concept(concept: Mapping[str, Any]) -> Iterator[Pair]:
    for coding in concept.get("coding", ()):
        yield from coding_pairs(coding)


def _boolean(value: bool) -> Iterator[Pair]:
    yield _SPECIAL_VALUES, "true" if value else "false"


def _plain(value: str) -> Iterator[Pair]:
    yield "", value


def _code(slot: Slot) -> Pairs:
    outside = _OUTSIDE.get(slot.binding or "")
    systems = (outside,) if outside else slot.systems
    if not systems:
        return _plain
    if len(systems) == 1:
        only = systems[0]
        return lambda value: iter(((only, value),))
    members = (value_set(slot.binding) if slot.binding else None) or {}

    def pairs(value: str) -> Iterator[Pair]:
        holding = [each for each in systems if value in members.get(each, ())]
        yield from ((each, value) for each in holding or systems)

    return pairs


_PAIRS: Final[Mapping[str, Pairs]] = MappingProxyType(
    {
        "Coding": coding_pairs,
        "CodeableConcept": _concept,
        "Identifier": identifier_pairs,
        "ContactPoint": identifier_pairs,
        "boolean": _boolean,
        "code": _plain,
        "id": _plain,
        "string": _plain,
        "uri": _plain,
    }
)


def texts_of(type_name: str) -> Callable[[Any], Iterator[str]] | None:
    """How to read what a token is called (`:text`); None for a FHIR type that says nothing."""
    return _TEXTS.get(type_name)


def of_type_triples(identifier: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Of an Identifier: system and code of its type, and its value (`:of-type`)."""
    value = identifier.get("value")
    if not value:
        return
    for coding in identifier.get("type", {}).get("coding", ()):
        code = coding.get("code")
        if code:
            yield coding.get("system", ""), code, value


def _display(coding: Mapping[str, Any]) -> Iterator[str]:
    display = coding.get("display")
    if display:
        yield display


def _concept_texts(concept: Mapping[str, Any]) -> Iterator[str]:
    text = concept.get("text")
    if text:
        yield text
    for coding in concept.get("coding", ()):
        yield from _display(coding)


def _identifier_texts(identifier: Mapping[str, Any]) -> Iterator[str]:
    # R4 names only Identifier.type.text.
    text = identifier.get("type", {}).get("text")
    if text:
        yield text


_TEXTS: Final[Mapping[str, Callable[[Any], Iterator[str]]]] = MappingProxyType(
    {"Coding": _display, "CodeableConcept": _concept_texts, "Identifier": _identifier_texts}
)
