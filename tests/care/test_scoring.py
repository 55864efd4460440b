"""Scores against the published rules, each case computed by hand, missing answers included."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from app.care.questionnaires.scoring import INSTRUMENTS, Score, scores
from app.fhir_mappings import json_text
from tests.care.instruments import (
    FREQUENCY,
    ITEM_WEIGHT,
    booleans,
    numbered,
    phq9,
    phq9_answers,
    questionnaire,
    response,
)
from tests.official_examples import examples

GATE = {"enableWhen": [{"question": "1", "operator": "=", "answerBoolean": True}]}


def score(asked: dict[str, Any], answers: dict[str, Any]) -> Score:
    (found,) = scores(asked, response(answers))
    return found


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ((0, 0, 0, 0, 0, 0, 0, 0, 0), 0),
        ((3, 3, 3, 3, 3, 3, 3, 3, 3), 27),
        ((2, 2, 1, 2, 1, 1, 2, 1, 0), 12),
        ((1, 1, 1, 1, 1, 1, 1, 1, None), 9),  # 8 of 9: 8 * 9 / 8
        ((3, 2, 1, 0, 3, 2, 1, None, None), 15),  # 7 of 9: 12 * 9 / 7 = 15.43
        ((1, 1, 1, 1, 1, 1, 0, None, None), 8),  # 6 * 9 / 7 = 7.71
        ((3, 3, 3, 3, 3, 3, None, None, None), None),  # three missing: no score
        ((None,) * 9, None),
    ],
)
def test_phq_9(weights: tuple[int | None, ...], expected: int | None) -> None:
    found = score(phq9(), phq9_answers(*weights))
    assert found.value == expected
    assert found.code == "44261-6"
    assert found.prorated is (expected is not None and None in weights)


@pytest.mark.parametrize(
    ("total", "cutoff"), [(4, None), (5, 5), (9, 5), (10, 10), (15, 15), (20, 20), (27, 20)]
)
def test_phq_9_severity(total: int, cutoff: int | None) -> None:
    weights = [min(3, max(0, total - 3 * n)) for n in range(9)]
    assert score(phq9(), phq9_answers(*weights)).cutoff == cutoff


def test_weights_of_r5_and_of_the_table_count_the_same() -> None:
    answers = phq9_answers(3, 2, 1, 0, 3, 2, 1, 0, 1)
    assert score(phq9(ITEM_WEIGHT), answers).value == 13
    assert score(phq9(weighted=False), answers).value == 13


def test_a_weight_that_only_the_answer_states_counts() -> None:
    asked = numbered("101697-1", 20, 4)
    for item in asked["item"]:
        del item["answerOption"]
        item["answerValueSet"] = "http://example.org/vs"
    coding = {"code": "often", "extension": [{"url": ITEM_WEIGHT, "valueDecimal": 2}]}
    answers = {f"{n}": {"valueCoding": coding} for n in range(1, 21)}
    assert score(asked, answers).value == 40


def test_the_questionnaires_weight_goes_before_the_answers_own() -> None:
    coding = {
        "system": "http://loinc.org",
        "code": FREQUENCY[3],
        "extension": [{"url": ITEM_WEIGHT, "valueDecimal": 0}],
    }
    answers = phq9_answers(0, 0, 0, 0, 0, 0, 0, 0) | {"item-9": {"valueCoding": coding}}
    assert score(phq9(), answers).value == 3


@pytest.mark.parametrize(
    ("code", "count", "highest", "expected_code"),
    [("69737-5", 7, 3, "70274-6"), ("101697-1", 20, 4, "101698-9"), ("72109-2", 3, 4, "75626-2")],
)
def test_sums_without_a_rule_for_missing_answers(
    code: str, count: int, highest: int, expected_code: str
) -> None:
    asked = numbered(code, count, highest)
    everything = {f"{n}": f"a{highest}" for n in range(1, count + 1)}
    found = score(asked, everything)
    assert (found.code, found.value) == (expected_code, count * highest)
    everything.pop(f"{count}")
    assert score(asked, everything).value is None
    assert score(asked, everything).answered == count - 1


def test_pcl_5_sums_to_forty() -> None:
    found = score(numbered("101697-1", 20, 4), {f"{n}": "a2" for n in range(1, 21)})
    assert (found.value, found.cutoff) == (40, 33)


@pytest.mark.parametrize(("yes", "cutoff"), [(2, None), (3, 3), (4, 4), (5, 4)])
def test_pc_ptsd_5(yes: int, cutoff: int | None) -> None:
    asked = booleans("102010-6", 6, **{f"i{n}": GATE for n in range(2, 7)})
    answers = {"1": True} | {f"{n}": n < yes + 2 for n in range(2, 7)}
    found = score(asked, answers)
    assert (found.value, found.cutoff) == (yes, cutoff)


def test_pc_ptsd_5_ends_with_nothing_where_there_was_no_such_event() -> None:
    asked = booleans("102010-6", 6, **{f"i{n}": GATE for n in range(2, 7)})
    assert score(asked, {"1": False}).value == 0


def test_audit_c_counts_nothing_for_who_never_drinks() -> None:
    asked = numbered("72109-2", 3, 4)
    for item in asked["item"][1:]:
        item["enableWhen"] = [
            {
                "question": "1",
                "operator": "!=",
                "answerCoding": {"system": "http://loinc.org", "code": "a0"},
            }
        ]
    assert score(asked, {"1": "a0"}).value == 0
    assert score(asked, {"1": "a1"}).value is None
    assert score(asked, {"1": "a1", "2": "a2", "3": "a1"}).value == 4


def test_dast_10_turns_its_third_question() -> None:
    asked = booleans("82666-9", 10)
    nothing = {f"{n}": n == 3 for n in range(1, 11)}
    assert score(asked, nothing).value == 0
    assert score(asked, {name: not value for name, value in nothing.items()}).value == 10
    assert score(asked, nothing | {"3": False}).value == 1


def test_dast_10_does_not_turn_a_weight_that_is_stated() -> None:
    asked = numbered("82666-9", 10, 1)
    assert score(asked, {f"{n}": "a1" for n in range(1, 11)}).value == 10


@pytest.mark.parametrize(
    ("answers", "mean"),
    [((4, 5, 5), "4.7"), ((0, 0, 0), "0.0"), ((10, 9, 9), "9.3"), ((1, 2, 2), "1.7")],
)
def test_peg_is_a_mean(answers: tuple[int, ...], mean: str) -> None:
    asked = questionnaire("91148-7", [{"linkId": f"{n}", "type": "integer"} for n in range(3)])
    found = score(asked, {f"{n}": v for n, v in enumerate(answers)})
    assert str(found.value) == mean


def test_promis_global_gives_two_t_scores() -> None:
    asked = questionnaire(
        "85524-7",
        [
            {"linkId": f"global{n:02}", "type": "integer" if n == 7 else "choice"}
            | ({} if n == 7 else {"answerOption": numbered("", 1, 5)["item"][0]["answerOption"]})
            for n in range(1, 11)
        ],
    )
    answers: dict[str, Any] = {f"global{n:02}": "a3" for n in range(1, 11)} | {"global07": 4}
    found = {each.code: each.value for each in scores(asked, response(answers))}
    # 3 + 3 + 3 (pain 4 to 6) + 3 = 12 physical; 3 * 4 = 12 mental
    assert found == {"71971-6": Decimal("39.8"), "71969-0": Decimal("43.5")}
    best = dict.fromkeys(answers, "a5") | {"global07": 0}
    found = {each.code: each.value for each in scores(asked, response(best))}
    assert found == {"71971-6": Decimal("67.7"), "71969-0": Decimal("67.6")}


def test_the_official_phq_9_example_scores() -> None:
    (content,) = [c for name, c in examples() if name == "Questionnaire-phq-9-questionnaire.json"]
    asked = json_text.parse(content, max_depth=50)
    names = [item["linkId"] for item in asked["item"] if item["type"] == "choice"]
    # Eight of the nine items, and a question about difficulty that does not count.
    answers: dict[str, Any] = {name: FREQUENCY[2] for name in names if name != "Difficulty"}
    assert len(answers) == 8
    found = score(asked, answers | {"Difficulty": FREQUENCY[3], "TotalScore": 16})
    assert (found.value, found.answered, found.prorated) == (18, 8, True)


@pytest.mark.parametrize(
    ("answered", "expected"),
    [
        # By the rule that one or two missing answers stand at the mean of the others.
        ((2, 2, 2, 2, 2, 2, 2, 2), 18),  # 16 and a ninth of 2
        ((1, 0, 0, 0, 0, 0, 0, 0), 1),  # 1 and 0.125
        ((3, 3, 3, 3, 0, 0, 0, 0), 14),  # 12 and 1.5: 13.5, a half goes up
        ((0, 0, 0, 0, 0, 0, 1), 1),  # 1 and 2 * 0.143: 1.29
        ((3, 3, 3, 3, 3, 3, 3), 27),  # 21 and 2 * 3
        ((2, 1, 2, 1, 2, 1, 2), 14),  # 11 and 2 * 1.571: 14.14
    ],
)
def test_phq_9_with_answers_missing_by_hand(answered: tuple[int, ...], expected: int) -> None:
    found = score(phq9(), phq9_answers(*answered))
    assert (found.value, found.answered, found.prorated) == (expected, len(answered), True)


@pytest.mark.parametrize("missing", range(1, 10))
def test_a_missing_answer_is_the_same_wherever_it_is(missing: int) -> None:
    answers = phq9_answers(*[2] * 9)
    del answers[f"item-{missing}"]
    assert score(phq9(), answers).value == 18


@pytest.mark.parametrize(
    ("code", "count", "given", "expected", "cutoff"),
    [
        ("69737-5", 7, (0, 1, 2, 3, 2, 1, 0), 9, 5),
        ("69737-5", 7, (1, 1, 1, 1, 1, 0, 0), 5, 5),
        ("69737-5", 7, (1, 1, 1, 1, 0, 0, 0), 4, None),
        ("69737-5", 7, (3, 3, 3, 1, 0, 0, 0), 10, 10),
        ("69737-5", 7, (3, 3, 3, 3, 3, 0, 0), 15, 15),
        ("69737-5", 7, (3, 3, 3, 3, 3, 3), None, None),  # one missing: no rule is published
        ("101697-1", 20, (1,) * 20, 20, None),
        ("101697-1", 20, (2,) * 15 + (0,) * 5, 30, None),
        ("101697-1", 20, (2,) * 15 + (1,) + (0,) * 4, 31, 31),
        ("101697-1", 20, (2,) * 16 + (1,) + (0,) * 3, 33, 33),
        ("101697-1", 20, (4,) * 19, None, None),
        ("72109-2", 3, (1, 0, 1), 2, None),
        ("72109-2", 3, (1, 1, 1), 3, 3),
        ("72109-2", 3, (2, 1, 1), 4, 4),
        ("72109-2", 3, (4, 4), None, None),
    ],
)
def test_sums_and_cuts_by_hand(
    code: str, count: int, given: tuple[int, ...], expected: int | None, cutoff: int | None
) -> None:
    answers = {f"{n}": f"a{weight}" for n, weight in enumerate(given, start=1)}
    found = score(numbered(code, count, 4), answers)
    assert (found.value, found.cutoff) == (expected, cutoff)
    assert not found.prorated


@pytest.mark.parametrize(
    ("yes", "expected", "cutoff"),
    [
        ((), 1, 1),  # a no to the third question alone
        ((3,), 0, None),
        ((1, 3), 1, 1),
        ((1, 2), 3, 3),
        ((1, 2, 4, 5, 6), 6, 6),
        ((1, 2, 4, 5, 6, 7, 8, 9), 9, 9),
        ((1, 2, 3, 4, 5, 6, 7, 8, 9, 10), 9, 9),
    ],
)
def test_dast_10_by_hand(yes: tuple[int, ...], expected: int, cutoff: int | None) -> None:
    found = score(booleans("82666-9", 10), {f"{n}": n in yes for n in range(1, 11)})
    assert (found.value, found.cutoff) == (expected, cutoff)


@pytest.mark.parametrize(
    ("pain", "others", "expected"),
    [
        # Pain 0, 1-3, 4-6, 7-9, 10 counts 5, 4, 3, 2, 1; with three others of 3 the raw sum is 14 to 10.
        (0, 3, "44.9"),
        (1, 3, "42.3"),
        (3, 3, "42.3"),
        (4, 3, "39.8"),
        (6, 3, "39.8"),
        (7, 3, "37.4"),
        (9, 3, "37.4"),
        (10, 3, "34.9"),
        (10, 1, "16.2"),
    ],
)
def test_promis_physical_health_by_hand(pain: int, others: int, expected: str) -> None:
    options = numbered("", 1, 5)["item"][0]["answerOption"]
    names = ("global03", "global06", "global08")
    asked = questionnaire(
        "85524-7",
        [
            {"linkId": "global07", "type": "integer"},
            *({"linkId": n, "type": "choice", "answerOption": options} for n in names),
        ],
    )
    answers: dict[str, Any] = dict.fromkeys(names, f"a{others}") | {"global07": pain}
    found = {each.code: each.value for each in scores(asked, response(answers))}
    assert found["71971-6"] == Decimal(expected)
    assert found["71969-0"] is None


def test_every_instrument_says_why_and_where_from_and_has_what_it_needs() -> None:
    for each in INSTRUMENTS:
        assert each["because"]
        assert each["sources"]
        if any(code.startswith("http://loinc.org") for code in each.get("codes", ())):
            assert any("doi:10." in source for source in each["sources"]), each["name"]
        assert each["codes"] if "codes" in each else each["urls"]
        low, high = each["range"]
        assert low < high
    assert len({json.dumps(each["score"]) for each in INSTRUMENTS}) == len(INSTRUMENTS)


def test_no_score_leaves_the_range_of_its_instrument() -> None:
    for code, count, highest in (("44249-1", 9, 3), ("69737-5", 7, 3), ("101697-1", 20, 4)):
        (rule,) = [e for e in INSTRUMENTS if f"http://loinc.org|{code}" in e.get("codes", ())]
        asked = phq9() if code == "44249-1" else numbered(code, count, highest)
        names = [item["linkId"] for item in asked["item"]]
        for each in (0, -1):
            answers = {
                item["linkId"]: item["answerOption"][each]["valueCoding"]["code"]
                for item in asked["item"]
            }
            assert score(asked, answers).value in rule["range"]
        assert len(names) == count
