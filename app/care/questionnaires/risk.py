"""Which danger a response tells of, by rules that are data (`app/care/data/risk-rules.json`). Pure.

Neighbours: `scoring` weighs answers, `escalation` says what must then exist.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from app.care.data_files import packaged
from app.care.questionnaires.enabling import Enabling
from app.care.questionnaires.items import Item, Json, coding_key, given, items
from app.care.questionnaires.scoring import gravest_weight

_DATA: Final = packaged("risk-rules.json")
_RULES: Final[Sequence[Mapping[str, Any]]] = _DATA["rules"]
_LOINC: Final = re.compile(r"\d{1,7}-\d")
_LEVELS: Final = ("none", "low", "moderate", "high")


@dataclass(frozen=True, slots=True)
class Risk:
    """What a rule found. level: low, moderate or high. escalate: whether somebody must act at once.

    system, code: of the finding. answer: the level as (system, code) of the instrument's own answer list,
    None where it has none.
    """

    rule: str
    level: str
    outcome: str
    system: str
    code: str
    escalate: bool
    answer: tuple[str, str] | None = None


def risks(questionnaire: Json, response: Json) -> list[Risk]:
    """The danger that a response tells of, one for each rule that holds; whatever its status, as far as
    it has been answered: a stopped response tells as much as a finished one.
    """
    if response.get("status") == "entered-in-error":
        return []
    codes = {"|".join(coding_key(c)) for c in questionnaire.get("code", ())}
    found = []
    for rule in _RULES:
        if codes & set(rule.get("codes", ())) or questionnaire.get("url") in rule.get("urls", ()):
            tier = _tier(rule, questionnaire, response)
            if tier is not None:
                coding = rule["observation"]
                answer = rule.get("values", {}).get(tier["level"])
                found.append(
                    Risk(
                        rule["name"],
                        tier["level"],
                        rule["outcome"],
                        coding["system"],
                        coding["code"],
                        tier["escalate"],
                        None if answer is None else _pair(answer),
                    )
                )
    return found


def unknown(response: Json) -> Json:
    """What a response tells of its Questionnaire where that is not known here: its questions, by their linkIds.

    A linkId that ends in a LOINC code, as LOINC's own forms have them (`/44249-1/44260-8`), asks that question;
    the codes of all rules that ask one of these make it their Questionnaire. So a danger that is told in
    LOINC's terms is not missed because a form was never sent here.
    """
    asked: list[dict[str, Any]] = []
    codes: set[str] = set()
    for each in given(response):
        if _LOINC.fullmatch(code := each.link_id.rpartition("/")[2]):
            codes.add(code)
            asked.append(
                {
                    "linkId": each.link_id,
                    "type": "open-choice",
                    "code": [{"system": "http://loinc.org", "code": code}],
                }
            )
    known = [
        name
        for rule in _RULES
        if codes & {c["item"] for t in rule["tiers"] for c in t.get("any", t.get("all", ()))}
        for name in rule.get("codes", ())
    ]
    systems = [name.partition("|") for name in known]
    return {
        "item": asked,
        "code": [{"system": system, "code": code} for system, _, code in systems],
    }


def _pair(text: str) -> tuple[str, str]:
    system, _, code = text.partition("|")
    return system, code


def graver(risk: Risk, before: Sequence[Risk]) -> bool:
    """True where this danger was not told before, or less gravely."""
    known = [_LEVELS.index(each.level) for each in before if each.rule == risk.rule]
    return _LEVELS.index(risk.level) > max(known, default=0)


def _tier(rule: Mapping[str, Any], questionnaire: Json, response: Json) -> Mapping[str, Any] | None:
    every = items(questionnaire)
    enabling = Enabling(questionnaire, response)
    by_name: dict[str, list[Item]] = {}
    for item in every.values():
        for name in {item.link_id, *(code for _, code in item.codings())}:
            by_name.setdefault(name, []).append(item)

    def holds(condition: Mapping[str, Any]) -> bool:
        weighing = {"weights": _DATA["answers"], "method": "sum"}
        weights = [
            gravest_weight(weighing, questionnaire, item, response)
            for item in by_name.get(condition["item"], ())
            if enabling.enabled(item)
        ]
        return max(weights, default=Decimal(0)) >= int(condition["at_least"])

    tiers: Sequence[Mapping[str, Any]] = rule["tiers"]
    for tier in tiers:
        if all(map(holds, tier["all"])) if "all" in tier else any(map(holds, tier["any"])):
            return tier
    return None
