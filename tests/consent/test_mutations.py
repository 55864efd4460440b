"""The script that deletes conditions knows every one of them, and finds each where it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.storage import migrate
from tools.mutant import Mutant
from tools.mutations import POLICIES, PREDICATE, ROUTINES, mutants

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
