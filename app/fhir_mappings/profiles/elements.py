"""A profile's elements as a tree of rules, from the flat list of a StructureDefinition.

A snapshot is read as it is. A profile that comes without one is read from its differential: what it
does not say, R4 itself and the base profile say, and both are checked anyway.

Neighbours: `definitions` (finds and keeps profiles), `check` (applies the tree), `slicing`.

Pinned: hl7.org/fhir/R4/elementdefinition.html, hl7.org/fhir/R4/profiling.html#slicing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from app.fhir_mappings.fhirpath.compiler import Expression, compile_fhirpath
from app.fhir_mappings.fhirpath.syntax import FhirPathError
from app.fhir_mappings.structure import (
    Invariant,
    invariants,
    invariants_elsewhere,
    invariants_not_enforced,
    presence_rules,
    type_names,
)

CORE: Final = "http://hl7.org/fhir/StructureDefinition/"
_SYSTEM: Final = "http://hl7.org/fhirpath/System."


class ProfileError(ValueError):
    """A StructureDefinition that cannot be used as a profile; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class TypeRule:
    """An allowed type. profiles: canonical URLs, one of which a value must satisfy. targets:
    canonical URLs of what a reference may point at. Both () for any.
    """

    code: str
    profiles: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Binding:
    """strength: required, extensible, preferred or example; value_set: URL without version."""

    strength: str
    value_set: str


@dataclass(frozen=True, slots=True)
class Discriminator:
    """How a value shows its slice. type: value, exists, pattern, type or profile."""

    type: str
    path: str


@dataclass(slots=True)
class ElementRule:
    """What a profile asks of one element or of one slice of it.

    name: FHIR name without `[x]`; "" at the root. max None: not limited. fixed, pattern: JSON.
    slices: of this element, in order, told apart by `discriminators`; closed: nothing beside them.
    """

    id: str
    name: str
    slice: str | None = None
    choice: bool = False
    min: int = 0
    max: int | None = None
    types: tuple[TypeRule, ...] = ()
    fixed: Any = None
    pattern: Any = None
    binding: Binding | None = None
    invariants: list[tuple[Invariant, Expression]] = field(default_factory=list)
    discriminators: tuple[Discriminator, ...] = ()
    closed: bool = False
    content: str | None = None
    slices: list[ElementRule] = field(default_factory=list)
    children: dict[str, ElementRule] = field(default_factory=dict)


@dataclass(slots=True)
class Profile:
    """A compiled profile. base: to be checked too, None where R4's own type is the base.

    not_enforced: invariants of the profile that are not checked: key to the reason.
    """

    url: str
    version: str | None
    name: str
    type: str
    root: ElementRule
    base: str | None = None
    not_enforced: dict[str, str] = field(default_factory=dict)

    def find(self, element_id: str) -> ElementRule | None:
        """The rule of an element id such as `Questionnaire.item`, for content references."""
        rule: ElementRule | None = self.root
        for segment in element_id.split(".")[1:]:
            rule = rule.children.get(segment.removesuffix("[x]")) if rule else None
        return rule

    def rules(self) -> Iterable[ElementRule]:
        """Every rule of the tree."""
        pending = [self.root]
        while pending:
            rule = pending.pop()
            yield rule
            pending += [*rule.slices, *rule.children.values()]


def compile_profile(source: Mapping[str, Any]) -> Profile:
    """The profile of a StructureDefinition that `app.fhir_mappings.validate` accepts.

    ProfileError where it defines a type instead of constraining one, is of another FHIR version,
    constrains something R4 does not have, or has no elements.
    """
    type_name = source.get("type", "")
    version = source.get("fhirVersion", "4.0.1")
    if source.get("derivation") != "constraint" or source.get("kind") == "logical":
        raise ProfileError("It defines a type of its own; a profile constrains one (derivation).")
    if not version.startswith("4.0"):
        raise ProfileError("It is a profile of another FHIR version than R4 (4.0).")
    if type_name not in type_names():
        raise ProfileError("R4 has no such type as the one that it constrains.")
    view = "snapshot" if "snapshot" in source else "differential"
    elements = source.get(view, {}).get("element", ())
    if not elements:
        raise ProfileError("It has neither a snapshot nor a differential: publish it with one.")
    base = source.get("baseDefinition", "").partition("|")[0]
    profile = Profile(
        url=source["url"],
        version=source.get("version"),
        name=source.get("title") or source["name"],
        type=type_name,
        root=ElementRule(type_name, ""),
        base=None if view == "snapshot" or is_core_type(base) else base,
    )
    for element in elements:
        _fill(_place(profile.root, element), element, profile)
    for rule in profile.rules():
        _complete(rule)
    return profile


def is_core_type(url: str) -> bool:
    """Whether a canonical URL is that of a type of R4 itself."""
    return url.startswith(CORE) and url.removeprefix(CORE) in type_names()


def _place(root: ElementRule, element: Mapping[str, Any]) -> ElementRule:
    """The rule of an element, made with whatever is missing on the way to it."""
    identity = element.get("id") or element["path"]
    rule = root
    for segment in identity.split(".")[1:]:
        name, _, slices = segment.partition(":")
        plain = name.removesuffix("[x]")
        below = rule.children.get(plain)
        if below is None:
            below = rule.children[plain] = ElementRule(f"{rule.id}.{name}", plain)
        below.choice = below.choice or name.endswith("[x]")
        rule = below
        parts = slices.split("/") if slices else []
        for end in range(1, len(parts) + 1):
            rule = _slice(rule, "/".join(parts[:end]))
    return rule


def _slice(rule: ElementRule, name: str) -> ElementRule:
    found = next((each for each in rule.slices if each.slice == name), None)
    if found is None:
        found = ElementRule(f"{rule.id.partition(':')[0]}:{name}", rule.name, name, rule.choice)
        rule.slices.append(found)
    return found


def _fill(rule: ElementRule, element: Mapping[str, Any], profile: Profile) -> None:
    rule.id = element.get("id") or element["path"]
    rule.min = element.get("min", 0)
    most = element.get("max", "*")
    rule.max = None if most == "*" else int(most) if most.isdigit() else None
    rule.types = tuple(
        TypeRule(
            each.get("code", ""),
            tuple(_bare(url) for url in each.get("profile", ())),
            tuple(_bare(url) for url in each.get("targetProfile", ())),
        )
        for each in element.get("type", ())
        if not each.get("code", "").startswith(_SYSTEM)
    )
    for key, value in element.items():
        if key.startswith("fixed") and key[5:6].isupper():
            rule.fixed = value
        elif key.startswith("pattern") and key[7:8].isupper():
            rule.pattern = value
    binding = element.get("binding", {})
    if "valueSet" in binding:
        rule.binding = Binding(binding["strength"], _bare(binding["valueSet"]))
    slicing = element.get("slicing")
    if slicing is not None:
        rule.closed = slicing.get("rules") == "closed"
        rule.discriminators = tuple(
            Discriminator(each["type"], each["path"]) for each in slicing.get("discriminator", ())
        )
    if "contentReference" in element:
        rule.content = element["contentReference"].rpartition("#")[2]
    for constraint in element.get("constraint", ()):
        _constrain(rule, constraint, profile)


def _constrain(rule: ElementRule, source: Mapping[str, Any], profile: Profile) -> None:
    key = source["key"]
    if key in _core_keys():
        return
    if "expression" not in source:
        profile.not_enforced[key] = "it comes without a FHIRPath expression"
        return
    invariant = Invariant(key, source["severity"], source["human"], source["expression"])
    try:
        rule.invariants.append((invariant, compile_fhirpath(source["expression"])))
    except FhirPathError as error:
        profile.not_enforced[key] = str(error)


def _complete(rule: ElementRule) -> None:
    """The slicing that R4 understands without a word: extensions by url, choices by type."""
    if rule.slices and not rule.discriminators:
        if rule.name in ("extension", "modifierExtension"):
            rule.discriminators = (Discriminator("value", "url"),)
        elif rule.choice:
            rule.discriminators = (Discriminator("type", "$this"),)
    for each in rule.slices:
        if rule.choice and not each.types and each.slice and each.slice.startswith(rule.name):
            named = each.slice[len(rule.name) :]
            lower = named[:1].lower() + named[1:]
            code = named if named in type_names() else lower
            each.types = (TypeRule(code),) if code in type_names() else ()


def _bare(url: str) -> str:
    return url.partition("|")[0]


@cache
def _core_keys() -> frozenset[str]:
    """Invariants that R4 itself sets: they have been checked."""
    keys = {each.key for name in _paths() for each in invariants(name)}
    keys |= {each.key for name in type_names() for each in presence_rules(name)}
    return frozenset(keys | set(invariants_elsewhere()) | set(invariants_not_enforced()))


def _paths() -> Iterable[str]:
    from app.fhir_mappings.structure import definition

    for name in type_names():
        yield name
        yield from {slot.path for slot in definition(name).slots.values() if slot.path}
