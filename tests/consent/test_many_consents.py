"""What compiling takes grows with how unlike a survivor's Consents are, not with how many there are.

Steps are counted, not timed. That fewer steps mean the same is the oracle's
business: tests/consent/test_against_oracle.py.
"""

from __future__ import annotations

import sys
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
from app.fhir_mappings import registry
from app.ids import Rid
from app.interactions.grants import TERMS
from bench.records import ORGANIZATIONS, consent, organization_id
from tests.consent.rows import ENTRY, insert, store

NOW = datetime(2026, 3, 1, tzinfo=UTC)
PATIENT = Rid(900)
CONSENT_TYPE, TASK_TYPE = registry.type_code("Consent"), registry.type_code("Task")
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


def test_what_is_done_for_two_hundred_unlike_consents_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Calls of functions, whoever's: each deny is held against each region, but not against each other deny."""
    calls = 0

    def count(_: object, event: str, __: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    compiled(ending, 200, monkeypatch)  # the tables that are read once
    sys.setprofile(count)
    try:
        compiled(ending, 200, monkeypatch)
    finally:
        sys.setprofile(None)
    assert calls < 1_000_000


@pytest.mark.parametrize(
    "asked",
    [
        "tl.may_compile(1)",
        f"tl.in_doubt(1, {CONSENT_TYPE}::smallint)",
        f"tl.tasks_in_doubt(1, {TASK_TYPE}::smallint, {CONSENT_TYPE}::smallint)",
    ],
)
def test_what_is_asked_for_a_consent_just_written_reads_little_of_a_long_record(
    owner: psycopg.Connection[Any], asked: str
) -> None:
    """As much as there are Consents and Tasks about the survivor, however many rows refer to them."""
    fill = (
        "INSERT INTO tl.resource (rid, type, id, version, last_updated, deleted, open, patient, custodian, "
        "labels, codes, content) SELECT %(first)s + n, %(type)s, %(first)s || '-' || n, 1, now(), false, "
        "false, coalesce(%(patient)s, -n), 20, 16, '{}', '' FROM generate_series(1, 3000) n"
    )
    owner.execute(fill, {"first": 10_000, "type": ENTRY["type"], "patient": 1})
    owner.execute(fill, {"first": 20_000, "type": CONSENT_TYPE, "patient": None})
    owner.execute(
        "INSERT INTO tl.link (source, target, parameter, climbs, author) "
        "SELECT r.rid, r.patient, 0, false, false FROM tl.resource r"
    )
    owner.execute("ANALYZE tl.resource, tl.link")
    read = (
        "SELECT sum(seq_tup_read + idx_tup_fetch) FROM pg_stat_xact_user_tables "
        "WHERE schemaname = 'tl' AND relname IN ('resource', 'link')"
    )
    with owner.transaction():
        # As in a store that is larger than the record.
        owner.execute("SET LOCAL enable_seqscan = off")
        insert(
            owner, "resource", ENTRY | {"rid": 9000, "id": "c", "type": CONSENT_TYPE, "patient": 1}
        )
        insert(owner, "resource", ENTRY | {"rid": 9001, "id": "t", "type": TASK_TYPE, "patient": 1})
        (before,) = owner.execute(read).fetchone() or (0,)
        owner.execute(f"SELECT * FROM {asked}".encode())
        (after,) = owner.execute(read).fetchone() or (0,)
    assert after - before < 100


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
