"""Which items of a Questionnaire a response is asked: enableWhen (hl7.org/fhir/R4/questionnaire.html).

An item inside a disabled one is disabled; the answer to a disabled question enables nothing. Pure.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from app.care.questionnaires.items import Item, Json, coding_key, given, items, value

_ORDERED: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}


class Enabling:
    """Whether each item is enabled by one response."""

    def __init__(self, questionnaire: Json, response: Json) -> None:
        self._items = items(questionnaire)
        self._answers: dict[str, list[Json]] = {}
        for each in given(response):
            self._answers.setdefault(each.link_id, []).extend(each.answers)
        self._known: dict[str, bool] = {}

    def enabled(self, item: Item) -> bool:
        """True where the item is to be answered; a circle of conditions enables nothing."""
        known = self._known.get(item.link_id)
        if known is None:
            self._known[item.link_id] = False
            known = (item.parent is None or self.enabled(item.parent)) and self._own(item)
            self._known[item.link_id] = known
        return known

    def _own(self, item: Item) -> bool:
        conditions = item.source.get("enableWhen", ())
        if not conditions:
            return True
        verdicts = [self._holds(each) for each in conditions]
        return any(verdicts) if item.source.get("enableBehavior") == "any" else all(verdicts)

    def _holds(self, condition: Json) -> bool:
        question = self._items.get(condition["question"])
        asked = question is not None and self.enabled(question)
        answers = self._answers.get(condition["question"], []) if asked else []
        values = [found[1] for each in answers if (found := value(each))]
        expected = _expected(condition)
        match condition["operator"]:
            case "exists":
                return bool(values) == bool(expected)
            case "=":
                return any(same(each, expected) for each in values)
            case "!=":
                return bool(values) and not any(same(each, expected) for each in values)
            case name:
                return any(_compares(_ORDERED[name], each, expected) for each in values)


def _expected(condition: Json) -> Any:
    return next((v for name, v in condition.items() if name.startswith("answer")), None)


def same(left: Any, right: Any) -> bool:
    """Equality of two answers of one type: Codings by system and code, References by what they name."""
    if isinstance(left, dict) and isinstance(right, dict):
        if "code" in left or "code" in right:
            unit = left.get("value") == right.get("value")
            return coding_key(left) == coding_key(right) and unit
        if "reference" in left or "reference" in right:
            return bool(left.get("reference") == right.get("reference"))
        return left == right
    return (type(left) is type(right) and bool(left == right)) or _number(left, right)


def _number(left: Any, right: Any) -> bool:
    numbers = (int, Decimal)
    plain = not isinstance(left, bool) and not isinstance(right, bool)
    return plain and isinstance(left, numbers) and isinstance(right, numbers) and left == right


def _compares(compare: Callable[[Any, Any], bool], left: Any, right: Any) -> bool:
    if isinstance(left, dict) and isinstance(right, dict):
        if left.get("code", left.get("unit")) != right.get("code", right.get("unit")):
            return False
        left, right = left.get("value"), right.get("value")
    numbers = (int, Decimal)
    if isinstance(left, numbers) and isinstance(right, numbers):
        return compare(left, right)
    # Dates and times of FHIR order as text where they have the same precision and zone.
    return isinstance(left, str) and isinstance(right, str) and compare(left, right)
