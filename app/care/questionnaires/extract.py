"""`QuestionnaireResponse/$extract`: answers become Observations, with their scores and where they come from.

Observation-based extraction of HL7's SDC guide: a question that carries `observationExtract` (itself, or by
what it stands in) and a code gives an Observation for each answer; an instrument gives its scores. Each is
`derivedFrom` the response, and one Provenance speaks for all. Nothing here makes a Condition.
Pure; neighbours: `scoring`, `app.care.questionnaires.operations` (reads and stores).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from app.care.questionnaires.enabling import Enabling
from app.care.questionnaires.items import Item, extension, given, items, value
from app.care.questionnaires.scoring import Score, scores
from app.fhir_mappings import json_text

Json = dict[str, Any]

_SDC: Final = "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-observationExtract"
_CATEGORY: Final = "http://terminology.hl7.org/CodeSystem/observation-category"
_ACTIVITY: Final = "http://terminology.hl7.org/CodeSystem/v3-DataOperation"
_UCUM: Final = "http://unitsofmeasure.org"

_SAME: Final = ("valueInteger", "valueString", "valueBoolean", "valueTime", "valueQuantity")


def extraction(
    questionnaire: Mapping[str, Any],
    response: Mapping[str, Any],
    place: str,
    organization: str | None,
    now: datetime,
) -> list[tuple[str, Json]]:
    """(fullUrl, resource): the Observations and the Provenance of a response; [] where nothing is extracted.

    place: the response as "QuestionnaireResponse/id". organization: who extracts, None for a survivor's app.
    """
    common = _common(response, place, now)
    made = [
        (f"urn:uuid:{uuid.uuid4()}", common | each)
        for each in (*_answers(questionnaire, response), *_scored(questionnaire, response))
    ]
    if made and organization is not None:
        made.append((f"urn:uuid:{uuid.uuid4()}", _provenance(made, place, organization, now)))
    return made


def _common(response: Mapping[str, Any], place: str, now: datetime) -> Json:
    shared = {name: response[name] for name in ("subject", "encounter") if name in response}
    performer = response.get("author") or response.get("source")
    reference = str((performer or {}).get("reference", ""))
    able = (
        "Practitioner",
        "PractitionerRole",
        "Organization",
        "Patient",
        "RelatedPerson",
        "CareTeam",
    )
    who = {"performer": [performer]} if reference.partition("/")[0] in able else {}
    return {
        "resourceType": "Observation",
        "status": "preliminary" if response["status"] == "in-progress" else "final",
        "category": [{"coding": [{"system": _CATEGORY, "code": "survey"}]}],
        **shared,
        **who,
        "effectiveDateTime": response.get("authored", json_text.instant(now)),
        "derivedFrom": [{"reference": place}],
    }


def _answers(questionnaire: Mapping[str, Any], response: Mapping[str, Any]) -> Iterator[Json]:
    asked, enabling = items(questionnaire), Enabling(questionnaire, response)
    for each in given(response):
        item = asked.get(each.link_id)
        if item is None or not item.source.get("code") or not _extracts(questionnaire, item):
            continue
        for answer in each.answers if enabling.enabled(item) else ():
            found = value(answer)
            content = None if found is None else _value(*found)
            if content is not None:
                yield {"code": {"coding": item.source["code"]}} | content


def _extracts(questionnaire: Mapping[str, Any], item: Item) -> bool:
    """The nearest word on it: the item's own, that of what it stands in, the Questionnaire's."""
    within: Item | None = item
    while within is not None:
        stated = extension(within.source, _SDC)
        if stated is not None:
            return bool(stated)
        within = within.parent
    return bool(extension(questionnaire, _SDC))


def _value(name: str, content: Any) -> Json | None:
    """An answer as Observation.value[x]; None for what an Observation cannot hold."""
    match name:
        case "valueCoding":
            return {"valueCodeableConcept": {"coding": [content]}}
        case "valueDecimal":
            return {"valueQuantity": {"value": content}}
        case "valueDate":
            return {"valueDateTime": content}
        case "valueUri":
            return {"valueString": content}
        case _ if name in (*_SAME, "valueDateTime"):
            return {name: content}
        case _:
            return None


def _scored(questionnaire: Mapping[str, Any], response: Mapping[str, Any]) -> Iterator[Json]:
    for score in scores(questionnaire, response):
        if score.value is None:
            continue
        yield {
            "code": {"coding": [{"system": score.system, "code": score.code}]},
            "valueQuantity": {
                "value": _number(score.value),
                "unit": "points",
                "system": _UCUM,
                "code": "{score}",
            },
        } | _noted(score)


def _number(amount: Decimal) -> int | Decimal:
    whole = amount == amount.to_integral_value() and amount.as_tuple().exponent in (0,)
    return int(amount) if whole else amount


def _noted(score: Score) -> Json:
    notes = []
    if score.prorated:
        notes.append(
            f"{score.answered} of {score.asked} questions were answered; the others stand at their mean."
        )
    if score.cutoff is not None:
        notes.append(f"At or above {score.cutoff}: a sign to talk about, not a diagnosis.")
    return {"note": [{"text": text} for text in notes]} if notes else {}


def _provenance(made: list[tuple[str, Json]], place: str, organization: str, now: datetime) -> Json:
    return {
        "resourceType": "Provenance",
        "target": [{"reference": url} for url, _ in made],
        "recorded": json_text.instant(now),
        "activity": {"coding": [{"system": _ACTIVITY, "code": "CREATE"}]},
        "agent": [{"who": {"reference": organization}}],
        "entity": [{"role": "source", "what": {"reference": place}}],
    }
