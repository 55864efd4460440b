"""What can be searched, for the CapabilityStatement: derived from the data that searches are read with.

Pinned: hl7.org/fhir/R4/capabilitystatement.html (rest.resource.searchParam, searchInclude, searchRevInclude).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

from app.fhir_mappings.capability import SearchParameterCapability
from app.fhir_mappings.registry import RESOURCE_TYPES
from app.fhir_mappings.search_parameters import parameters, version

_BESIDE: Final = (
    SearchParameterCapability(
        "_content", "string", "http://hl7.org/fhir/SearchParameter/Resource-content"
    ),
    SearchParameterCapability("_filter", "special", "http://hl7.org/fhir/SearchParameter/filter"),
    SearchParameterCapability("_has", "special", documentation="Reverse chains, nested ones too."),
    SearchParameterCapability(
        "_list", "special", documentation="Stored List resources; no functional lists."
    ),
    SearchParameterCapability(
        "_text", "string", "http://hl7.org/fhir/SearchParameter/DomainResource-text"
    ),
)
"""Parameters that R4 gives no expression for, and that are read by code of their own."""


@dataclass(frozen=True, slots=True)
class SearchCapability:
    """What one type can be searched by, what its searches may include, and what may include it."""

    parameters: tuple[SearchParameterCapability, ...]
    includes: tuple[str, ...]
    revincludes: tuple[str, ...]


def search_capability(resource_type: str) -> SearchCapability:
    """Of one type; KeyError where R4 has no such type."""
    return _capability(resource_type, version())


@cache
def _capability(resource_type: str, at: int) -> SearchCapability:
    found = [
        SearchParameterCapability(each.code, each.type, each.url)
        for each in parameters(resource_type).values()
        if each.expression
    ]
    found += _BESIDE
    includes = [f"{resource_type}:*"]
    includes += [
        f"{resource_type}:{each.code}"
        for each in parameters(resource_type).values()
        if each.type == "reference" and each.expression
    ]
    return SearchCapability(
        tuple(sorted(found, key=lambda each: each.name)),
        tuple(includes),
        _pointing(at).get(resource_type, ()),
    )


@cache
def _pointing(_version: int) -> dict[str, tuple[str, ...]]:
    """Type to the reference parameters that name it as a target; not those that may point at any."""
    found: dict[str, list[str]] = {}
    for source in RESOURCE_TYPES:
        for each in parameters(source).values():
            if each.type == "reference" and each.expression and len(each.targets) < 100:
                for target in each.targets:
                    found.setdefault(target, []).append(f"{source}:{each.code}")
    return {target: tuple(each) for target, each in found.items()}
