"""`Questionnaire/$populate`: a response to begin with, from what is already known and may be seen.

SDC's populations: a question with an `initialExpression` takes its result (`expressions`); one with a code
and an `observationLinkPeriod` the newest Observation of that code within the period; others their initial
values. Who reads is `operations`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from app.care.questionnaires.enabling import same
from app.care.questionnaires.expressions import Evaluator, Names
from app.care.questionnaires.items import Item, coding_key, extension, items, value
from app.care.questionnaires.translation import language_of, translated
from app.fhir_mappings import json_text
from app.fhir_mappings.fhirpath.items import Collection
from app.fhir_mappings.fhirpath.items import Item as Value

Json = dict[str, Any]

_LINK_PERIOD: Final = (
    "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-observationLinkPeriod",
    "http://hl7.org/fhir/StructureDefinition/questionnaire-observationLinkPeriod",
)
_MOMENTS: Final = ("date", "datetime", "instant")
_DAYS: Final = {"d": 1, "wk": 7, "mo": 30, "a": 365, "h": 1 / 24}


@dataclass(frozen=True, slots=True)
class Link:
    """A question that an Observation may answer: its codes, and since when the Observation counts."""

    link_id: str
    codes: tuple[tuple[str, str], ...]
    since: datetime


def links(questionnaire: Mapping[str, Any], now: datetime) -> list[Link]:
    """The questions to be answered from Observations."""
    found = []
    for item in items(questionnaire).values():
        period = extension(item.source, *_LINK_PERIOD)
        if isinstance(period, dict) and item.codings():
            days = float(period.get("value", 0)) * _DAYS.get(str(period.get("code")), 0)
            found.append(Link(item.link_id, tuple(item.codings()), now - timedelta(days=days)))
    return found


@dataclass(frozen=True, slots=True)
class Known:
    """What a population begins with. observations: linkId to the newest Observation. names: variables."""

    observations: Mapping[str, Mapping[str, Any]]
    names: Names
    evaluator: Evaluator


async def populated(
    questionnaire: Mapping[str, Any],
    canonical: str,
    subject: str,
    known: Known,
    wanted: Sequence[str],
    now: datetime,
) -> Json:
    """The response in progress. wanted: languages. FhirError 422 for an expression that cannot be evaluated."""
    made: Json = {"resourceType": "QuestionnaireResponse"}
    language = language_of(questionnaire, wanted)
    if language is not None:
        made["language"] = language
    made |= {
        "questionnaire": canonical,
        "status": "in-progress",
        "subject": {"reference": subject},
        "authored": json_text.instant(now),
    }
    spoken = [] if language is None or language == questionnaire.get("language") else [language]
    names = await known.evaluator.variables(questionnaire, known.names, "Questionnaire")
    filling = _Filling(items(questionnaire), known, spoken)
    level = await filling.level(questionnaire, names, "Questionnaire")
    return made | ({"item": level} if level else {})


@dataclass(frozen=True, slots=True)
class _Filling:
    """One response being filled in. wanted: languages of its texts."""

    items: Mapping[str, Item]
    known: Known
    wanted: Sequence[str]

    async def level(self, holder: Mapping[str, Any], names: Names, where: str) -> list[Json]:
        """The response items for the questions of one level."""
        made = []
        for position, source in enumerate(holder.get("item", ())):
            place = f"{where}.item[{position}]"
            repetitions = await self.known.evaluator.contexts(source, names, place)
            every = [names] if repetitions is None else repetitions
            made += [await self._item(source, each, place) for each in every]
        return made

    async def _item(self, source: Mapping[str, Any], names: Names, where: str) -> Json:
        item, evaluator = self.items[source["linkId"]], self.known.evaluator
        names = await evaluator.variables(source, names, where)
        made: Json = {"linkId": item.link_id}
        text = translated(source, "text", self.wanted)
        if text is not None:
            made["text"] = text
        inner = await self.level(source, names, where)
        found = await evaluator.initial(source, names, where)
        answers = _answers(item, found, self.known.observations.get(item.link_id))
        if answers:
            if inner:
                answers[0]["item"] = inner
            made["answer"] = answers
        elif inner and item.type in ("group", "display"):
            made["item"] = inner
        return made


def _answers(
    item: Item, found: Collection | None, observation: Mapping[str, Any] | None
) -> list[Json]:
    if item.type in ("group", "display"):
        return []
    evaluated = [a for each in found or () if (a := answer_of(item, each)) is not None]
    if evaluated:
        return evaluated[: None if item.repeats else 1]
    known = None if observation is None else _from(item, observation)
    if known is not None:
        return [known]
    stated = [dict(each) for each in item.source.get("initial", ())]
    chosen = [
        {offered[0]: offered[1]}
        for option in item.source.get("answerOption", ())
        if option.get("initialSelected") and (offered := value(option))
    ]
    return (stated or chosen)[: None if item.repeats else 1]


def _from(item: Item, observation: Mapping[str, Any]) -> Json | None:
    """An Observation's value as the answer to a question of this type; None where it does not fit."""
    found = value(observation)
    if found is None:
        return None
    name, content = found
    quantity = content.get("value") if name == "valueQuantity" else None
    match item.type:
        case "decimal" if quantity is not None:
            return {"valueDecimal": quantity}
        case "integer" if isinstance(quantity, int | Decimal) and quantity == int(quantity):
            return {"valueInteger": int(quantity)}
        case "integer" if name == "valueInteger":
            return {name: content}
        case "quantity" if name == "valueQuantity":
            return {name: content}
        case "boolean" if name == "valueBoolean":
            return {name: content}
        case "string" | "text" if name == "valueString":
            return {name: content}
        case "dateTime" | "date" if name == "valueDateTime":
            return (
                {"valueDateTime": content}
                if item.type == "dateTime"
                else {"valueDate": content[:10]}
            )
        case "choice" | "open-choice" if name == "valueCodeableConcept":
            return _choice(item, content)
        case _:
            return None


def answer_of(item: Item, found: Value) -> Json | None:
    """A FHIRPath value as the answer to a question of this type; None where it does not fit."""
    content, type_ = found.value, found.type.removeprefix("System.")
    is_text = isinstance(content, str)
    match item.type:
        case "boolean" if isinstance(content, bool):
            return {"valueBoolean": content}
        case "integer" if type(content) is int:
            return {"valueInteger": content}
        case "decimal" if type(content) is int or isinstance(content, Decimal):
            return {"valueDecimal": content}
        case "date" if is_text and type_.lower() in _MOMENTS:
            return {"valueDate": content[:10]}
        case "dateTime" if is_text and type_.lower() in _MOMENTS:
            return {"valueDateTime": content}
        case "time" if is_text and type_.lower() == "time":
            return {"valueTime": content}
        case "string" | "text" if is_text:
            return {"valueString": content}
        case "url" if is_text:
            return {"valueUri": content}
        case "quantity" if type_ in ("Quantity", "Age", "Duration"):
            return {"valueQuantity": dict(content)}
        case "attachment" if type_ == "Attachment":
            return {"valueAttachment": dict(content)}
        case "reference" if type_ == "Reference":
            return {"valueReference": dict(content)}
        case "reference" if isinstance(content, dict) and {"resourceType", "id"} <= content.keys():
            return {"valueReference": {"reference": f"{content['resourceType']}/{content['id']}"}}
        case "choice" | "open-choice":
            return _chosen(item, content, type_)
        case _:
            return None


def _chosen(item: Item, content: Any, type_: str) -> Json | None:
    if type_ == "CodeableConcept":
        return _choice(item, content)
    if type_ == "Coding":
        return _choice(item, {"coding": [content]})
    if not isinstance(content, str):
        return None
    for option in item.source.get("answerOption", ()):
        offered = value(option)
        if offered and (offered[1] == content or _code(offered[1]) == content):
            return {offered[0]: offered[1]}
    return {"valueString": content} if item.type == "open-choice" else None


def _code(option: Any) -> Any:
    return option.get("code") if isinstance(option, dict) else None


def _choice(item: Item, concept: Mapping[str, Any]) -> Json | None:
    options = [found[1] for o in item.source.get("answerOption", ()) if (found := value(o))]
    for coding in concept.get("coding", ()):
        if not options or any(isinstance(o, dict) and same(o, coding) for o in options):
            system, code = coding_key(coding)
            return {"valueCoding": {"system": system, "code": code} if system else {"code": code}}
    return None
