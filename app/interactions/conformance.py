"""Code systems, value sets and profiles of the store, brought into memory as a caller sees them.

They are directory resources: read through the same predicate as everything else, so that a value
set which is its custodian's alone answers nobody else. What was parsed is kept by its content, never
by its caller. Neighbours: `app.storage.canonical` finds; `app.fhir_mappings.terminology` and
`app.fhir_mappings.profiles` answer.

Pinned: hl7.org/fhir/R4/references.html#canonical.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from app.fhir_mappings.json_text import MAX_DEPTH_LIMIT, parse
from app.fhir_mappings.profiles.definitions import Definitions
from app.fhir_mappings.profiles.elements import is_core_type
from app.fhir_mappings.terminology.code_system import CodeSystem
from app.fhir_mappings.terminology.terminology import Terminology
from app.storage import canonical
from app.storage.database import Caller, Reader

_ROUNDS: Final = 8
"""Value sets that include value sets: how deep they are followed."""


@dataclass(slots=True)
class Loaded:
    """What was found. rids: for the audit row."""

    terminology: Terminology
    rids: list[int] = field(default_factory=list)


async def terminology(
    database: Reader,
    caller: Caller,
    *,
    value_sets: Iterable[str] = (),
    code_systems: Iterable[str] = (),
    given: Iterable[dict[str, Any]] = (),
    given_systems: Iterable[CodeSystem] = (),
) -> Loaded:
    """The named value sets and code systems, and whatever they include.

    value_sets, code_systems: canonical URLs, with or without version. given, given_systems:
    what came with the request or was read by its id. What is not found is simply not there.
    """
    sets: dict[int, dict[str, Any]] = {}
    systems: dict[int, CodeSystem] = {}
    rids: list[int] = []
    asked: set[str] = set()
    wanted_sets = {_bare(url) for url in value_sets}
    wanted_systems = {_bare(url) for url in code_systems}
    own = list(given)
    for each in own:
        more_sets, more_systems = _asks(each)
        wanted_sets |= more_sets
        wanted_systems |= more_systems
    for _ in range(_ROUNDS):
        for found in await canonical.by_url(database, caller, "CodeSystem", wanted_systems):
            systems[found.rid] = _code_system(found.content)
            rids.append(found.rid)
        asked |= wanted_sets
        fresh: set[str] = set()
        wanted_systems = set()
        for found in await canonical.by_url(database, caller, "ValueSet", wanted_sets):
            resource = _resource(found.content)
            sets[found.rid] = resource
            rids.append(found.rid)
            more_sets, more_systems = _asks(resource)
            fresh |= more_sets
            wanted_systems |= more_systems
        wanted_sets = fresh - asked
        if not wanted_sets and not wanted_systems:
            break
    made = Terminology([*systems.values(), *given_systems], [*own, *sets.values()])
    return Loaded(made, list(dict.fromkeys(rids)))


@dataclass(slots=True)
class LoadedProfiles:
    """What was found for some profiles. rids: for the audit row."""

    definitions: Definitions
    rids: list[int] = field(default_factory=list)


async def profiles(database: Reader, caller: Caller, urls: Iterable[str]) -> LoadedProfiles:
    """The named profiles, those that they build on, and the value sets that they bind to.

    urls: canonical, with or without version. What is not found is simply not there.
    """
    named = list(urls)
    sources: dict[int, dict[str, Any]] = {}
    asked: set[str] = set()
    value_sets: set[str] = set()
    wanted = {_bare(url) for url in named if not is_core_type(url)}
    for _ in range(_ROUNDS):
        for found in await canonical.by_url(database, caller, "StructureDefinition", wanted):
            sources[found.rid] = _resource(found.content)
        asked |= wanted
        more, value_sets = Definitions(sources.values()).missing(named)
        wanted = more - asked
        if not wanted:
            break
    loaded = await terminology(database, caller, value_sets=value_sets)
    made = Definitions(sources.values(), loaded.terminology)
    return LoadedProfiles(made, [*sources, *loaded.rids])


def _asks(value_set: dict[str, Any]) -> tuple[set[str], set[str]]:
    """(value sets, code systems) that a value set is composed of."""
    compose = value_set.get("compose", {})
    parts = [*compose.get("include", ()), *compose.get("exclude", ())]
    sets = {_bare(url) for part in parts for url in part.get("valueSet", ())}
    return sets, {part["system"] for part in parts if "system" in part}


def _bare(url: str) -> str:
    return url.partition("|")[0]


@lru_cache(maxsize=256)
def _resource(content: bytes) -> dict[str, Any]:
    """Shared: nobody changes what is parsed here."""
    return parse(content, max_depth=MAX_DEPTH_LIMIT)


@lru_cache(maxsize=64)
def _code_system(content: bytes) -> CodeSystem:
    return CodeSystem.of(_resource(content))
