"""The long comparison with the oracle goes on where it was ended, and cuts down what it finds."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.consent.evaluate import holds
from app.consent.model import Grant
from tests.consent import agreement
from tests.consent.agreement import Compared
from tests.consent.chance import Chance
from tests.consent.long import begin, examine, numbered, run
from tests.consent.oracle import ACT_CODE, ACT_REASON, Caller, Given, Thing
from tests.consent.questions import Asker, Question
from tests.consent.shrinking import shrink
from tests.consent.situations import CRITERIA, NOW, PATIENT, Situation
from tests.consent.situations import consent as drawn

SEED = 4
COUNTY, SHELTER = "Organization/county", "Organization/shelter"
RESOURCE_TYPES = "http://hl7.org/fhir/resource-types"


def consent(provision: dict[str, Any]) -> dict[str, Any]:
    return drawn(Chance(lambda bound: 0)) | {"provision": provision}


def state(progress: Path) -> dict[str, int]:
    found: dict[str, int] = json.loads(progress.read_text())
    return found


@pytest.fixture
def blind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Production without one of its conditions: nobody is excluded from a grant."""

    def without(grant: Grant, *asked: Any) -> bool:
        return holds(replace(grant, excluded=frozenset()), *asked)

    monkeypatch.setattr(agreement, "holds", without)


def test_a_situation_has_its_number_and_its_seed_only() -> None:
    assert numbered(SEED, 3) == numbered(SEED, 3)
    assert numbered(SEED, 3) not in (numbered(SEED, 4), numbered(SEED + 1, 2))


def test_a_run_goes_on_where_it_was_ended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    progress = tmp_path / "folder" / "fuzz.json"
    begin(progress, 8, SEED)
    assert run(progress, 3, 1) == 0
    begin(progress, 8, None)
    assert state(progress)["situations"] == 3
    assert run(progress, 8, 1) == 0
    whole = examine(SEED, range(8))
    assert state(progress) == {
        "seed": SEED,
        "situations": 8,
        "consents": whole.consents,
        "permits": whole.permits,
    }
    assert "8 situations" in capsys.readouterr().out.splitlines()[-1]


def test_after_a_whole_run_another_begins(tmp_path: Path) -> None:
    progress = tmp_path / "fuzz.json"
    begin(progress, 1, SEED)
    run(progress, 1, 1)
    begin(progress, 1, None)
    assert state(progress)["situations"] == 0
    assert state(progress)["seed"] != SEED


def test_several_processes_find_what_one_finds(tmp_path: Path) -> None:
    alone, together = tmp_path / "one.json", tmp_path / "two.json"
    for progress, processes in ((alone, 1), (together, 2)):
        begin(progress, 4, SEED)
        assert run(progress, 4, processes) == 0
    assert state(alone) == state(together)


@pytest.mark.usefixtures("blind")
def test_a_missing_condition_is_found_and_cut_down(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    progress = tmp_path / "fuzz.json"
    begin(progress, 1_000, SEED)
    assert run(progress, 1_000, 1) == 1
    told = capsys.readouterr().out
    assert f"seed {SEED}, situation " in told
    assert "oracle=False, grants=True" in told
    assert told.count('"recorder"') == 1


@pytest.mark.usefixtures("blind")
def test_only_what_a_difference_needs_is_left() -> None:
    permit = {
        "type": "permit",
        "purpose": [{"system": ACT_REASON, "code": code} for code in ("HRESCH", "TREAT")],
        "provision": [
            {"type": "deny", "class": [{"system": RESOURCE_TYPES, "code": "Observation"}]}
        ],
    }
    deny = {"type": "deny", "period": {"end": "2020"}}
    found = Situation(
        given=(Given(consent(deny), PATIENT), Given(consent(permit), COUNTY)),
        ceilings=(consent(deny),),
        rows=3,
        seed=0,
    )
    caller = Caller(frozenset({COUNTY, "Device/app"}), "HRESCH")
    thing = Thing("Condition/two", "Condition", SHELTER, ((ACT_CODE, "HIV"),), (NOW, NOW))
    smallest, question = shrink(found, Question(caller, thing, "access", NOW))
    assert smallest.given == (Given(consent({"type": "permit"}), COUNTY),)
    assert (smallest.ceilings, smallest.rows) == ((), 64)
    assert question.caller == Caller(frozenset({COUNTY}), "TREAT")
    assert question.thing == Thing("Condition/two", "Condition", SHELTER)


def test_every_criterion_is_drawn_and_both_answers_are_given() -> None:
    drawn: Counter[str] = Counter()
    answers: Counter[bool] = Counter()
    for number in range(40):
        compared = Compared(numbered(SEED, number))
        for aim in Asker(compared.situation.given, 0).aims:
            drawn.update(aim.path[-1].keys())
        answers.update(compared.answers(question).oracle for question in compared.questions())
    assert drawn.keys() >= CRITERIA.keys() | {"type", "provision"}
    assert min(answers[True], answers[False]) > 40
