"""A Questionnaire and a QuestionnaireResponse as trees of typed items.

Pinned: hl7.org/fhir/R4/questionnaire.html, hl7.org/fhir/R4/questionnaireresponse.html. Pure: what to look at
and where it stands, without judgement. Neighbours: `enabling`, `validity`, `scoring` read these trees.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, TypeAlias

Json: TypeAlias = Mapping[str, Any]

ORDINAL: Final = (
    "http://hl7.org/fhir/StructureDefinition/ordinalValue",
    "http://hl7.org/fhir/StructureDefinition/itemWeight",
    "http://hl7.org/fhir/StructureDefinition/questionnaire-ordinalValue",
)
"""Extensions that weigh an answer: R4's, R5's, and the name that R4's first drafts used."""


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a Questionnaire. parent: the item it stands in, None at the top."""

    link_id: str
    type: str
    source: Json
    parent: Item | None
    children: tuple[Item, ...] = ()

    @property
    def required(self) -> bool:
        """Whether a finished response needs an answer."""
        return bool(self.source.get("required"))

    @property
    def repeats(self) -> bool:
        """Whether it takes several answers, or a group several times."""
        return bool(self.source.get("repeats"))

    def codings(self) -> list[tuple[str, str]]:
        """(system, code) of item.code."""
        return [(c.get("system", ""), c.get("code", "")) for c in self.source.get("code", ())]


@dataclass(frozen=True, slots=True)
class Given:
    """One item of a response. where: its FHIRPath. answers: the answer elements, in their order."""

    link_id: str
    source: Json
    where: str
    answers: tuple[Json, ...]


def items(questionnaire: Json) -> dict[str, Item]:
    """LinkId to item, at any depth, in document order."""
    return {item.link_id: item for item in _walk(questionnaire, None)}


def _walk(holder: Json, parent: Item | None) -> Iterator[Item]:
    for source in holder.get("item", ()):
        item = Item(source["linkId"], source["type"], source, parent)
        yield item
        yield from _walk(source, item)


def given(response: Json) -> list[Given]:
    """Every item of a response at any depth, in document order."""
    return list(_given(response, "QuestionnaireResponse"))


def _given(holder: Json, path: str) -> Iterator[Given]:
    for position, source in enumerate(holder.get("item", ())):
        where = f"{path}.item[{position}]"
        answers = tuple(source.get("answer", ()))
        yield Given(source["linkId"], source, where, answers)
        yield from _given(source, where)
        for number, answer in enumerate(answers):
            yield from _given(answer, f"{where}.answer[{number}]")


def value(answer: Json) -> tuple[str, Any] | None:
    """(`valueCoding`, …) and the value of an answer, of an answerOption or of an initial; None if empty."""
    for name, content in answer.items():
        if name.startswith("value"):
            return name, content
    return None


def coding_key(coding: Json) -> tuple[str, str]:
    """A Coding as (system, code); "" for what it lacks."""
    return coding.get("system", ""), coding.get("code", "")


def extension(holder: Json, *urls: str) -> Any:
    """The value of the first extension with one of these urls; None without."""
    for each in holder.get("extension", ()):
        if each.get("url") in urls:
            found = value(each)
            return found[1] if found else None
    return None


def weight(holder: Json) -> Decimal | None:
    """The weight that an answer option, a Coding or a ValueSet concept states itself."""
    stated = extension(holder, *ORDINAL)
    if stated is None and isinstance(holder.get("valueCoding"), dict):
        stated = extension(holder["valueCoding"], *ORDINAL)
    return None if stated is None else Decimal(stated)
