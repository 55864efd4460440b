"""The clock that decides: later of the machine's and what has passed since the start."""

from __future__ import annotations

import ast
import logging
from pathlib import Path

import pytest

from app.clock import Clock

APP = Path(__file__).parents[2] / "app"
START = 1_800_000_000.0


class Machine:
    """A machine's two clocks: the one that is set, and the one that only runs."""

    def __init__(self) -> None:
        self.told, self.passed = START, 100.0

    def run(self, seconds: float) -> None:
        self.told += seconds
        self.passed += seconds


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    monkeypatch.setattr("app.clock.time.time", lambda: made.told)
    monkeypatch.setattr("app.clock.time.monotonic", lambda: made.passed)
    return made


def test_a_clock_that_is_set_back_does_not_turn_time_back(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    machine.run(10)
    machine.told -= 3600
    with caplog.at_level(logging.WARNING):
        assert clock.now() == START + 10
        machine.run(5)
        assert clock.now() == START + 15
    assert [r.message for r in caplog.records if "set back by 3600" in r.message] != []
    assert len(caplog.records) == 1, "it is said once"


def test_a_clock_that_was_ahead_by_mistake_is_followed_back(machine: Machine) -> None:
    clock = Clock()
    machine.told += 3600
    assert clock.now() == START + 3600
    machine.run(60)
    machine.told -= 3600
    assert clock.now() == START + 60


def test_a_clock_that_stays_ahead_is_believed(machine: Machine) -> None:
    clock = Clock()
    machine.told += 86_400  # the machine slept
    for _ in range(61):
        assert clock.now() == machine.told
        machine.run(60)
    clock.now()
    machine.told -= 7200
    assert clock.now() == machine.told + 7200, "and not turned back any more"


def test_small_corrections_are_followed_both_ways(machine: Machine) -> None:
    clock = Clock()
    for correction in (-2.0, -2.0, -2.0, 2.0):
        machine.told += correction
        machine.run(1)
        clock.now()
    assert clock.now() == pytest.approx(machine.told, abs=2.1)


def test_no_other_module_asks_the_time_of_day_of_the_machine() -> None:
    asking = [
        f"{file.relative_to(APP)}:{node.lineno}"
        for file in APP.rglob("*.py")
        if file.name != "clock.py"
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute)
        and node.attr == "time"
        and isinstance(node.value, ast.Name)
        and node.value.id == "time"
    ]
    assert asking == [], "use app.clock.now(), or time.monotonic() for a duration"
