"""Each condition that decides what a caller sees, alone: with it the row is there, without it it is not.

The row, the grant and the caller fit each other; each case changes one thing. `tools/mutants.py` deletes the
conditions one by one and sees to it that a case here, or another test, notices.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import psycopg
import pytest

from app.consent.model import Action
from app.storage import migrate, predicate, resources, scope_sql
from app.storage.database import Caller, OneRow, StaleClosure, TransactionReader, entered
from app.storage.database import Database as Opened
from app.storage.scope_sql import Constrained, ReadScope
from tests.conftest import Database
from tests.consent.rows import (
    AUDIT,
    AUTHOR,
    BOTH,
    CALLER,
    CODE,
    CUSTODIAN,
    DAY,
    ELSE,
    ENTRY,
    FROM,
    GRANTEE,
    HASH,
    NORMAL,
    NOW,
    OTHER,
    PATIENT,
    READ,
    RESEARCH,
    ROW,
    SECRET,
    SHARED,
    SOURCE,
    TARGET,
    THIRD,
    TO,
    TOPIC,
    TREAT,
    TYPE,
    UPDATE,
    Json,
    count_policed,
    grant,
    in_the_record,
    insert,
    mask_codes,
    seen,
    store,
)

NOT_HERE = {"custodian": CUSTODIAN + 1}

FITTING: dict[str, tuple[Json, Json, Json]] = {
    "as it is": ({}, {}, {}),
    "a custodian named": ({"custodian": CUSTODIAN}, {}, {}),
    "the caller's own": ({"custodian": -2}, {}, {"organization": CUSTODIAN}),
    "somebody else excluded": ({"excluded": [12]}, {}, {}),
    "its type": ({"types": [TYPE]}, {}, {}),
    "another type refused": ({"not_types": [ELSE]}, {}, {}),
    "a label required": ({"any_of": TOPIC}, {"labels": NORMAL | TOPIC}, {}),
    "within the data period": ({"data_from": FROM.isoformat(), "data_to": TO.isoformat()}, {}, {}),
}

UNFITTING: dict[str, tuple[Json, Json, Json]] = {
    "another patient's grant": ({"patient": OTHER}, {}, {}),
    "another grantee": ({"grantee": 11}, {}, {}),
    "another action": ({"actions": UPDATE}, {}, {}),
    "another purpose": ({"purposes": RESEARCH}, {}, {}),
    "not yet": ({"valid_from": (NOW + DAY / 2).isoformat()}, {}, {}),
    "no longer": ({"valid_to": (NOW - DAY / 2).isoformat()}, {}, {}),
    "a label forbidden": ({}, {"labels": NORMAL | SECRET}, {}),
    "a label missing": ({"any_of": TOPIC}, {}, {}),
    "another custodian's": ({"custodian": CUSTODIAN + 1}, {}, {}),
    "the caller's own, which it is not": ({"custodian": -2}, {}, {}),
    "excluded": ({"excluded": [11]}, {}, {}),
    "not of the types": ({"types": [ELSE]}, {}, {}),
    "of a refused type": ({"not_types": [TYPE]}, {}, {}),
    "begun before the data period": (
        {"data_from": (FROM + DAY).isoformat(), "data_to": "infinity"},
        {},
        {},
    ),
    "ended after the data period": (
        {"data_from": "-infinity", "data_to": (TO - DAY).isoformat()},
        {},
        {},
    ),
    "of no known time": (
        {"data_from": "-infinity", "data_to": "infinity"},
        {"clinical_from": None, "clinical_to": None},
        {},
    ),
    "a residual that does not hold": ({"residual": [[[False, "types", [ELSE]]]]}, {}, {}),
    "about nobody, not of the directory": ({}, {"patient": None}, {}),
}


def _prepared(owner: psycopg.Connection[Any], case: tuple[Json, Json, Json]) -> Caller:
    granted, entry, asking = case
    grant(owner, **granted)
    store(owner, **entry)
    return replace(CALLER, **asking)


@pytest.mark.parametrize("name", FITTING)
def test_a_row_whose_grant_fits_is_seen(owner: psycopg.Connection[Any], name: str) -> None:
    assert seen(owner, _prepared(owner, FITTING[name])) == BOTH


@pytest.mark.parametrize("name", UNFITTING)
def test_a_row_whose_grant_fits_but_in_one_thing_is_not_seen(
    owner: psycopg.Connection[Any], name: str
) -> None:
    assert seen(owner, _prepared(owner, UNFITTING[name])) == []


@pytest.mark.parametrize(
    ("entry", "organization", "action", "expected"),
    [
        ({"open": True}, 60, READ, BOTH),
        ({"open": True}, 60, UPDATE, []),
        ({"open": True}, None, READ, BOTH),
        ({"open": False}, 60, READ, []),
        ({"open": True}, CUSTODIAN, UPDATE, BOTH),
        ({"open": False}, CUSTODIAN, READ, BOTH),
        ({"open": False}, ROW, UPDATE, BOTH),
        ({"open": False}, None, READ, []),
    ],
)
def test_a_directory_entry_is_read_where_open_and_corrected_by_its_custodian(
    owner: psycopg.Connection[Any],
    conditions: Database,
    entry: Json,
    organization: int | None,
    action: int,
    expected: list[str],
) -> None:
    store(owner, patient=None, **entry)
    caller = replace(CALLER, organization=organization)
    assert seen(owner, caller, action) == expected
    # The database itself says the same of every table.
    for table in ("resource", "resource_history", "index_token"):
        assert bool(count_policed(conditions, table, caller, action)) == bool(expected), table


@pytest.mark.parametrize(
    ("granting", "expected"),
    [((), []), ((OTHER,), []), ((THIRD,), []), ((OTHER, THIRD), BOTH)],
)
def test_every_further_data_subject_must_grant_it(
    owner: psycopg.Connection[Any], granting: tuple[int, ...], expected: list[str]
) -> None:
    store(owner, co_subjects=[OTHER, THIRD])
    for patient in (PATIENT, *granting):
        grant(owner, patient=patient)
    # Another survivor's grant is none of theirs.
    grant(owner, patient=9)
    assert seen(owner) == expected


def test_a_further_subjects_grant_is_held_against_the_same_conditions(
    owner: psycopg.Connection[Any],
) -> None:
    store(owner, co_subjects=[OTHER])
    grant(owner)
    grant(owner, patient=OTHER, residual=[[[True, "codes", [CODE]]]])
    assert seen(owner) == []


@pytest.mark.parametrize("name", [*FITTING, *UNFITTING])
async def test_what_is_looked_up_once_for_a_record_decides_nothing_otherwise(
    owner: psycopg.Connection[Any], opened: Opened, name: str
) -> None:
    caller = _prepared(owner, (FITTING | UNFITTING)[name])
    assert await in_the_record(opened, caller) == (1 if name in FITTING else 0)
    # The grant of somebody else's record is none of this one's.
    grant(owner, patient=OTHER)
    assert await in_the_record(opened, caller, OTHER) == (1 if name in FITTING else 0)


@pytest.mark.parametrize("name", [*FITTING, *UNFITTING])
async def test_nor_does_it_where_the_grant_refuses_codes(
    owner: psycopg.Connection[Any], opened: Opened, name: str
) -> None:
    granted, stored, asking = (FITTING | UNFITTING)[name]
    granted = residual([[True, "codes", [CODE + 1]]]) | granted
    caller = _prepared(owner, (granted, stored, asking))
    mask_codes(owner)
    assert await in_the_record(opened, caller) == (1 if name in FITTING else 0)


@pytest.mark.parametrize(
    "changes", [{"co_subjects": [THIRD]}, {"patient": THIRD}, {"labels": NORMAL | SECRET}]
)
async def test_a_row_beside_the_grant_of_the_record_is_asked_for_by_itself(
    owner: psycopg.Connection[Any], opened: Opened, changes: Json
) -> None:
    grant(owner)
    store(owner, **changes)
    assert await in_the_record(opened, CALLER) == 0


async def test_the_callers_own_rows_alone_are_those_of_a_custodians_record(
    owner: psycopg.Connection[Any], opened: Opened
) -> None:
    grant(owner, custodian=-2)
    store(owner)
    assert await in_the_record(opened, CALLER) == 0
    assert await in_the_record(opened, replace(CALLER, organization=CUSTODIAN)) == 1
    assert await in_the_record(opened, replace(CALLER, organization=None)) == 0


def micros(moment: datetime) -> int:
    return round((moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1))


HOLDING: dict[str, list[Any]] = {
    "actor": [GRANTEE],
    "deny_actor": [11],
    "purpose": [TREAT],
    "valid": [micros(NOW - DAY), micros(NOW + DAY)],
    "types": [TYPE, ELSE],
    "labels": [NORMAL | TOPIC],
    "inside": [micros(FROM), micros(TO)],
    "codes": [CODE],
    "instance": [ROW],
    "related": [SOURCE],
    "dependents": [TARGET],
    "author": [AUTHOR],
    "action": [READ],
}
FAILING: list[tuple[str, list[Any]]] = [
    ("actor", [11]),
    ("deny_actor", [12]),
    ("purpose", [RESEARCH]),
    ("valid", [micros(NOW + DAY / 2), None]),
    ("valid", [None, micros(NOW - DAY / 2)]),
    ("types", [ELSE]),
    ("labels", [TOPIC]),
    ("inside", [micros(FROM + DAY), None]),
    ("inside", [None, micros(TO - DAY)]),
    ("codes", [CODE + 1]),
    ("instance", [ROW + 1]),
    ("related", [TARGET]),
    ("dependents", [SOURCE]),
    ("author", [TARGET]),
    ("action", [UPDATE]),
]


def residual(*clauses: list[list[Any]]) -> Json:
    return {"residual": list(clauses)}


# Codes alone are judged apart from codes among other clauses.
BESIDE = pytest.mark.parametrize(
    "beside", [[], [[[False, "types", [TYPE]]]]], ids=["alone", "of two"]
)


@BESIDE
@pytest.mark.parametrize("operator", HOLDING)
def test_a_literal_that_holds_holds_and_its_negation_does_not(
    owner: psycopg.Connection[Any], operator: str, beside: list[Any]
) -> None:
    store(owner)
    grant(owner, **residual([[False, operator, HOLDING[operator]]], *beside))
    assert seen(owner) == BOTH
    owner.execute("DELETE FROM tl.consent_grant")
    grant(owner, **residual([[True, operator, HOLDING[operator]]], *beside))
    assert seen(owner) == []


@BESIDE
@pytest.mark.parametrize(("operator", "args"), FAILING)
def test_a_literal_that_fails_fails_and_its_negation_does_not(
    owner: psycopg.Connection[Any], operator: str, args: list[Any], beside: list[Any]
) -> None:
    store(owner)
    grant(owner, **residual([[False, operator, args]], *beside))
    assert seen(owner) == []
    owner.execute("DELETE FROM tl.consent_grant")
    grant(owner, **residual([[True, operator, args]], *beside))
    assert seen(owner) == BOTH


@pytest.mark.parametrize("operator", ["related", "dependents"])
def test_a_reference_to_an_instance_counts_the_instance_itself(
    owner: psycopg.Connection[Any], operator: str
) -> None:
    store(owner)
    grant(owner, **residual([[False, operator, [ROW]]]))
    assert seen(owner) == BOTH


def test_a_clause_holds_by_any_literal_and_a_residual_by_every_clause(
    owner: psycopg.Connection[Any],
) -> None:
    store(owner)
    holds, fails = [False, "types", [TYPE]], [False, "types", [ELSE]]
    grant(owner, **residual([fails, holds], [holds]))
    assert seen(owner) == BOTH
    owner.execute("DELETE FROM tl.consent_grant")
    grant(owner, **residual([holds], [fails], [holds]))
    assert seen(owner) == []


@pytest.mark.parametrize("clauses", [[["fails", "holds"]], [["holds"], ["fails"]]])
def test_codes_come_first_and_what_is_beside_them_is_asked_as_well(
    owner: psycopg.Connection[Any], clauses: list[list[str]]
) -> None:
    store(owner)
    by_codes = {"holds": [False, "codes", [CODE]], "fails": [False, "codes", [CODE + 1]]}
    grant(owner, **residual(*([by_codes[each] for each in clause] for clause in clauses)))
    assert seen(owner) == (BOTH if len(clauses) == 1 else [])


@pytest.mark.parametrize("negated", [False, True])
def test_an_operator_that_this_database_does_not_know_refuses(
    owner: psycopg.Connection[Any], negated: bool
) -> None:
    store(owner)
    grant(owner, **residual([[negated, "moon", [1]]]))
    assert seen(owner) == []


def test_a_row_of_no_known_time_lies_within_no_period(owner: psycopg.Connection[Any]) -> None:
    store(owner, clinical_from=None, clinical_to=None)
    grant(owner, **residual([[False, "inside", [None, None]]]))
    assert seen(owner) == []
    owner.execute("DELETE FROM tl.consent_grant")
    grant(owner, **residual([[True, "inside", [None, None]]]))
    assert seen(owner) == BOTH


@BESIDE
@pytest.mark.parametrize(
    ("operator", "version_of_it", "args"),
    [
        ("codes", {"codes": [CODE + 1]}, [CODE + 1]),
        ("dependents", {"refs": [TARGET + 1]}, [TARGET + 1]),
        ("author", {"authors": [AUTHOR + 1]}, [AUTHOR + 1]),
    ],
)
def test_a_superseded_version_is_judged_by_what_it_carried_itself(
    owner: psycopg.Connection[Any],
    operator: str,
    version_of_it: Json,
    args: list[int],
    beside: list[Any],
) -> None:
    store(owner)
    (column, values), *_ = version_of_it.items()
    owner.execute(f"UPDATE tl.resource_history SET {column} = %s".encode(), (values,))
    grant(owner, **residual([[False, operator, args]], *beside))
    assert seen(owner) == ["resource_history"]


def test_codes_are_the_rows_own(owner: psycopg.Connection[Any]) -> None:
    store(owner)
    insert(owner, "resource", ENTRY | {"rid": ROW + 1, "id": "y", "codes": [CODE + 1]})
    grant(owner, **residual([[False, "codes", [CODE + 1]]]))
    assert seen(owner) == []


POLICED = [table for table in migrate.SURVIVOR_TABLES if table != "membership"]
BY_KEY = predicate.BY_KEY.removeprefix("tl.")


def _everywhere(owner: psycopg.Connection[Any], **changes: Any) -> None:
    store(owner, **changes)
    row = {name: ENTRY[name] for name in SHARED if name != "last_updated"}
    insert(owner, "audit_entry", row | changes | AUDIT)
    grant(owner)


@pytest.mark.parametrize("table", [*POLICED, BY_KEY])
def test_the_database_itself_shows_a_row_to_whom_it_is_granted_and_to_nobody_else(
    owner: psycopg.Connection[Any], conditions: Database, table: str
) -> None:
    _everywhere(owner)
    # A link is its source's: one of the three is of a resource that is not there.
    assert count_policed(conditions, table, CALLER) == (2 if table == "link" else 1)
    assert count_policed(conditions, table, replace(CALLER, closure=(12,))) == 0
    assert count_policed(conditions, table, None) == 0


@pytest.mark.parametrize("table", ["resource", BY_KEY, "index_token", "others_token"])
def test_the_database_itself_asks_what_is_done_and_why(
    owner: psycopg.Connection[Any], conditions: Database, table: str
) -> None:
    _everywhere(owner)
    assert count_policed(conditions, table, CALLER) == 1
    assert count_policed(conditions, table, CALLER, UPDATE) == 0
    assert count_policed(conditions, table, replace(CALLER, purpose=RESEARCH)) == 0


@pytest.mark.parametrize("name", [*FITTING, *UNFITTING])
def test_the_view_of_counts_shows_what_others_keep_and_the_caller_may_see(
    owner: psycopg.Connection[Any], conditions: Database, name: str
) -> None:
    caller = _prepared(owner, (FITTING | UNFITTING)[name])
    mine = caller.organization == CUSTODIAN
    expected = name in FITTING and not mine
    assert count_policed(conditions, "others_token", caller) == expected
    assert count_policed(conditions, "others_token", replace(caller, organization=CUSTODIAN)) == 0
    assert count_policed(conditions, "others_token", None) == 0


def test_the_view_of_counts_asks_every_further_data_subject(
    owner: psycopg.Connection[Any], conditions: Database
) -> None:
    store(owner, co_subjects=[OTHER])
    grant(owner)
    assert count_policed(conditions, "others_token", CALLER) == 0
    grant(owner, patient=OTHER)
    assert count_policed(conditions, "others_token", CALLER) == 1


def test_every_view_belongs_to_a_role_that_sees_no_more_by_it_than_its_reader_may(
    owner: psycopg.Connection[Any],
) -> None:
    found = owner.execute(
        "SELECT relname, relowner::regrole::text FROM pg_class "
        "WHERE relnamespace = 'tl'::regnamespace AND relkind = 'v'"
    ).fetchall()
    # What the keeper's shows is chosen within it; the readers' role is under a policy.
    assert dict(found) == {"others_token": migrate.KEEPER, BY_KEY: migrate.READERS}


def test_what_is_asked_once_a_row_is_not_planned_once_a_row(
    owner: psycopg.Connection[Any],
) -> None:
    # A search is planned for its values, and with it each query of a function that it calls: 15 of 25 µs.
    asking = owner.execute(
        "SELECT p.proname, p.proconfig FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang "
        "WHERE p.pronamespace = 'tl'::regnamespace AND l.lanname = 'plpgsql' AND p.provolatile = 's' "
        "AND p.prorettype IN ('boolean'::regtype, 'bigint[]'::regtype) AND p.prosrc ~* '\\mfrom\\M'"
    ).fetchall()
    assert {"has_code", "co_granted", "hidden_elements", "row_seen"} <= {name for name, _ in asking}
    for name, settings in asking:
        assert "plan_cache_mode=force_generic_plan" in (settings or ()), name


@pytest.mark.parametrize(
    "about", [{"patient": None, "open": True}, {"co_subjects": [OTHER]}], ids=["nobody", "two"]
)
def test_the_view_of_reads_by_key_shows_nothing_that_is_not_about_one_survivor(
    owner: psycopg.Connection[Any], conditions: Database, about: Json
) -> None:
    store(owner, **about)
    grant(owner)
    grant(owner, patient=OTHER)
    assert count_policed(conditions, "resource", CALLER) == 1
    assert count_policed(conditions, BY_KEY, CALLER) == 0


@pytest.mark.parametrize(
    ("about", "granted", "expected"),
    [
        ({}, (PATIENT,), True),
        ({}, (OTHER,), False),
        ({"patient": None, "open": True}, (), True),
        ({"patient": None, "open": False}, (PATIENT,), False),
        ({"co_subjects": [OTHER]}, (PATIENT, OTHER), True),
        ({"co_subjects": [OTHER]}, (PATIENT,), False),
    ],
    ids=str,
)
async def test_a_read_alone_or_with_others_finds_what_is_about_one_survivor_several_or_nobody(
    owner: psycopg.Connection[Any],
    opened: Opened,
    about: Json,
    granted: tuple[int, ...],
    expected: bool,
) -> None:
    store(owner, **about)
    for patient in granted:
        grant(owner, patient=patient)
    caller = replace(CALLER, epoch=5)
    found = await resources.read(opened, caller, TYPE, f"x{ROW}")
    assert (found is not None) == expected
    # The first goes alone, the others together.
    ids = (f"x{ROW}", "missing", f"x{ROW}")
    several = await asyncio.gather(*(resources.read(opened, caller, TYPE, id_) for id_ in ids))
    assert [each is not None for each in several] == [expected, False, expected]


@pytest.mark.parametrize("table", [t for t in POLICED if t not in ("consent_grant", "audit_entry")])
def test_an_open_entry_is_shown_to_every_caller_and_to_nobody_where_no_caller_is_set(
    owner: psycopg.Connection[Any], conditions: Database, table: str
) -> None:
    store(owner, patient=None, open=True)
    assert count_policed(conditions, table, replace(CALLER, closure=(12,))) > 0
    assert count_policed(conditions, table, None) == 0


def test_a_caller_without_identities_is_nobody(
    owner: psycopg.Connection[Any], conditions: Database
) -> None:
    store(owner, patient=None, open=True)
    with psycopg.connect(conditions.service_url) as connection:
        connection.execute("SELECT set_config('tl.need', tl.need(%s, %s)::text, true)", (4, READ))
        count = "SELECT count(*) FROM tl.resource"
        assert connection.execute(count).fetchone() == (0,)
        connection.execute("SELECT set_config('tl.closure', '{12}', true)")
        assert connection.execute(count).fetchone() == (1,)


@pytest.mark.parametrize("table", ["resource", "resource_history"])
def test_the_database_judges_a_version_by_its_own_labels_and_by_the_present_ones(
    owner: psycopg.Connection[Any], conditions: Database, table: str
) -> None:
    _everywhere(owner)
    owner.execute(f"UPDATE tl.{table} SET labels = {NORMAL | SECRET}".encode())
    assert count_policed(conditions, "resource_history", CALLER) == 0


@pytest.mark.parametrize(
    ("epoch", "next_change"), [(6, "infinity"), (5, "-infinity"), (5, "now")], ids=str
)
async def test_a_caller_whose_memberships_have_changed_neither_reads_nor_writes(
    owner: psycopg.Connection[Any], opened: Opened, epoch: int, next_change: str
) -> None:
    _everywhere(owner)
    body = f"SELECT x.rid FROM tl.resource x WHERE {predicate.for_query('x')}"
    caller = replace(CALLER, epoch=5)
    assert len(await opened.fetch(caller, body)) == 1
    async with opened.write(caller) as connection:
        owner.execute(
            "UPDATE tl.directory_epoch SET epoch = %s, next_change = %s", (epoch, next_change)
        )
        for by_key in (False, True):
            with pytest.raises(StaleClosure):
                await opened.fetch(caller, body, by_key=by_key)
        with pytest.raises(StaleClosure):
            await TransactionReader(connection).fetch(caller, body)
    with pytest.raises(StaleClosure):
        async with opened.write(caller):
            pass


SCOPES: dict[str, tuple[ReadScope, bool]] = {
    "the whole type": (ReadScope((TYPE,), ()), True),
    "another type": (ReadScope((ELSE,), ()), False),
    "nothing": (ReadScope((), ()), False),
    "the type with a key it has": (ReadScope((), (Constrained(TYPE, ((HASH,),)),)), True),
    "the type with a key it has not": (ReadScope((), (Constrained(TYPE, ((HASH + 1,),)),)), False),
    "the type with two keys, one it has": (
        ReadScope((), (Constrained(TYPE, ((HASH,), (HASH + 1,))),)),
        False,
    ),
    "another type with a key it has": (ReadScope((), (Constrained(ELSE, ((HASH,),)),)), False),
    "another type whole, the type with a key it has not": (
        ReadScope((ELSE,), (Constrained(TYPE, ((HASH + 1,),)),)),
        False,
    ),
    "the type with another row's key": (
        ReadScope((), (Constrained(TYPE, ((HASH + 2,),)),)),
        False,
    ),
    "the survivor": (ReadScope(None, (), PATIENT), True),
    "another survivor": (ReadScope(None, (), OTHER), False),
    "another survivor, the whole type": (ReadScope((TYPE,), (), OTHER), False),
}


@pytest.mark.parametrize("name", SCOPES)
async def test_a_token_reads_no_more_than_its_scopes_leave(
    owner: psycopg.Connection[Any], opened: Opened, name: str
) -> None:
    _everywhere(owner)
    other = {name: ENTRY[name] for name in SHARED} | {"rid": ROW + 1, "type": ELSE}
    insert(owner, "resource", ENTRY | {"rid": ROW + 1, "id": "y", "type": ELSE})
    insert(owner, "index_token", other | {"hash": HASH + 2, "item": 0})
    scope, expected = SCOPES[name]
    body = (
        f"SELECT x.rid FROM tl.resource x WHERE x.rid = $7::bigint AND {predicate.for_query('x')}"
    )
    caller = replace(CALLER, epoch=5, scope=scope)
    for by_key in (False, True):
        found = await opened.fetch(caller, body, ROW, by_key=by_key)
        assert [row["rid"] for row in found] == ([ROW] if expected else [])
    assert await opened.fetch(replace(caller, scope=None), body, ROW), "consent lets it be seen"
    walk = (
        f"SELECT d.rid FROM tl.others_token d WHERE d.hash = $7 AND {predicate.walk_for_query('d')}"
    )
    found = await opened.fetch(caller, walk, HASH)
    assert [row["rid"] for row in found] == ([ROW] if expected else [])


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"patient": OTHER, "co_subjects": [PATIENT]}, True),
        ({"patient": None, "open": True}, True),
        ({"patient": -PATIENT}, True),
        ({"patient": -OTHER}, False),
    ],
)
async def test_a_survivors_token_reads_what_is_about_them_too_or_about_nobody_or_their_audit(
    owner: psycopg.Connection[Any], opened: Opened, entry: Json, expected: bool
) -> None:
    for patient in (PATIENT, OTHER, -PATIENT, -OTHER):
        grant(owner, patient=patient)
    store(owner, **entry)
    body = f"SELECT x.rid FROM tl.resource x WHERE {predicate.for_query('x')}"
    caller = replace(CALLER, epoch=5, scope=ReadScope(None, (), PATIENT))
    assert bool(await opened.fetch(caller, body)) is expected


@pytest.mark.parametrize("answering", [False, True])
async def test_a_token_is_answered_no_more_in_a_transaction_than_its_scopes_leave(
    owner: psycopg.Connection[Any], opened: Opened, answering: bool
) -> None:
    _everywhere(owner)
    body = f"SELECT x.rid FROM tl.resource x WHERE {predicate.for_query('x')}"
    caller = replace(CALLER, epoch=5, scope=ReadScope((ELSE,), ()))
    async with opened.write(caller) as connection:
        reader = TransactionReader(connection, answering=answering)
        assert bool(await reader.fetch(caller, body)) is not answering


def test_a_statement_without_a_place_for_scopes_is_none_for_a_narrow_token() -> None:
    with pytest.raises(LookupError):
        scope_sql.narrowed("SELECT 1", ReadScope((TYPE,), ()), ())


async def test_reads_that_go_together_are_each_their_callers(
    owner: psycopg.Connection[Any], opened: Opened
) -> None:
    _everywhere(owner)
    permitted = replace(CALLER, epoch=5)
    denied = replace(permitted, closure=(12,))
    callers = [permitted, denied] * 4
    found = await asyncio.gather(
        *(resources.read(opened, each, TYPE, f"x{ROW}") for each in callers)
    )
    assert [each is not None for each in found] == [each is permitted for each in callers]


async def test_a_statement_finds_nothing_for_a_caller_whose_memberships_have_changed(
    owner: psycopg.Connection[Any], opened: Opened, conditions: Database
) -> None:
    """As the service, and as one whom no policy binds: policies see no caller then, and would hide it."""
    _everywhere(owner)
    unbound = await asyncpg.connect(conditions.admin_url)
    condition = predicate.for_query("x")
    one = OneRow("x.rid", "tl.resource", condition)
    for body in (f"SELECT x.rid FROM tl.resource x WHERE {condition}", one):
        for epoch, there in ((5, True), (4, False)):
            asking = replace(CALLER, epoch=epoch)
            for connection in (opened.pool, unbound):
                row = await connection.fetchrow(entered(body), *asking.parameters())
                assert (row["fresh"], bool(row["there"])) == (there, there)
    await unbound.close()


def test_a_token_without_narrower_scopes_leaves_the_statement_as_it_is() -> None:
    text = predicate.for_query("x")
    assert scope_sql.narrowed(text, None, (1,)) == (text, (1,))


def test_the_actions_of_the_cases_are_those_of_the_model() -> None:
    assert (int(Action.READ), int(Action.UPDATE)) == (READ, UPDATE)
