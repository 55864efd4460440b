"""A CodeSystem as a graph of concepts: lookup by code, and who subsumes whom.

The hierarchy is nested `concept`s, and the properties `parent`, `child` and `subsumedBy`. It
says "is a" unless `hierarchyMeaning` says that it is something else; then nothing subsumes but
itself.

Pinned: hl7.org/fhir/R4/codesystem.html, hl7.org/fhir/R4/codesystem-concept-properties.html.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

_HIERARCHY: Final = frozenset({"parent", "subsumedBy"})


@dataclass(slots=True)
class Concept:
    """One concept. properties: code to JSON values, `concept.property` as it stands."""

    code: str
    display: str | None = None
    definition: str | None = None
    designations: list[dict[str, Any]] = field(default_factory=list)
    properties: list[dict[str, Any]] = field(default_factory=list)
    parents: list[str] = field(default_factory=list)
    children: list[str] = field(default_factory=list)

    def value(self, code: str) -> Any:
        """The first value of a property, None without one."""
        for each in self.properties:
            if each.get("code") == code:
                return next((each[key] for key in each if key.startswith("value")), None)
        return None

    @property
    def is_abstract(self) -> bool:
        """Not to be chosen: stands for the grouping only."""
        return self.value("notSelectable") is True or self.value("abstract") is True

    @property
    def is_inactive(self) -> bool:
        """No longer to be used."""
        return self.value("inactive") is True or self.value("status") in ("retired", "inactive")


class CodeSystem:
    """A code system by its concepts.

    complete: an unknown code is wrong (`content` complete); else it is only not known here.
    """

    def __init__(
        self,
        url: str,
        concepts: Iterable[Concept],
        *,
        version: str | None = None,
        name: str | None = None,
        complete: bool = True,
        case_sensitive: bool = True,
        is_a: bool = True,
    ) -> None:
        self.url = url
        self.version = version
        self.name = name
        self.complete = complete
        self.is_a = is_a
        self.concepts: dict[str, Concept] = {each.code: each for each in concepts}
        self._folded = None if case_sensitive else {code.casefold(): code for code in self.concepts}

    @classmethod
    def of(cls, resource: Mapping[str, Any]) -> CodeSystem:
        """From a CodeSystem that `app.fhir_mappings.validate` accepts, with a url."""
        meaning = resource.get("hierarchyMeaning", "is-a")
        return cls(
            resource["url"],
            _linked(resource.get("concept", ())),
            version=resource.get("version"),
            name=resource.get("title") or resource.get("name"),
            complete=resource.get("content") == "complete",
            case_sensitive=resource.get("caseSensitive") is not False,
            is_a=meaning == "is-a",
        )

    def concept(self, code: str) -> Concept | None:
        """The concept of a code (in the case rule of the system), None where there is none."""
        found = self.concepts.get(code)
        if found is None and self._folded is not None:
            own = self._folded.get(code.casefold())
            found = self.concepts.get(own) if own is not None else None
        return found

    def descendants(self, code: str) -> Iterator[str]:
        """Codes below, each once; without the code itself."""
        yield from self._walk(code, down=True)

    def ancestors(self, code: str) -> Iterator[str]:
        """Codes above, each once; without the code itself."""
        yield from self._walk(code, down=False)

    def subsumes(self, code: str, other: str) -> bool:
        """Whether `other` is `code` or one below it. False for codes that are not known."""
        first, second = self.concept(code), self.concept(other)
        if first is None or second is None:
            return False
        return first.code == second.code or (
            self.is_a and first.code in self.ancestors(second.code)
        )

    def _walk(self, code: str, *, down: bool) -> Iterator[str]:
        start = self.concept(code)
        if start is None:
            return
        seen = {start.code}
        queue = [start]
        while queue:
            concept = queue.pop(0)
            for each in concept.children if down else concept.parents:
                if each not in seen:
                    seen.add(each)
                    queue.append(self.concepts[each])
                    yield each


def _linked(source: Any) -> list[Concept]:
    """Concepts in document order, with parents and children filled both ways."""
    found: dict[str, Concept] = {}
    links: list[tuple[str, str]] = []
    stack: list[tuple[Mapping[str, Any], str | None]] = [
        (each, None) for each in reversed(list(source))
    ]
    while stack:
        each, parent = stack.pop()
        concept = Concept(
            each["code"],
            each.get("display"),
            each.get("definition"),
            each.get("designation", []),
            each.get("property", []),
        )
        found.setdefault(concept.code, concept)
        if parent is not None:
            links.append((parent, concept.code))
        for one in concept.properties:
            value = one.get("valueCode")
            if type(value) is str:
                if one.get("code") in _HIERARCHY:
                    links.append((value, concept.code))
                elif one.get("code") == "child":
                    links.append((concept.code, value))
        stack.extend((below, concept.code) for below in reversed(each.get("concept", [])))
    for parent, child in links:
        if parent in found and child in found and parent != child:
            if parent not in found[child].parents:
                found[child].parents.append(parent)
            if child not in found[parent].children:
                found[parent].children.append(child)
    return list(found.values())
