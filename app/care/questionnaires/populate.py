"""`Questionnaire/$populate`: a response to begin with, from what is already known and may be seen.

SDC's observation-based population: a question with a code and an `observationLinkPeriod` takes the newest
Observation of that code within the period; others take their initial values. Pure; who reads is `operations`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from app.care.questionnaires.enabling import same
from app.care.questionnaires.items import Item, coding_key, extension, items, value
from app.care.questionnaires.translation import language_of, translated
from app.fhir_mappings import json_text

Json = dict[str, Any]

_LINK_PERIOD: Final = (
    "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-observationLinkPeriod",
    "http://hl7.org/fhir/StructureDefinition/questionnaire-observationLinkPeriod",
)
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


def populated(
    questionnaire: Mapping[str, Any],
    canonical: str,
    subject: str,
    observations: Mapping[str, Mapping[str, Any]],
    wanted: Sequence[str],
    now: datetime,
) -> Json:
    """The response in progress. observations: linkId to the newest Observation. wanted: languages."""
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
    known = items(questionnaire)
    spoken = [] if language is None or language == questionnaire.get("language") else [language]
    level = [_item(known, each, observations, spoken) for each in questionnaire.get("item", ())]
    return made | ({"item": level} if level else {})


def _item(
    known: Mapping[str, Item],
    source: Mapping[str, Any],
    observations: Mapping[str, Mapping[str, Any]],
    wanted: Sequence[str],
) -> Json:
    item = known[source["linkId"]]
    made: Json = {"linkId": item.link_id}
    text = translated(source, "text", wanted)
    if text is not None:
        made["text"] = text
    inner = [_item(known, each, observations, wanted) for each in source.get("item", ())]
    answers = _answers(item, observations.get(item.link_id))
    if answers:
        if inner:
            answers[0]["item"] = inner
        made["answer"] = answers
    elif inner and item.type in ("group", "display"):
        made["item"] = inner
    return made


def _answers(item: Item, observation: Mapping[str, Any] | None) -> list[Json]:
    if item.type in ("group", "display"):
        return []
    known = None if observation is None else _from(item, observation)
    if known is not None:
        return [known]
    stated = [dict(each) for each in item.source.get("initial", ())]
    chosen = [
        {found[0]: found[1]}
        for option in item.source.get("answerOption", ())
        if option.get("initialSelected") and (found := value(option))
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


def _choice(item: Item, concept: Mapping[str, Any]) -> Json | None:
    options = [found[1] for o in item.source.get("answerOption", ()) if (found := value(o))]
    for coding in concept.get("coding", ()):
        if not options or any(isinstance(o, dict) and same(o, coding) for o in options):
            system, code = coding_key(coding)
            return {"valueCoding": {"system": system, "code": code} if system else {"code": code}}
    return None
