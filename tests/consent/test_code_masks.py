"""Codes that a Consent refuses: told from masks where no bit meets, and from the codes themselves elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from app.storage import predicate
from app.storage.database import Database as Opened
from tests.conftest import Database
from tests.consent.rows import (
    BOTH,
    CALLER,
    CODE,
    INDEX,
    count_policed,
    grant,
    in_the_record,
    let_through,
    mask_codes,
    seen,
    store,
)

SAME_BIT = CODE + 64
REFUSED = {"residual": [[[True, "codes", [CODE]]]]}
TABLES = ("resource", *INDEX)


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize(
    ("codes", "visible"),
    [
        ([], True),
        ([CODE + 1], True),
        ([SAME_BIT], True),
        ([CODE], False),
        ([CODE + 1, CODE], False),
        ([-1, CODE - 128], True),
    ],
)
def test_what_is_refused_is_hidden_and_nothing_else(
    conditions: Database,
    owner: psycopg.Connection[Any],
    codes: list[int],
    visible: bool,
    masked: bool,
) -> None:
    store(owner, codes=codes)
    if masked:
        mask_codes(owner)
    grant(owner, **REFUSED)
    assert seen(owner) == (BOTH if visible else [])
    for table in TABLES:
        assert let_through(owner, table) == visible, table
        assert count_policed(conditions, table, CALLER) == visible, table


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize(
    ("codes", "visible"), [([CODE + 1], True), ([SAME_BIT], True), ([CODE], False)]
)
async def test_in_a_record_as_well(
    owner: psycopg.Connection[Any], opened: Opened, codes: list[int], visible: bool, masked: bool
) -> None:
    store(owner, codes=codes)
    if masked:
        mask_codes(owner)
    grant(owner, **REFUSED)
    for test in ("true", predicate.for_query("x", record=True)):
        assert await in_the_record(opened, CALLER, test=test) == visible


async def test_a_version_in_a_record_is_judged_by_its_own_codes(
    owner: psycopg.Connection[Any], opened: Opened
) -> None:
    store(owner, codes=[CODE + 1])
    mask_codes(owner)
    grant(owner, **REFUSED)
    version = {"table": "resource_history", "test": "true"}
    assert await in_the_record(opened, CALLER, **version) == 1
    owner.execute("UPDATE tl.resource_history SET codes = %s", ([CODE],))
    assert await in_the_record(opened, CALLER, **version) == 0


def test_a_version_is_judged_by_its_own_codes_whatever_the_mask_says(
    owner: psycopg.Connection[Any],
) -> None:
    store(owner, codes=[CODE + 1])
    mask_codes(owner)
    owner.execute("UPDATE tl.resource_history SET codes = %s", ([CODE],))
    grant(owner, **REFUSED)
    assert seen(owner) == ["resource"]


@pytest.fixture
def _looks_fail(owner: psycopg.Connection[Any]) -> Iterator[None]:
    """Whoever looks up codes fails."""
    kept = owner.execute("SELECT pg_get_functiondef('tl.has_code'::regproc)").fetchone()
    assert kept is not None
    owner.execute(
        "CREATE OR REPLACE FUNCTION tl.has_code(row_rid bigint, wanted bigint[]) RETURNS boolean "
        "LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'looked up'; END $$"
    )
    yield
    owner.execute(kept[0].encode())


@pytest.mark.usefixtures("_looks_fail")
def test_codes_are_looked_up_only_where_bits_meet(
    conditions: Database, owner: psycopg.Connection[Any]
) -> None:
    store(owner, codes=[CODE + 1])
    mask_codes(owner)
    grant(owner, **REFUSED)
    for table in TABLES:
        assert let_through(owner, table), table
        assert count_policed(conditions, table, CALLER) == 1, table
    owner.execute("UPDATE tl.resource SET codes = %s, code_mask = NULL", ([SAME_BIT],))
    mask_codes(owner)
    with pytest.raises(psycopg.errors.RaiseException, match="looked up"):
        let_through(owner, "index_token")


@pytest.mark.parametrize(
    ("residual", "codes"),
    [
        (REFUSED["residual"], [CODE]),
        ([[[True, "codes", [1, 2]]], [[True, "codes", [3]], [True, "actor", [9]]]], [1, 2, 3]),
        ([[[True, "codes", []]]], []),
        # Asked for instead of refused; something else first; a clause without codes; no clause at all.
        ([[[False, "codes", [CODE]]]], None),
        ([[[True, "actor", [9]], [True, "codes", [CODE]]]], None),
        ([[[True, "codes", [CODE]]], [[True, "types", [7]]]], None),
        ([], None),
        (None, None),
        # No form at all, beside one that would do.
        ([[], [[True, "codes", [CODE]]]], None),
        ([[[True]], [[True, "codes", [CODE]]]], None),
        ([[[True, "codes", None]], [[True, "codes", [CODE]]]], None),
        ([[[True, "moon", "full"]], [[True, "codes", [CODE]]]], None),
    ],
)
def test_a_grant_knows_the_codes_that_it_refuses(
    owner: psycopg.Connection[Any], residual: Any, codes: list[int] | None
) -> None:
    found = owner.execute(
        "SELECT tl.refused_mask(%s::jsonb) IS NOT DISTINCT FROM tl.code_mask(%s::bigint[])",
        (None if residual is None else json.dumps(residual), codes),
    ).fetchone()
    assert found == (True,)


def test_a_residual_of_no_form_refuses_whatever_the_masks_say(
    owner: psycopg.Connection[Any],
) -> None:
    store(owner, codes=[CODE + 1])
    mask_codes(owner)
    grant(owner, residual=[[], [[True, "codes", [CODE]]]])
    assert seen(owner) == []


def test_every_bit_of_a_hash_has_its_place(owner: psycopg.Connection[Any]) -> None:
    for code in (0, 62, 63, 64, -1, -64, (1 << 63) - 1, -(1 << 63)):
        bit = 1 << (code & 63)
        signed = bit - (1 << 64) if bit >> 63 else bit
        found = owner.execute("SELECT tl.code_mask(ARRAY[%s::bigint])", (code,)).fetchone()
        assert found == (signed,), code


def test_no_mask_is_stored_that_lacks_a_code(owner: psycopg.Connection[Any]) -> None:
    store(owner)
    with pytest.raises(psycopg.errors.CheckViolation):
        owner.execute("UPDATE tl.resource SET code_mask = 0")
