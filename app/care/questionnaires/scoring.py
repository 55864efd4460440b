"""What a response scores, by rules that are data (`app/care/data/instruments.json`).

An answer weighs what its Questionnaire, its ValueSet or the answer itself says; a question that is not
enabled counts 0 where the instrument has a gate, and is otherwise missing. Pure.
Pinned: hl7.org/fhir/R4/extension-ordinalvalue.html. Neighbours: `items`, `enabling`, `extract`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

from app.care.data_files import packaged
from app.care.questionnaires.enabling import Enabling, same
from app.care.questionnaires.items import Item, Json, coding_key, given, items, value, weight

INSTRUMENTS: Final[Sequence[Mapping[str, Any]]] = packaged("instruments.json")["instruments"]


@dataclass(frozen=True, slots=True)
class Score:
    """One score of a response. value: None where too much is missing for it.

    answered, asked: how many of the questions that count have an answer. prorated: whether missing
    answers were replaced by the mean of the others. cutoff: the highest cut reached, None below all.
    """

    instrument: str
    domain: str
    system: str
    code: str
    value: Decimal | None
    answered: int
    asked: int
    prorated: bool
    cutoff: int | None


def instruments_of(questionnaire: Json) -> list[Mapping[str, Any]]:
    """The instruments that a Questionnaire is, by its codes or its url."""
    codes = {"|".join(coding_key(c)) for c in questionnaire.get("code", ())}
    url = questionnaire.get("url")
    return [
        each
        for each in INSTRUMENTS
        if codes & set(each.get("codes", ())) or url in each.get("urls", ())
    ]


def scores(questionnaire: Json, response: Json) -> list[Score]:
    """Every score that a response has; one without value where answers are missing."""
    return [_score(each, questionnaire, response) for each in instruments_of(questionnaire)]


def _score(rule: Mapping[str, Any], questionnaire: Json, response: Json) -> Score:
    counted = _counted(rule, questionnaire)
    enabling = Enabling(questionnaire, response)
    weights: list[Decimal] = []
    gated = 0
    for item in counted:
        if rule.get("gate") and not enabling.enabled(item):
            gated += 1
            continue
        found = item_weight(rule, questionnaire, item, response) if enabling.enabled(item) else None
        if found is not None:
            weights.append(found)
    asked = _asked(rule)
    answered = len(weights) + gated
    missing = asked - answered
    amount = None
    if answered and 0 <= missing <= rule["missing"]:
        amount = _amount(rule, weights, gated, asked)
    cut = [c for c in rule.get("cutoffs", ()) if amount is not None and amount >= c]
    return Score(
        rule["name"],
        rule["domain"],
        rule["score"]["system"],
        rule["score"]["code"],
        amount,
        answered,
        asked,
        prorated=amount is not None and missing > 0,
        cutoff=max(cut, default=None),
    )


def _asked(rule: Mapping[str, Any]) -> int:
    wanted = rule["items"]
    return int(wanted["count"]) if isinstance(wanted, dict) else len(wanted)


def _counted(rule: Mapping[str, Any], questionnaire: Json) -> list[Item]:
    """The questions that count, in the Questionnaire's order."""
    every = list(items(questionnaire).values())
    wanted = rule["items"]
    if not isinstance(wanted, dict):
        names = set(wanted)
        return [i for i in every if i.link_id in names or names & {c for _, c in i.codings()}]
    own = {rule["score"]["code"]}
    able = [
        i
        for i in every
        if _weighs(rule, questionnaire, i) and not own & {c for _, c in i.codings()}
    ]
    # A gate (has it ever happened?) comes first and does not count itself, where it has no place in the count.
    return able[len(able) - int(wanted["count"]) :] if len(able) > wanted["count"] else able


def _weighs(rule: Mapping[str, Any], questionnaire: Json, item: Item) -> bool:
    """True for a question whose answers can weigh something."""
    match item.type:
        case "integer" | "decimal":
            return bool(rule["method"] == "mean")
        case "boolean":
            return "true" in rule.get("weights", {})
        case "choice" | "open-choice":
            options = item.source.get("answerOption", ())
            if any(weight(option) is not None for option in options):
                return True
            known = rule.get("weights", {})
            codes = [coding_key(o["valueCoding"]) for o in options if "valueCoding" in o]
            if any("|".join(code) in known for code in codes):
                return True
            return bool(item.source.get("answerValueSet")) and not options
        case _:
            return False


def item_weight(
    rule: Mapping[str, Any], questionnaire: Json, item: Item, response: Json
) -> Decimal | None:
    """What the answer to one question weighs, the first where there are several; None where none weighs."""
    answer = next(_answers(item, response), None)
    return None if answer is None else _weighed(rule, questionnaire, item, answer)


def gravest_weight(
    rule: Mapping[str, Any], questionnaire: Json, item: Item, response: Json
) -> Decimal:
    """The most that any answer to one question weighs, 0 without any: by what is stated and by the table.

    For danger, where neither a second answer nor a weight that somebody states may hide what was said.
    """
    weights = [Decimal(0)]
    for answer in _answers(item, response):
        found = value(answer)
        by_table = _by_table(rule, item, found[1]) if found else None
        stated = _weighed(rule, questionnaire, item, answer)
        weights += [each for each in (by_table, stated) if each is not None]
    return max(weights)


def _answers(item: Item, response: Json) -> Iterator[Json]:
    for each in given(response):
        if each.link_id == item.link_id:
            yield from each.answers


def _weighed(
    rule: Mapping[str, Any], questionnaire: Json, item: Item, answer: Json
) -> Decimal | None:
    found = value(answer)
    if found is None:
        return None
    content = found[1]
    stated = _stated(questionnaire, item, answer, content)
    if stated is None:
        stated = _by_table(rule, item, content)
    bands = rule.get("bands", {}).get(item.link_id)
    if bands and stated is not None:
        stated = next((Decimal(v) for low, high, v in bands if low <= stated <= high), None)
    return stated


def _stated(questionnaire: Json, item: Item, answer: Json, content: Any) -> Decimal | None:
    """The weight that the Questionnaire states, then its ValueSet, then the answer itself."""
    for option in item.source.get("answerOption", ()):
        offered = value(option)
        if offered and same(offered[1], content) and (own := weight(option)) is not None:
            return own
    url = str(item.source.get("answerValueSet", ""))
    for contained in questionnaire.get("contained", ()) if url.startswith("#") else ():
        if contained.get("id") == url[1:] and isinstance(content, dict):
            for include in contained.get("compose", {}).get("include", ()):
                for concept in include.get("concept", ()):
                    key = (include.get("system", ""), concept.get("code", ""))
                    if key == coding_key(content) and (own := weight(concept)) is not None:
                        return own
    return weight(answer)


def _by_table(rule: Mapping[str, Any], item: Item, content: Any) -> Decimal | None:
    table = rule.get("weights", {})
    if isinstance(content, bool):
        found = table.get(str(content).lower())
    elif isinstance(content, dict):
        found = table.get("|".join(coding_key(content)))
    elif isinstance(content, int | Decimal):
        return Decimal(content)
    else:
        found = None
    if found is None:
        return None
    turned = {item.link_id, *(c for _, c in item.codings())} & set(rule.get("reversed", ()))
    return Decimal(max(table.values()) - found if turned else found)


def _amount(
    rule: Mapping[str, Any], weights: Sequence[Decimal], gated: int, asked: int
) -> Decimal | None:
    total = sum(weights, Decimal(0))
    answered = len(weights) + gated
    places = Decimal(1).scaleb(-int(rule.get("places", 0)))
    match rule["method"]:
        case "sum" if answered < asked:
            # Missing answers stand at the mean of the others; a half goes up, as by hand.
            return (total * asked / answered).quantize(Decimal(1), ROUND_HALF_UP)
        case "sum":
            return total
        case "mean":
            return (total / answered).quantize(places, ROUND_HALF_UP)
        case "table":
            found = rule["table"].get(str(int(total)))
            return None if found is None else Decimal(str(found))
        case unknown:
            raise ValueError(f"no such method of scoring: {unknown}")
