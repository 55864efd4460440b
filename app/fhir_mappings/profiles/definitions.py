"""The profiles, value sets and code systems that a validation may use; filled once, then read.

Pinned: hl7.org/fhir/R4/profiling.html#references.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from app.fhir_mappings.profiles.elements import (
    CORE,
    Profile,
    ProfileError,
    compile_profile,
    is_core_type,
)
from app.fhir_mappings.terminology.terminology import Terminology


class Definitions:
    """Profiles by canonical URL (`url` or `url|version`), compiled at the first question.

    sources: StructureDefinitions that `app.fhir_mappings.validate` accepts; of one URL the last
    answers where no version is asked for.
    """

    def __init__(
        self,
        sources: Iterable[Mapping[str, Any]] = (),
        terminology: Terminology | None = None,
    ) -> None:
        self.terminology = terminology or Terminology()
        self._sources: dict[str, Mapping[str, Any]] = {}
        self._compiled: dict[str, Profile] = {}
        for source in sources:
            self._sources[source["url"]] = source
            self._sources[f"{source['url']}|{source.get('version')}"] = source

    def knows(self, url: str) -> bool:
        """Whether the profile is here, or is one of R4's own types."""
        return url in self._sources or is_core_type(url)

    def profile(self, url: str) -> Profile | None:
        """The compiled profile; None where it is not here or a type of R4 itself.

        ProfileError where it cannot be used.
        """
        if url not in self._sources:
            return None
        if url not in self._compiled:
            self._compiled[url] = compile_profile(self._sources[url])
        return self._compiled[url]

    def type_of(self, url: str) -> str | None:
        """The type that a profile constrains, also where it is one of R4's own; None: not known."""
        if is_core_type(url):
            return url.removeprefix(CORE)
        source = self._sources.get(url)
        name = source.get("type") if source else None
        return name if type(name) is str else None

    def missing(self, urls: Iterable[str]) -> tuple[set[str], set[str]]:
        """(profiles, value sets) that checking these profiles asks for and that are not here.

        Profiles that only tell what a reference may point at are among them: their type is asked.
        """
        profiles: set[str] = set()
        value_sets: set[str] = set()
        pending, seen = list(urls), set[str]()
        while pending:
            url = pending.pop()
            if url in seen or is_core_type(url):
                continue
            seen.add(url)
            try:
                profile = self.profile(url)
            except ProfileError:
                continue
            if profile is None:
                profiles.add(url.partition("|")[0])
                continue
            if profile.base is not None:
                pending.append(profile.base)
            for rule in profile.rules():
                for each in rule.types:
                    pending.extend(each.profiles)
                    profiles.update(u for u in each.targets if not self.knows(u))
                if rule.binding is not None and rule.binding.strength in ("required", "extensible"):
                    value_sets.add(rule.binding.value_set)
        known = self.terminology.knows_value_set
        return profiles, {url for url in value_sets if not known(url)}
