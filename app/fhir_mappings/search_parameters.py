"""The search parameters of every resource type, as data.

R4's own are `data/search-parameters.json`; ours, and corrections of R4's (same URL), are
`data/search-parameters-own.json`; what of R4's is left out, and why, is
`data/search-parameters-left-out.json`. Adding a parameter is a line of data: its rows come from
`app.fhir_mappings.index_rows`, its queries from `app.fhir_mappings.search_query`. Users add theirs as
SearchParameter resources (`define`; docs/search.md, "Search parameters of your own").

Pinned: hl7.org/fhir/R4/searchparameter-registry.html, hl7.org/fhir/R4/search.html#all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any, Final

import orjson

from app.fhir_mappings.path import Path, compile_path
from app.fhir_mappings.registry import is_resource_type
from app.fhir_mappings.structure import definition


@dataclass(frozen=True, slots=True)
class Component:
    """One component of a composite.

    url, code, type, targets: of the parameter that defines how it is compared. expression: relative to
    the composite's element, or to the resource after `%resource.`.
    """

    url: str
    code: str
    type: str
    expression: str
    targets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SearchParameter:
    """One search parameter.

    url: canonical. code: name in a query. type: token, string, date, reference, uri, quantity,
    number, composite or special. expression: FHIRPath over all its base types, "" where R4 gives
    none (it cannot be searched). targets: types that a reference may point at, () means any.
    components: of a composite.
    """

    url: str
    code: str
    type: str
    expression: str
    targets: tuple[str, ...] = ()
    components: tuple[Component, ...] = ()

    def of_whole(self, resource_type: str) -> bool:
        """True for a composite whose element is the resource itself: its components are parameters."""
        return self.expression == resource_type

    def path(self, resource_type: str) -> Path:
        """The expression compiled for a type (`app.fhir_mappings.path`); no tracks without one."""
        return compile_path(self.expression, resource_type) if self.expression else Path(())


@dataclass(slots=True)
class _Custom:
    """Parameters defined by stored SearchParameter resources, and how often they changed."""

    version: int = 0
    digest: str = ""
    parameters: tuple[tuple[str, SearchParameter], ...] = ()


_custom: Final = _Custom()


def version() -> int:
    """Moves whenever `define` changed the parameters: what was compiled before is stale."""
    return _custom.version


def define(digest: str, found: Sequence[tuple[str, SearchParameter]]) -> None:
    """Add parameters to R4's and ours, in place of those added before.

    digest: of their sources; nothing is done where it is the one already in use. found: (base type,
    parameter). One of R4's or ours is never replaced: their names are promised to clients.
    """
    if digest != _custom.digest:
        _custom.parameters, _custom.digest = tuple(found), digest
        _custom.version += 1
        _parameters.cache_clear()


def parameter(resource_type: str, code: str) -> SearchParameter | None:
    """The parameter of a type by its name, those of all resources (`_tag` …) included."""
    return parameters(resource_type).get(code)


def parameters(resource_type: str) -> Mapping[str, SearchParameter]:
    """All parameters of a type by name, alphabetical; KeyError where R4 has no such type."""
    return _parameters(resource_type, _custom.version)


@cache
def _parameters(resource_type: str, _version: int) -> Mapping[str, SearchParameter]:
    found = {each.code: each for base, each in _custom.parameters if base == resource_type}
    found.update(shipped(resource_type))
    return MappingProxyType(dict(sorted(found.items())))


@cache
def shipped(resource_type: str) -> Mapping[str, SearchParameter]:
    """R4's parameters of a type, and ours; KeyError where R4 has no such type."""
    if not is_resource_type(resource_type):
        raise KeyError(resource_type)
    found: dict[str, SearchParameter] = {}
    for base in reversed(list(_lineage(resource_type))):
        found.update((each.code, each) for each in _by_base().get(base, ()))
    return MappingProxyType(found)


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
    known = sources()
    found: dict[str, list[SearchParameter]] = {}
    for url, source in known.items():
        if url in left_out:
            continue
        built = build(source, known)
        for base in source["base"]:
            found.setdefault(base, []).append(built)
    return found


def build(source: Mapping[str, Any], known: Mapping[str, Mapping[str, Any]]) -> SearchParameter:
    """A parameter from a SearchParameter resource, or from our data, which has its form.

    known: sources by canonical, where the definitions of components are looked up. KeyError where one
    is not known.
    """
    components = []
    for each in source.get("component", ()):
        of = known[each["definition"]]
        components.append(
            Component(
                of["url"], of["code"], of["type"], each["expression"], tuple(of.get("target", ()))
            )
        )
    return SearchParameter(
        url=source["url"],
        code=source["code"],
        type=source["type"],
        expression=source.get("expression", ""),
        targets=tuple(source.get("target", ())),
        components=tuple(components),
    )


@cache
def sources() -> Mapping[str, Mapping[str, Any]]:
    """The sources of R4's parameters and ours, by canonical."""
    return MappingProxyType(
        {
            each["url"]: each
            for name in ("search-parameters.json", "search-parameters-own.json")
            for each in _load(name)
        }
    )


def _load(name: str) -> Any:
    return orjson.loads((resources.files("app.fhir_mappings") / "data" / name).read_bytes())
