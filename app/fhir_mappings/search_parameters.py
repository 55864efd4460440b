"""The search parameters of every resource type, as data.

R4's own are `data/search-parameters.json`; ours, and corrections of R4's (same URL), are
`data/search-parameters-own.json`; what of R4's is left out, and why, is
`data/search-parameters-left-out.json`. Adding a parameter is a line of data: its rows come from
`app.fhir_mappings.index_rows`, its queries from `app.fhir_mappings.search_query`.

Pinned: hl7.org/fhir/R4/searchparameter-registry.html, hl7.org/fhir/R4/search.html#all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

import orjson

from app.fhir_mappings.path import Path, compile_path
from app.fhir_mappings.registry import is_resource_type
from app.fhir_mappings.structure import definition


@dataclass(frozen=True, slots=True)
class SearchParameter:
    """One search parameter.

    url: canonical. code: name in a query. type: token, string, date, reference, uri, quantity,
    number, composite or special. expression: FHIRPath over all its base types, "" where R4 gives
    none (it cannot be searched). targets: types that a reference may point at, () means any.
    components: of a composite, (canonical of the parameter, expression).
    """

    url: str
    code: str
    type: str
    expression: str
    targets: tuple[str, ...] = ()
    components: tuple[tuple[str, str], ...] = ()

    def path(self, resource_type: str) -> Path:
        """The expression compiled for a type (`app.fhir_mappings.path`); no tracks without one."""
        return compile_path(self.expression, resource_type) if self.expression else Path(())


def parameter(resource_type: str, code: str) -> SearchParameter | None:
    """The parameter of a type by its name, those of all resources (`_tag` …) included."""
    return parameters(resource_type).get(code)


@cache
def parameters(resource_type: str) -> Mapping[str, SearchParameter]:
    """All parameters of a type by name, alphabetical; KeyError where R4 has no such type."""
    if not is_resource_type(resource_type):
        raise KeyError(resource_type)
    found: dict[str, SearchParameter] = {}
    for base in reversed(list(_lineage(resource_type))):
        found.update((each.code, each) for each in _by_base().get(base, ()))
    return MappingProxyType(dict(sorted(found.items())))


def not_built() -> Mapping[str, str]:
    """R4's parameters that have no expression here: canonical to reason."""
    return MappingProxyType(_load("search-parameters-left-out.json")["notBuilt"])


def _lineage(name: str) -> Iterator[str]:
    """The type and what it specializes: Patient, DomainResource, Resource."""
    while name:
        yield name
        name = definition(name).base


@cache
def _by_base() -> dict[str, list[SearchParameter]]:
    left_out = _load("search-parameters-left-out.json")["notOfR4"]
    sources = {each["url"]: each for each in _load("search-parameters.json")}
    sources.update((each["url"], each) for each in _load("search-parameters-own.json"))
    found: dict[str, list[SearchParameter]] = {}
    for url, source in sources.items():
        if url in left_out:
            continue
        built = SearchParameter(
            url=url,
            code=source["code"],
            type=source["type"],
            expression=source.get("expression", ""),
            targets=tuple(source.get("target", ())),
            components=tuple(
                (each["definition"], each["expression"]) for each in source.get("component", ())
            ),
        )
        for base in source["base"]:
            found.setdefault(base, []).append(built)
    return found


def _load(name: str) -> Any:
    return orjson.loads((resources.files("app.fhir_mappings") / "data" / name).read_bytes())
