"""Code systems and value sets by canonical URL, and the questions that need both.

A value set is a `compose` of includes and excludes, an `expansion` that came with it, or the codes
that R4's own structure has for a required binding. What cannot be known here (a code system kept
elsewhere, one of which only fragments are) is told apart from no: None, or `UnknownContentError`.

Neighbours: `code_system`, `value_set` (one include at a time), `operations` (what FHIR calls
$expand, $lookup …), `app.fhir_mappings.profiles` (bindings), search (`:in`, `:below`).

Pinned: hl7.org/fhir/R4/terminologies.html, hl7.org/fhir/R4/valueset.html#compositions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias

from app.fhir_mappings.structure import value_set as bound_value_set
from app.fhir_mappings.terminology.code_system import CodeSystem
from app.fhir_mappings.terminology.shipped import shipped_code_systems, shipped_value_sets
from app.fhir_mappings.terminology.value_set import Include, Member, UnknownContentError

Key: TypeAlias = tuple[str, str]
"""(system, code)."""

MAX_CODES: Final = 50_000
_MAX_IMPORTS: Final = 20


class TooManyCodesError(Exception):
    """An expansion of more than `MAX_CODES` codes."""


class Terminology:
    """What is known of codes, filled once and then only read.

    A URL may come as `url|version`; several versions of one URL are kept, without a version the
    one added last answers.
    """

    def __init__(
        self,
        code_systems: Iterable[CodeSystem] = (),
        value_sets: Iterable[Mapping[str, Any]] = (),
        *,
        shipped: bool = True,
    ) -> None:
        """shipped: also know what R4 itself binds its elements to (`shipped`); the given win."""
        self._systems: dict[str, CodeSystem] = {}
        self._value_sets: dict[str, Mapping[str, Any]] = {}
        self._expanded: dict[str, dict[Key, Member]] = {}
        if shipped:
            code_systems = [*shipped_code_systems(), *code_systems]
            value_sets = [*shipped_value_sets(), *value_sets]
        for system in code_systems:
            self._systems[system.url] = system
            self._systems[f"{system.url}|{system.version}"] = system
        for each in value_sets:
            if "url" in each:
                self._value_sets[each["url"]] = each
                self._value_sets[f"{each['url']}|{each.get('version')}"] = each

    def code_system(self, url: str) -> CodeSystem | None:
        """The code system of a canonical URL."""
        return self._systems.get(url)

    def value_set(self, url: str) -> Mapping[str, Any] | None:
        """The ValueSet resource of a canonical URL; None where there is none as a resource."""
        return self._value_sets.get(url)

    def knows_value_set(self, url: str) -> bool:
        """Whether the value set is here, as a resource or as a required binding of R4."""
        return url in self._value_sets or self._bound(url) is not None

    def missing(self, url: str) -> tuple[set[str], set[str]]:
        """(value sets, code systems) that an expansion of this value set asks for and that are
        not here; what those ask for in turn is known only once they are here.
        """
        value_sets: set[str] = set()
        systems: set[str] = set()
        pending, seen = [url], set()
        while pending:
            each = pending.pop()
            if each in seen:
                continue
            seen.add(each)
            source = self._value_sets.get(each)
            if source is None:
                if self._bound(each) is None:
                    value_sets.add(each)
                continue
            compose = source.get("compose", {})
            for part in [*compose.get("include", ()), *compose.get("exclude", ())]:
                pending.extend(part.get("valueSet", ()))
                system = part.get("system")
                if system and "concept" not in part and system not in self._systems:
                    systems.add(system)
        return value_sets, systems

    def expansion(self, url: str) -> dict[Key, Member]:
        """All members by system and code, in order.

        KeyError for an unknown value set, UnknownContentError where a part of it is not here,
        TooManyCodesError beyond `MAX_CODES`.
        """
        found = self._expanded.get(url)
        if found is None:
            found = self._expanded[url] = self._expand(url, ())
        return found

    def compose(self, resource: Mapping[str, Any]) -> dict[Key, Member]:
        """The members of a ValueSet that is not among those known here; errors as `expansion`."""
        return self._composed(resource, (resource.get("url", ""),))

    def contains(self, url: str, system: str | None, code: str) -> bool | None:
        """Whether a code is in a value set; system None: of whichever system (a `code` element).

        None where that cannot be known.
        """
        try:
            members = self.expansion(url)
        except (KeyError, UnknownContentError, TooManyCodesError):
            return self._listed(url, system, code)
        if system is not None:
            return (system, code) in members
        return any(each == code for _, each in members)

    def subsumes(self, system: str, code: str, other: str) -> bool | None:
        """Whether `other` is `code` or below it; None for an unknown system."""
        found = self._systems.get(system)
        return None if found is None else found.subsumes(code, other)

    def closure(self, system: str, code: str, *, above: bool = False) -> list[str] | None:
        """The code with all below (or above) it, for `:below` and `:above`; None: unknown."""
        found = self._systems.get(system)
        concept = found.concept(code) if found else None
        if found is None or concept is None:
            return None
        walk = found.ancestors if above else found.descendants
        return [concept.code, *(walk(concept.code) if found.is_a else ())]

    def display(self, system: str, code: str) -> str | None:
        """The display of a concept of a known system."""
        found = self._systems.get(system)
        concept = found.concept(code) if found else None
        return concept.display if concept else None

    def _listed(self, url: str, system: str | None, code: str) -> bool | None:
        """Of a value set that cannot be expanded as a whole: True where an include lists the code,
        or takes all of a system that is kept elsewhere; else None.
        """
        source = self._value_sets.get(url)
        if source is None or "exclude" in source.get("compose", {}):
            return None
        parts = source.get("compose", {}).get("include", ())
        for part in parts:
            if system is not None and part.get("system") != system:
                continue
            if any(each.get("code") == code for each in part.get("concept", ())):
                return True
        if system is not None and not any(
            part.get("system") == system or "valueSet" in part for part in parts
        ):
            return False  # whatever the parts hold, it is of other systems
        return None

    def _bound(self, url: str) -> Mapping[str, frozenset[str]] | None:
        try:
            return bound_value_set(url.partition("|")[0])
        except KeyError:
            return None

    def _expand(self, url: str, above: tuple[str, ...]) -> dict[Key, Member]:
        if url in above or len(above) > _MAX_IMPORTS:
            raise UnknownContentError(f"the value set {url} includes itself")
        source = self._value_sets.get(url)
        if source is not None:
            return self._composed(source, (*above, url))
        bound = self._bound(url)
        if bound is None:
            if above:
                raise UnknownContentError(f"the value set {url} is not known here")
            raise KeyError(url)
        return {
            (system, code): Member(system, code, self.display(system, code))
            for system, codes in bound.items()
            for code in sorted(codes)
        }

    def _composed(self, source: Mapping[str, Any], above: tuple[str, ...]) -> dict[Key, Member]:
        if "compose" not in source:
            return _stated(source)
        compose = source["compose"]
        members: dict[Key, Member] = {}
        for part in compose.get("include", ()):
            for member in self._members(part, above):
                members.setdefault((member.system, member.code), member)
                if len(members) > MAX_CODES:
                    raise TooManyCodesError
        for part in compose.get("exclude", ()):
            for member in self._members(part, above):
                members.pop((member.system, member.code), None)
        if compose.get("inactive") is False:
            members = {key: each for key, each in members.items() if not each.inactive}
        return members

    def _members(self, part: Mapping[str, Any], above: tuple[str, ...]) -> list[Member]:
        """One include: of its system what its own criteria give, that is in all value sets too."""
        imported = [self._expand(url, above) for url in part.get("valueSet", ())]
        system = part.get("system")
        if system is None:
            first, *others = imported
            return [m for key, m in first.items() if all(key in each for each in others)]
        version = part.get("version")
        known = self._systems.get(f"{system}|{version}") if version else None
        own = Include(part, known or self._systems.get(system)).members()
        return [m for m in own if all((m.system, m.code) in each for each in imported)]


def _stated(source: Mapping[str, Any]) -> dict[Key, Member]:
    """The members of the expansion that came with a value set; none where it came with none."""
    found: dict[Key, Member] = {}
    pending = list(reversed(source.get("expansion", {}).get("contains", ())))
    while pending:
        each = pending.pop()
        if "code" in each and each.get("abstract") is not True:
            system = each.get("system", "")
            found[system, each["code"]] = Member(system, each["code"], each.get("display"))
        pending.extend(reversed(each.get("contains", ())))
    return found
