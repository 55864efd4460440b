"""The script that deletes conditions knows every one, finds each where it stands, and tells what missed it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.storage import migrate
from tools import place_mutations
from tools.mutant import POLICIES, ROUTINES, Mutant
from tools.mutant_runs import Run
from tools.mutants import Verdict, tried
from tools.mutations import PREDICATE, mutants

ROOT = Path(__file__).parents[2]
MUTANTS = mutants(ROOT)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda each: each.name)
def test_what_is_deleted_stands_where_it_is_looked_for(mutant: Mutant) -> None:
    text = (ROOT / mutant.path).read_text()
    assert mutant.applied(text) != text


def test_each_deletion_has_a_name_of_its_own() -> None:
    assert len({each.name for each in MUTANTS}) == len(MUTANTS)


def test_every_column_of_a_grant_that_the_predicate_asks_about_is_deleted_once() -> None:
    text = (ROOT / PREDICATE).read_text()
    granted = text[text.index("def _granted") : text.index("def _facts")]
    # Whether a grant is plain decides which conditions are asked, all of which are deleted.
    asked = set(re.findall(r"\bg\.(\w+)", granted)) - {"plain"}
    deleted = "\n".join(each.old for each in MUTANTS if each.path == PREDICATE)
    assert asked <= set(re.findall(r"\bg\.(\w+)", deleted))


def test_every_policed_table_has_its_policy_deleted() -> None:
    names = {each.name for each in MUTANTS if each.path == POLICIES}
    # Memberships make the closure itself, before a caller is known: they are open to the service.
    policed = set(migrate.SURVIVOR_TABLES) - {"membership"}
    assert {f"policy of {table}" for table in policed} <= names


def test_every_operator_of_a_residual_is_deleted() -> None:
    text = (ROOT / ROUTINES).read_text()
    known = set(re.findall(r"WHEN '(\w+)' THEN", text[: text.index("tl.co_granted(")]))
    names = {each.name for each in MUTANTS if each.path == ROUTINES}
    assert {f"residual {name}, always true" for name in known} <= names


def test_every_module_that_asks_the_predicate_has_its_places_deleted() -> None:
    # The policies have mutants of their own.
    asking = {f"app/storage/{name}.py" for name in place_mutations.modules(ROOT) - {"migrate"}}
    assert asking <= {each.path for each in place_mutations.mutants(ROOT)}


def test_a_place_that_is_not_deleted_is_one_that_stands() -> None:
    assert place_mutations.gone(ROOT) == set()


class _Ground:
    """Tests that fail by what they are told. unsound: those that fail with nothing deleted too."""

    def __init__(self, noticing: dict[str, Run], unsound: Sequence[str] = ()) -> None:
        self.asked: list[str] = []
        self._noticing = noticing
        self._unsound = unsound

    @contextmanager
    def without(self, _: Mutant) -> Iterator[None]:
        yield

    def run(self, tests: Sequence[str], _: str) -> Run:
        self.asked += tests
        return self._noticing.get(tests[0], Run(1))

    def is_sound(self, tests: Sequence[str]) -> bool:
        return tests[0] not in self._unsound

    def told(self) -> str:
        return ""


FAILED = Run(1, "b.py::test_that_notices", "assert 1 == 0")
GONE = Mutant("a condition", PREDICATE, "old", first=("a.py",))


def _tried(ground: _Ground, known: str | None = None) -> Verdict:
    return tried(GONE, ground, known, ("b.py", "c.py"))  # type: ignore[arg-type]


def test_the_test_that_noticed_last_time_is_asked_first_and_others_where_it_does_not() -> None:
    known = "b.py::test_that_notices"
    ground = _Ground({known: FAILED})
    assert _tried(ground, known) == Verdict(0, "killed", killer=known)
    assert ground.asked == [known]
    ground = _Ground({"b.py": FAILED})
    assert _tried(ground, "c.py::test_of_yore") == Verdict(0, "killed", killer=known)
    assert ground.asked == ["c.py::test_of_yore", "a.py", "b.py"]


def test_a_deletion_that_no_test_misses_survives() -> None:
    ground = _Ground({})
    assert _tried(ground).word == "SURVIVES"
    assert ground.asked == ["a.py", "b.py", "c.py"]


def test_a_text_that_cannot_run_and_a_test_that_fails_anyway_kill_nothing() -> None:
    nonsense = Run(1, "b.py::test", "asyncpg.exceptions.UndefinedColumnError: column x.y")
    assert _tried(_Ground({"b.py": nonsense})).word == "BROKEN (UndefinedColumnError)"
    assert _tried(_Ground({"b.py": FAILED}, unsound=["b.py"])).word.startswith("UNTRIED")
