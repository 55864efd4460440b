"""What compiling takes grows with how unlike a survivor's Consents are, not with how many there are.

Steps are counted, not timed. That fewer steps mean the same is the oracle's
business: tests/consent/test_against_oracle.py.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from app.consent import compile as compiler
from app.consent.algebra import Region
from app.consent.compile import compile_grants
from app.consent.model import CUSTODIAN, Grant, StoredConsent
from app.consent.subtraction import Denial, subtract
from app.ids import Rid
from app.interactions.grants import TERMS
from bench.records import ORGANIZATIONS, consent, organization_id
from tests.consent.rows import store

NOW = datetime(2026, 3, 1, tzinfo=UTC)
PATIENT = Rid(900)
RESOLVE = {f"Organization/{organization_id(n)}": Rid(n + 1) for n in range(ORGANIZATIONS)}


def like(number: int) -> dict[str, Any]:
    """Consents that name other recipients each, with the same two exceptions."""
    return consent(6, number)


def unlike(number: int) -> dict[str, Any]:
    """Exceptions of five kinds."""
    return consent(number % 8, number)


def ending(number: int) -> dict[str, Any]:
    """The same, each until another day."""
    made = consent(number % 8, number)
    made["provision"]["period"]["end"] = f"{2027 + number % 70}-0{1 + number % 9}-01"
    return made


def compiled(
    of: Callable[[int], dict[str, Any]], count: int, patch: pytest.MonkeyPatch
) -> tuple[tuple[Grant, ...], int]:
    """The grants of so many Consents, and how often a deny was taken from a region."""
    steps = 0

    def counting(region: Region, denial: Denial, room: int, spare: int) -> list[Region]:
        nonlocal steps
        steps += 1
        return subtract(region, denial, room, spare)

    patch.setattr(compiler, "subtract", counting)
    patient = {"patient": {"reference": "Patient/p"}}
    stored = [StoredConsent(Rid(1000 + n), Rid(500), None, of(n) | patient) for n in range(count)]
    grants = compile_grants(PATIENT, stored, (CUSTODIAN,), now=NOW, resolve=RESOLVE, terms=TERMS)
    return grants, steps


@pytest.mark.parametrize(
    ("of", "most_steps", "most_rows"), [(like, 300, 50), (unlike, 600, 60), (ending, 12_000, 150)]
)
def test_two_hundred_consents_take_few_steps_and_give_few_rows(
    of: Callable[[int], dict[str, Any]],
    most_steps: int,
    most_rows: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    grants, steps = compiled(of, 200, monkeypatch)
    assert steps <= most_steps, (steps, len(grants))
    assert len(grants) <= most_rows


def test_consents_that_say_the_same_of_other_recipients_cost_nothing_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, once = compiled(like, ORGANIZATIONS, monkeypatch)
    grants, steps = compiled(like, 5 * ORGANIZATIONS, monkeypatch)
    assert steps <= once
    assert not any(grant.residual for grant in grants)


@pytest.mark.parametrize("survivor", [1, 2, 3])
def test_whether_a_record_may_be_compiled_walks_no_store(
    owner: psycopg.Connection[Any], survivor: int
) -> None:
    """Asked twice for each Consent written: of the rows about the survivor, first or further data subject."""
    store(owner, co_subjects=[2])
    walks = "SELECT seq_scan FROM pg_stat_xact_user_tables WHERE relname = 'resource'"
    owner.execute("SET enable_seqscan = off")
    try:
        with owner.transaction():
            before = owner.execute(walks).fetchone()
            owner.execute("SELECT tl.may_compile(%s)", (survivor,))
            assert owner.execute(walks).fetchone() == before
    finally:
        owner.execute("RESET enable_seqscan")


@pytest.mark.parametrize(("survivor", "may"), [(1, True), (2, True), (3, False)])
def test_a_record_is_compiled_where_a_row_about_the_survivor_was_just_written(
    owner: psycopg.Connection[Any], survivor: int, may: bool
) -> None:
    asked = "SELECT tl.may_compile(%s)"
    with owner.transaction():
        store(owner, co_subjects=[2])
        assert owner.execute(asked, (survivor,)).fetchone() == (may,)
    assert owner.execute(asked, (survivor,)).fetchone() == (False,)
