"""The R4 structure, as data: types, elements, choice elements, bindings.

    definition("Patient").slots["contact"]   -> Slot(element="contact", type="Patient.contact", ...)
    definition("Observation").slots["valueQuantity"] -> Slot(element="value", type="Quantity", ...)

The data is `data/r4-structure.json`, made from the official StructureDefinitions and ValueSets by
`tools/build_structure.py`. It is parsed at the first call, and a type is built at its first use.
What a resource must satisfy is checked by `app.fhir_mappings.validate`, which compiles these.

Pinned: hl7.org/fhir/R4/json.html, hl7.org/fhir/R4/formats.html#choice,
hl7.org/fhir/R4/terminologies.html#required.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Slot:
    """One JSON property of a type (a choice element has one slot a type).

    element: FHIR name without the type suffix. type: FHIR type name, `Resource` for contained, or
    the dotted path of a backbone element (`Patient.contact`; a contentReference is resolved to the
    path that it names). many: max > 1. required: min > 0 (of the element, over all its slots).
    systems: code systems of a required binding on a `code`, so that a token search knows the
    implicit system; () if none.
    targets: allowed reference target types (names), () means any.
    choice: the element is `element[x]`; at most one of its slots may stand in an instance.
    binding: URL of the value set of a required binding, None without one.
    profiles: profiles that R4 itself sets on the type (`SimpleQuantity`).
    path: of the element, where R4 sets invariants on it beyond its type's; "" where it does not.
    """

    element: str
    type: str
    many: bool
    required: bool
    systems: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    choice: bool = False
    binding: str | None = None
    profiles: tuple[str, ...] = ()
    path: str = ""


@dataclass(frozen=True, slots=True)
class TypeDefinition:
    """A FHIR type (resource, data type or backbone element) as the slots of its JSON form.

    base: the type it specializes, "" for Element and Resource. abstract: it has no instances.
    regex: of a primitive, the official pattern of its text.
    """

    name: str
    kind: str  # resource | complex | backbone | primitive
    slots: Mapping[str, Slot]
    base: str = ""
    abstract: bool = False
    regex: str | None = None


@dataclass(frozen=True, slots=True)
class PresenceRule:
    """An invariant on which elements are present.

    key: its R4 name, such as `ext-1`. kind: any_of, at_most_one, exactly_one, all_or_none,
    none_of, or requires (the first asks for the second). elements: names without type suffix.
    human: R4's words.
    """

    key: str
    kind: str
    elements: tuple[str, ...]
    human: str


@dataclass(frozen=True, slots=True)
class Invariant:
    """A rule of a type or an element as FHIRPath. severity: error or warning. human: R4's words."""

    key: str
    severity: str
    human: str
    expression: str


@cache
def _data() -> dict[str, Any]:
    file = resources.files("app.fhir_mappings") / "data" / "r4-structure.json"
    content: dict[str, Any] = orjson.loads(file.read_bytes())
    return content


@cache
def _invariant_data() -> dict[str, Any]:
    file = resources.files("app.fhir_mappings") / "data" / "r4-invariants.json"
    content: dict[str, Any] = orjson.loads(file.read_bytes())
    return content


@cache
def definition(name: str) -> TypeDefinition:
    """The definition of a type by name; KeyError where R4 has no such type."""
    source = _data()["types"][name]
    slots: dict[str, Slot] = {}
    for element, facts in source.get("elements", {}).items():
        slots.update(_slots(name, element, facts))
    return TypeDefinition(
        name=name,
        kind=source["kind"],
        slots=MappingProxyType(slots),
        base=source["base"],
        abstract=source.get("abstract", False),
        regex=source.get("regex"),
    )


def _slots(owner: str, name: str, facts: dict[str, Any]) -> Iterator[tuple[str, Slot]]:
    path = f"{owner}.{name}"
    choice = name.endswith("[x]")
    element = name.removesuffix("[x]")
    binding = facts.get("binding")
    for type_name in facts["type"].split():
        key = element + type_name[0].upper() + type_name[1:] if choice else element
        yield (
            key,
            Slot(
                element=element,
                type=type_name,
                many=facts.get("max", "1") != "1",
                required=facts.get("min", 0) > 0,
                systems=tuple(value_set(binding) or ()) if type_name == "code" and binding else (),
                targets=tuple(facts.get("targets", ())) if type_name == "Reference" else (),
                choice=choice,
                binding=binding,
                profiles=tuple(facts.get("profiles", ())) if type_name == "Quantity" else (),
                # Those of a backbone element are of the type that its path names.
                path=path if invariants(path) and type_name != path else "",
            ),
        )


@cache
def value_set(url: str) -> Mapping[str, frozenset[str]] | None:
    """The codes of a value set with a required binding, by code system.

    None where the set cannot be expanded from the R4 package (`unexpanded` says why). KeyError
    where no element of R4 has a required binding to it.
    """
    if url in _data()["unexpanded"]:
        return None
    codes = _data()["valueSets"][url]
    return MappingProxyType({system: frozenset(each) for system, each in codes.items()})


def unexpanded() -> Mapping[str, str]:
    """Value sets of required bindings that are not checked, each with the reason."""
    return MappingProxyType(_data()["unexpanded"])


def presence_rules(name: str) -> tuple[PresenceRule, ...]:
    """The rules of a type, a backbone element or a profile that R4 sets; () if there are none."""
    return tuple(
        PresenceRule(each["key"], each["rule"], tuple(each["elements"]), each["human"])
        for each in _data()["rules"].get(name, ())
    )


def invariants(name: str) -> tuple[Invariant, ...]:
    """The FHIRPath rules of a type, a backbone element or an element's path; () if there are none.

    Rules of presence (`presence_rules`) are not among them, nor those of `invariants_elsewhere` and
    `invariants_not_enforced`.
    """
    return tuple(
        Invariant(each["key"], each["severity"], each["human"], each["expression"])
        for each in _invariant_data()["invariants"].get(name, ())
    )


def invariants_elsewhere() -> Mapping[str, str]:
    """Invariants that are checked by other means than their FHIRPath: key to what checks them."""
    return MappingProxyType(_invariant_data()["elsewhere"])


def invariants_not_enforced() -> Mapping[str, str]:
    """Invariants that are not checked: key to the reason."""
    return MappingProxyType(_invariant_data()["notEnforced"])


def narrative_names() -> tuple[frozenset[str], frozenset[str]]:
    """The XHTML elements, and the attributes, that a narrative may use (invariant txt-1)."""
    source = _data()["narrative"]
    return frozenset(source["elements"]), frozenset(source["attributes"])


def type_names() -> tuple[str, ...]:
    """Names of all types and backbone elements, in alphabetical order of the type."""
    return tuple(_data()["types"])
