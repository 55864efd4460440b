"""Questionnaires for tests: the structure of published instruments without a word of theirs."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

LOINC = "http://loinc.org"
ORDINAL = "http://hl7.org/fhir/StructureDefinition/ordinalValue"
ITEM_WEIGHT = "http://hl7.org/fhir/StructureDefinition/itemWeight"
PHQ9_ITEMS = (
    *("44250-9", "44255-8", "44259-0", "44254-1", "44251-7", "44258-2", "44252-5", "44253-3"),
    "44260-8",
)
FREQUENCY = ("LA6568-5", "LA6569-3", "LA6570-1", "LA6571-9")


def option(code: str, weight: int | None = None, url: str = ORDINAL) -> Json:
    coding: Json = {"system": LOINC, "code": code}
    if weight is not None:
        coding["extension"] = [{"url": url, "valueDecimal": weight}]
    return {"valueCoding": coding}


def questionnaire(code: str | None, items: list[Json], **more: Any) -> Json:
    made: Json = {"resourceType": "Questionnaire", "status": "active", "item": items}
    if code:
        made["code"] = [{"system": LOINC, "code": code}]
    return made | more


def response(answers: dict[str, Any], of: str = "Questionnaire/q", **more: Any) -> Json:
    """A completed flat response; answers: linkId to a LOINC code, bool, number, or an answer element."""
    return {
        "resourceType": "QuestionnaireResponse",
        "status": "completed",
        "questionnaire": of,
        "item": [{"linkId": name, "answer": [answer(v)]} for name, v in answers.items()],
    } | more


def answer(value: Any) -> Json:
    match value:
        case bool():
            return {"valueBoolean": value}
        case int():
            return {"valueInteger": value}
        case str():
            return {"valueCoding": {"system": LOINC, "code": value}}
        case _:
            return dict(value)


def phq9(url: str = ORDINAL, *, weighted: bool = True) -> Json:
    weights: list[int | None] = [0, 1, 2, 3] if weighted else [None] * 4
    return questionnaire(
        "44249-1",
        [
            {
                "linkId": f"item-{number}",
                "code": [{"system": LOINC, "code": code}],
                "type": "choice",
                "answerOption": [
                    option(c, w, url) for c, w in zip(FREQUENCY, weights, strict=True)
                ],
            }
            for number, code in enumerate(PHQ9_ITEMS, start=1)
        ],
    )


def phq9_answers(*weights: int | None) -> dict[str, Any]:
    return {
        f"item-{number}": FREQUENCY[weight]
        for number, weight in enumerate(weights, start=1)
        if weight is not None
    }


def numbered(code: str, count: int, highest: int) -> Json:
    """An instrument of weighted choices `a0`, `a1` …, each weighing its number."""
    options = [option(f"a{weight}", weight) for weight in range(highest + 1)]
    items = [
        {"linkId": f"{n}", "type": "choice", "answerOption": options} for n in range(1, count + 1)
    ]
    return questionnaire(code, items)


def booleans(code: str, count: int, **conditions: Json) -> Json:
    """An instrument of yes-or-no questions; conditions: more for an item, as `i2={…}`."""
    items = [
        {"linkId": f"{n}", "type": "boolean"} | conditions.get(f"i{n}", {})
        for n in range(1, count + 1)
    ]
    return questionnaire(code, items)
