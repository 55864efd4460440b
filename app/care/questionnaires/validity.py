"""Is a QuestionnaireResponse a valid answer to its Questionnaire?

linkIds and nesting, types, answer options and open choice, repeats, enableWhen, required, length, bounds and
read-only items. A response in progress or stopped may lack answers; what is there must still be right.
Pinned: hl7.org/fhir/R4/questionnaireresponse.html#10.16.3. Pure; neighbour: `guard`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from app.care.questionnaires.enabling import Enabling, same
from app.care.questionnaires.items import Item, Json, coding_key, extension, given, items, value
from app.errors import Issue, IssueCode

_BASE: Final = "http://hl7.org/fhir/StructureDefinition/"
_FINISHED: Final = frozenset({"completed", "amended"})
_IGNORED: Final = frozenset({"entered-in-error"})
_TYPES: Final[Mapping[str, tuple[str, ...]]] = {
    "boolean": ("valueBoolean",),
    "decimal": ("valueDecimal", "valueInteger"),
    "integer": ("valueInteger",),
    "date": ("valueDate",),
    "dateTime": ("valueDateTime",),
    "time": ("valueTime",),
    "string": ("valueString",),
    "text": ("valueString",),
    "url": ("valueUri",),
    "choice": ("valueCoding",),
    "open-choice": ("valueCoding", "valueString"),
    "attachment": ("valueAttachment",),
    "reference": ("valueReference",),
    "quantity": ("valueQuantity",),
}
_WITHOUT_ANSWER: Final = frozenset({"group", "display"})

ValueSets = Mapping[str, Collection[tuple[str, str]]]
"""Canonical URL of an answerValueSet to the (system, code) in it; absent where it is not known here."""


def check(
    questionnaire: Json, response: Json, value_sets: ValueSets, previous: Json | None = None
) -> list[Issue]:
    """Every fault of a response, each with its place; [] for a valid one.

    previous: the version that it replaces, whose read-only answers must stay.
    """
    if response.get("status") in _IGNORED:
        return []
    return list(_Check(questionnaire, response, value_sets, previous).faults())


class _Check:
    def __init__(
        self, questionnaire: Json, response: Json, value_sets: ValueSets, previous: Json | None
    ) -> None:
        self._items = items(questionnaire)
        self._questionnaire = questionnaire
        self._response = response
        self._value_sets = value_sets
        self._enabling = Enabling(questionnaire, response)
        self._finished = response.get("status") in _FINISHED
        self._before = {} if previous is None else _answers(previous)

    def faults(self) -> Iterator[Issue]:
        yield from self._level(
            self._response, self._questionnaire.get("item", ()), "QuestionnaireResponse"
        )

    def _level(self, holder: Json, asked: Any, path: str) -> Iterator[Issue]:
        """One level: the items given in `holder` against the items asked there."""
        here = {each["linkId"] for each in asked}
        count: dict[str, int] = {}
        for position, source in enumerate(holder.get("item", ())):
            where, link_id = f"{path}.item[{position}]", source["linkId"]
            item = self._items.get(link_id)
            if item is None or link_id not in here:
                what = "asks no such item" if item is None else "asks this item in another place"
                yield _issue(f"The Questionnaire {what}.", f"{where}.linkId")
                continue
            count[link_id] = count.get(link_id, 0) + 1
            if count[link_id] > 1 and not (item.type == "group" and item.repeats):
                yield _issue("Answer this item once, with all its answers.", f"{where}.linkId")
            yield from self._item(item, source, where)
        for each in asked:
            item = self._items[each["linkId"]]
            if not self._finished or not item.required or not self._enabling.enabled(item):
                continue
            if not any(_answered(s) for s in holder.get("item", ()) if s["linkId"] == item.link_id):
                yield Issue(
                    IssueCode.REQUIRED,
                    f"The question {item.link_id} needs an answer before the response is completed.",
                    (path,),
                )

    def _item(self, item: Item, source: Json, where: str) -> Iterator[Issue]:
        answers = source.get("answer", ())
        if not self._enabling.enabled(item):
            if _answered(source):
                yield _issue("Other answers rule this question out; leave it empty.", where)
            return
        if item.type in _WITHOUT_ANSWER:
            if answers:
                yield _issue(f"A {item.type} has no answer.", f"{where}.answer")
            yield from self._level(source, item.source.get("item", ()), where)
            return
        if source.get("item"):
            yield _issue("Put what belongs to a question beneath its answer.", f"{where}.item")
        yield from self._count(item, answers, where)
        for number, answer in enumerate(answers):
            place = f"{where}.answer[{number}]"
            yield from self._answer(item, answer, place)
            yield from self._level(answer, item.source.get("item", ()), place)
        yield from self._read_only(item, answers, where)

    def _count(self, item: Item, answers: Any, where: str) -> Iterator[Issue]:
        if len(answers) > 1 and not item.repeats:
            yield _issue("This question takes one answer.", f"{where}.answer")
        least = extension(item.source, f"{_BASE}questionnaire-minOccurs")
        most = extension(item.source, f"{_BASE}questionnaire-maxOccurs")
        if most is not None and len(answers) > most:
            yield _issue(f"This question takes at most {most} answers.", f"{where}.answer")
        if least is not None and self._finished and len(answers) < least:
            yield _issue(f"This question needs at least {least} answers.", f"{where}.answer")

    def _answer(self, item: Item, answer: Json, place: str) -> Iterator[Issue]:
        found = value(answer)
        if found is None:
            return
        name, content = found
        options = item.source.get("answerOption", ())
        allowed = _TYPES[item.type]
        if options and item.type in ("choice", "open-choice"):
            allowed = tuple({v[0] for option in options if (v := value(option))}) + allowed[1:]
        if name not in allowed:
            wanted = " or ".join(sorted(set(allowed)))
            yield _issue(f"Answer this question with {wanted}.", f"{place}.value")
            return
        free = item.type == "open-choice" and name == "valueString"
        if options and not free and not _offered(options, content):
            yield _issue("Choose one of the answers that are offered.", f"{place}.value")
        url = item.source.get("answerValueSet")
        codes = self._codes(url) if url and name == "valueCoding" else None
        if codes is not None and coding_key(content) not in codes:
            yield _issue("Choose one of the answers that are offered.", f"{place}.value")
        yield from _bounds(item, content, place)

    def _codes(self, url: str) -> Collection[tuple[str, str]] | None:
        if url.startswith("#"):
            for each in self._questionnaire.get("contained", ()):
                if each.get("id") == url[1:]:
                    return value_set_codes(each)
            return None
        return self._value_sets.get(url)

    def _read_only(self, item: Item, answers: Any, where: str) -> Iterator[Issue]:
        if not item.source.get("readOnly"):
            return
        now = [v[1] for each in answers if (v := value(each))]
        initial = [v[1] for each in item.source.get("initial", ()) if (v := value(each))]
        expected = self._before.get(item.link_id, initial)
        if expected and (
            len(expected) != len(now)
            or not all(same(a, b) for a, b in zip(expected, now, strict=True))
        ):
            yield _issue("This answer is not for the respondent to change.", f"{where}.answer")


def _answers(response: Json) -> dict[str, list[Any]]:
    return {
        each.link_id: [v[1] for answer in each.answers if (v := value(answer))]
        for each in given(response)
    }


def _answered(source: Json) -> bool:
    """True where an item, or something in it, has an answer."""
    if any(value(answer) for answer in source.get("answer", ())):
        return True
    return any(_answered(each) for each in source.get("item", ()))


def _offered(options: Any, content: Any) -> bool:
    return any(same(content, found[1]) for option in options if (found := value(option)))


def value_set_codes(value_set: Json) -> Collection[tuple[str, str]] | None:
    """The (system, code) of a ValueSet that lists its concepts; None where it does not."""
    expansion = value_set.get("expansion", {}).get("contains")
    if expansion:
        return {coding_key(each) for each in expansion}
    includes = value_set.get("compose", {}).get("include", ())
    if not includes or not all("concept" in include for include in includes):
        return None
    return {
        (include.get("system", ""), concept["code"])
        for include in includes
        for concept in include["concept"]
    }


def _bounds(item: Item, content: Any, place: str) -> Iterator[Issue]:
    where = f"{place}.value"
    if isinstance(content, str):
        longest = item.source.get("maxLength")
        if longest is not None and len(content) > longest:
            yield _issue(f"Answer with at most {longest} characters.", where)
        shortest = extension(item.source, f"{_BASE}minLength")
        if shortest is not None and len(content) < shortest:
            yield _issue(f"Answer with at least {shortest} characters.", where)
    amount = content.get("value") if isinstance(content, dict) else content
    low, high = (
        extension(item.source, f"{_BASE}minValue"),
        extension(item.source, f"{_BASE}maxValue"),
    )
    if low is not None and _below(amount, low):
        yield _issue("The answer is below the least that is possible.", where)
    if high is not None and _below(high, amount):
        yield _issue("The answer is above the most that is possible.", where)
    places = extension(item.source, f"{_BASE}maxDecimalPlaces")
    if places is not None and isinstance(amount, Decimal):
        exponent = amount.as_tuple().exponent
        if isinstance(exponent, int) and -exponent > places:
            yield _issue(f"Answer with at most {places} decimal places.", where)


def _below(left: Any, right: Any) -> bool:
    numbers = (int, Decimal)
    if isinstance(left, numbers) and isinstance(right, numbers):
        return left < right
    return isinstance(left, str) and isinstance(right, str) and left < right


def _issue(diagnostics: str, where: str) -> Issue:
    return Issue(IssueCode.BUSINESS_RULE, diagnostics, (where,))
