"""Which slice of an element a value belongs to.

A discriminator names a path inside the value; a slice says what must stand there: a fixed value, a
pattern, a code of a required value set, a type, or that it is there at all. What a slice fixes
further up (a pattern of the whole CodeableConcept for the path `coding.code`) or further down (the
system and the code of a Coding for the path `$this`) counts as well.

Pinned: hl7.org/fhir/R4/profiling.html#discriminator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeAlias

from app.fhir_mappings.fhirpath.items import Item, is_of_type, members
from app.fhir_mappings.fhirpath.syntax import (
    Call,
    FhirPathError,
    Literal,
    Member,
    Node,
    TypeOperation,
    Variable,
    parse_fhirpath,
)
from app.fhir_mappings.profiles.agreement import follows, is_same
from app.fhir_mappings.profiles.elements import Discriminator, ElementRule
from app.fhir_mappings.reference_value import target_type

MemberOf: TypeAlias = Callable[[Item, str], "bool | None"]
Conforms: TypeAlias = Callable[[Item, str], "bool | None"]
"""(value, canonical URL): whether it satisfies the profile; None where that is not known."""

TypesOf: TypeAlias = Callable[[str], "str | None"]
"""Canonical URL of a profile to the type that it constrains."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What telling slices apart needs beside the value: see the aliases above; root: of `#id`."""

    member_of: MemberOf
    conforms: Conforms
    type_of: TypesOf
    root: dict[str, Any]


@dataclass(slots=True)
class _Spot:
    """Values at a path, and what a slice says of them: rules, and parts of patterns above."""

    items: list[Item]
    rules: list[ElementRule]
    parts: list[Any] = field(default_factory=list)


def slice_of(rule: ElementRule, item: Item, sight: Sight) -> ElementRule | None:
    """The first slice whose discriminators all hold; None where the value is of none."""
    for each in rule.slices:
        if rule.discriminators and all(
            _holds(discriminator, each, item, sight) for discriminator in rule.discriminators
        ):
            return each
    return None


def _holds(discriminator: Discriminator, rule: ElementRule, item: Item, sight: Sight) -> bool:
    spot = _Spot([item], [rule], _parts(rule))
    resolved = False
    for step in _steps(discriminator.path):
        if step == ("resolve", ""):
            resolved = True
            continue
        spot = _step(spot, *step)
    match discriminator.type:
        case "value" | "pattern":
            return _is_like(spot, sight) or _is_extension(spot, discriminator, rule, item)
        case "exists":
            asked = [each for each in spot.rules if each.max == 0 or each.min]
            return bool(asked) and all(bool(spot.items) is bool(each.min) for each in asked)
        case "type":
            return _is_typed(spot, sight, resolved=resolved)
        case "profile":
            urls = [url for each in spot.rules for one in each.types for url in one.profiles]
            return any(sight.conforms(each, url) is True for each in spot.items for url in urls)
    return False


def _is_like(spot: _Spot, sight: Sight) -> bool:
    """Some value at the path agrees with everything that the slice says of it; it says something."""
    telling = [each for each in spot.rules if _tells(each)]
    if not telling and not spot.parts:
        return False
    return any(
        all(agrees(each, item, sight) for each in telling)
        and all(follows(item.value, part) for part in spot.parts)
        for item in spot.items
    )


def agrees(rule: ElementRule, item: Item, sight: Sight) -> bool:
    """Whether what a rule and those below it fix is what a value holds."""
    if rule.fixed is not None and not is_same(item.value, rule.fixed):
        return False
    if rule.pattern is not None and not follows(item.value, rule.pattern):
        return False
    if (
        rule.binding is not None
        and rule.binding.strength == "required"
        and sight.member_of(item, rule.binding.value_set) is False
    ):
        return False
    return all(
        any(agrees(each, found, sight) for found in members(item, each.name))
        for each in rule.children.values()
        if _tells(each)
    )


def _tells(rule: ElementRule) -> bool:
    bound = rule.binding is not None and rule.binding.strength == "required"
    if rule.fixed is not None or rule.pattern is not None or bound:
        return True
    return any(_tells(each) for each in rule.children.values())


def _is_extension(spot: _Spot, discriminator: Discriminator, rule: ElementRule, item: Item) -> bool:
    """An extension's slice names the extension's definition, whose URL is the extension's own."""
    if discriminator.path != "url" or item.type != "Extension" or type(item.value) is not dict:
        return False
    urls = [url for one in rule.types for url in one.profiles]
    return not _tells(rule) and item.value.get("url") in urls


def _is_typed(spot: _Spot, sight: Sight, *, resolved: bool) -> bool:
    types = [one for each in spot.rules for one in each.types]
    for item in spot.items:
        if resolved:
            value = item.value if type(item.value) is dict else {}
            name = target_type(value, sight.root)
            allowed = {sight.type_of(url) for one in types for url in one.targets}
            if name is not None and name in allowed | {one.code for one in types}:
                return True
        elif any(is_of_type(item, one.code) for one in types if one.code):
            return True
    return False


def _step(spot: _Spot, kind: str, name: str) -> _Spot:
    if kind == "type":
        return _Spot(
            [each for each in spot.items if is_of_type(each, name)], spot.rules, spot.parts
        )
    if kind == "extension":
        items = [
            found
            for item in spot.items
            for found in members(item, "extension")
            if found.value.get("url") == name
        ]
        rules = [
            each
            for rule in spot.rules
            if "extension" in rule.children
            for each in rule.children["extension"].slices
            if _names_extension(each, name)
        ]
        return _Spot(items, rules)
    items = [found for item in spot.items for found in members(item, name)]
    rules = [each for rule in spot.rules for each in _below(rule, name)]
    parts = [below for part in spot.parts for below in _of_part(part, name)]
    return _Spot(items, rules, parts + [one for each in rules for one in _parts(each)])


def _below(rule: ElementRule, name: str) -> Iterator[ElementRule]:
    """The rule of a child with those of its slices, of which a slice of this one may speak."""
    child = rule.children.get(name)
    if child is not None:
        yield child
        if len(child.slices) == 1:
            yield child.slices[0]


def _names_extension(rule: ElementRule, url: str) -> bool:
    own = rule.children.get("url")
    if own is not None and own.fixed == url:
        return True
    return any(url in one.profiles for one in rule.types)


def _parts(rule: ElementRule) -> list[Any]:
    return [each for each in (rule.fixed, rule.pattern) if type(each) is dict]


def _of_part(part: Any, name: str) -> Iterator[Any]:
    """What a pattern says of an element; of a choice element too (`valueCode` for `value`)."""
    if type(part) is not dict:
        return
    for key, value in part.items():
        if key == name or (key.startswith(name) and key[len(name) : len(name) + 1].isupper()):
            yield from value if type(value) is list else [value]


@lru_cache(maxsize=1024)
def _steps(path: str) -> tuple[tuple[str, str], ...]:
    """The steps of a discriminator's path: (member|extension|type|resolve, name)."""
    try:
        return tuple(_of_node(parse_fhirpath(path)))
    except FhirPathError:
        return (("member", "\0"),)


def _of_node(node: Node) -> Iterator[tuple[str, str]]:
    match node:
        case Variable("$this"):
            return
        case Member(of, name):
            if of is not None:
                yield from _of_node(of)
            yield "member", name
        case Call(of, "extension", (Literal("string", url),)):
            if of is not None:
                yield from _of_node(of)
            yield "extension", url
        case Call(of, "resolve", ()):
            if of is not None:
                yield from _of_node(of)
            yield "resolve", ""
        case Call(of, "ofType" | "as", (Member(None, name),)):
            if of is not None:
                yield from _of_node(of)
            yield "type", name
        case TypeOperation("as", of, name):
            yield from _of_node(of)
            yield "type", name
        case _:
            raise FhirPathError("not a discriminator's path")
