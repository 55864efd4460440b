"""Search parameters that users define, read from SearchParameter resources.

Only what can be searched exactly is taken: an active resource whose type is known, whose bases are R4
types and whose expression this service can follow for each of them. One that would change a parameter
of R4's or of this service's own is not taken: their names are promised to clients.

Pinned: hl7.org/fhir/R4/searchparameter.html. Neighbour: `app.fhir_mappings.search_parameters`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from app.fhir_mappings.path import PathError, PathSyntaxError, compile_path
from app.fhir_mappings.registry import is_resource_type
from app.fhir_mappings.search_parameters import SearchParameter, build, shipped, sources

MAX_DEFINED: Final = 200
"""Parameters that users may have defined at one time."""

_TYPES: Final = frozenset(
    {"number", "date", "string", "token", "reference", "composite", "quantity", "uri"}
)


@dataclass(frozen=True, slots=True)
class Definitions:
    """parameters: (base type, parameter). refused: (canonical, why), in a sentence for an operator."""

    parameters: tuple[tuple[str, SearchParameter], ...]
    refused: tuple[tuple[str, str], ...]


def read_definitions(resources: Iterable[Mapping[str, Any]]) -> Definitions:
    """The parameters of stored SearchParameters; inactive ones say nothing."""
    active = [each for each in resources if each.get("status") == "active"]
    known = {**{each["url"]: each for each in active}, **sources()}
    found: list[tuple[str, SearchParameter]] = []
    refused: list[tuple[str, str]] = []
    for each in active:
        try:
            found += _one(each, known, {(base, of.code) for base, of in found})
        except _Unusable as error:
            refused.append((str(each.get("url", "")), str(error)))
    for base, of in found[MAX_DEFINED:]:
        refused.append((of.url, f"More than {MAX_DEFINED} parameters are defined ({base})."))
    return Definitions(tuple(found[:MAX_DEFINED]), tuple(refused))


class _Unusable(Exception):  # noqa: N818 - says why, in a sentence
    pass


def _one(
    source: Mapping[str, Any],
    known: Mapping[str, Mapping[str, Any]],
    taken: set[tuple[str, str]],
) -> list[tuple[str, SearchParameter]]:
    if source.get("type") not in _TYPES:
        raise _Unusable("Its type cannot be searched.")
    if not source.get("expression"):
        raise _Unusable("It has no expression.")
    try:
        built = build(source, known)
    except KeyError as error:
        raise _Unusable("It refers to a component that is not defined.") from error
    found = []
    for base in source.get("base", ()):
        if not is_resource_type(base):
            raise _Unusable(f"{base} is no concrete resource type of R4.")
        if built.code in shipped(base) or (base, built.code) in taken:
            raise _Unusable(f"{base} has a parameter of that name already.")
        _check(built, base)
        found.append((base, built))
    return found


def _check(of: SearchParameter, base: str) -> None:
    try:
        tracks = compile_path(of.expression, base).tracks
        for each in of.components:
            text = each.expression.removeprefix("%resource.")
            for track in tracks:
                compile_path(text, base if text != each.expression else track.type)
    except (PathError, PathSyntaxError) as error:
        raise _Unusable(f"Its expression cannot be followed: {error}.") from error
    if not tracks:
        raise _Unusable(f"Its expression says nothing about {base}.")
