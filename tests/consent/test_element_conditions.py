"""Each condition about labelled elements, alone, as `test_conditions` does it for whole rows.

How answers are cut is tested over HTTP (tests/redaction); here, what the database is asked and what it stores.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import psycopg
import pytest

from app.consent import labels
from app.fhir_mappings import registry
from app.storage import elements, predicate
from app.storage.database import Caller
from app.storage.database import Database as Opened
from tests.conftest import Database
from tests.consent.rows import (
    CALLER,
    CODE,
    CUSTODIAN,
    ENTRY,
    FROM,
    GRANTEE,
    HASH,
    INDEX,
    NORMAL,
    NOW,
    OTHER,
    PATIENT,
    READ,
    ROW,
    SECRET,
    SHARED,
    TARGET,
    TO,
    TOPIC,
    TYPE,
    UPDATE,
    Json,
    grant,
    insert,
    mask_codes,
    store,
)

LOCATION = labels.SENSITIVITY["LOCIS"]
WHO = predicate.CallerSql(
    "%(closure)s::bigint[]",
    "%(deny_closure)s::bigint[]",
    "%(purpose)s::bigint",
    "%(organization)s::bigint",
    "%(action)s::integer",
)
Connection = psycopg.Connection[Any]


def values(caller: Caller, action: int = READ) -> Json:
    return {
        "closure": list(caller.closure),
        "deny_closure": list(caller.deny_closure),
        "purpose": caller.purpose,
        "organization": caller.organization,
        "action": action,
    }


def one(connection: Connection, text: str, caller: Caller = CALLER) -> Any:
    row = connection.execute(text.encode(), values(caller)).fetchone()
    assert row is not None
    return row[0]


def hidden(owner: Connection, caller: Caller = CALLER) -> tuple[Any, Any]:
    """The masks that the caller may not see, of the row and of its superseded version."""
    now, before = (
        one(
            owner,
            f"SELECT {elements.hidden('x', WHO, version=version)} FROM tl.{table} x WHERE x.rid = {ROW}",
            caller,
        )
        for table, version in (("resource", False), ("resource_history", True))
    )
    return now, before


def masked(owner: Connection, **changes: Any) -> None:
    """The row and its version, with two labelled elements."""
    store(owner, **changes)
    for table in ("resource", "resource_history"):
        owner.execute(f"UPDATE tl.{table} SET inline_masks = %s".encode(), ([TOPIC, SECRET],))


def test_an_element_is_hidden_from_whom_a_row_with_its_labels_would_be(owner: Connection) -> None:
    masked(owner)
    grant(owner)
    assert hidden(owner) == ([SECRET], [SECRET])
    grant(owner, forbidden=0)
    assert hidden(owner) == (None, None)


def test_nothing_of_a_row_that_nobody_granted_is_shown(owner: Connection) -> None:
    masked(owner)
    assert hidden(owner) == ([SECRET, TOPIC], [SECRET, TOPIC])


def test_an_element_of_a_version_is_judged_by_the_codes_of_the_version(owner: Connection) -> None:
    masked(owner)
    owner.execute("UPDATE tl.resource_history SET codes = %s", ([CODE + 1],))
    grant(owner, forbidden=0, residual=[[[False, "codes", [CODE + 1]]]])
    assert hidden(owner) == ([SECRET, TOPIC], None)


def test_a_directory_entry_keeps_a_closed_element_for_its_custodian(owner: Connection) -> None:
    store(owner, patient=None, open=True)
    owner.execute("UPDATE tl.resource SET inline_masks = %s", ([LOCATION],))
    assert hidden(owner)[0] == [LOCATION]
    assert hidden(owner, replace(CALLER, organization=CUSTODIAN))[0] is None


def _labelled(owner: Connection, table: str) -> None:
    """The row seen by the label of its element alone: a search row that passes, a resource that does not."""
    store(owner)
    grant(owner, any_of=TOPIC)
    owner.execute(f"UPDATE tl.{table} SET labels = {NORMAL | TOPIC | labels.ELEMENT}".encode())
    other = ENTRY | {"rid": ROW + 1, "id": "y", "labels": NORMAL | TOPIC}
    insert(owner, "resource", other)


@pytest.mark.parametrize("table", INDEX)
def test_a_search_row_of_an_element_is_found_where_its_resource_is_seen(
    owner: Connection, conditions: Database, table: str
) -> None:
    _labelled(owner, table)
    text = (
        f"SELECT count(*) FROM tl.{table} x WHERE {predicate.visible('x', WHO)} "
        f"AND {elements.same_row('x', WHO)}"
    )
    assert one(owner, text) == 0
    assert as_service(conditions, f"SELECT count(*) FROM tl.{table}") == 0
    owner.execute(f"UPDATE tl.resource SET labels = {NORMAL | TOPIC}".encode())
    assert one(owner, text) == 1
    assert as_service(conditions, f"SELECT count(*) FROM tl.{table}") == 1


def test_a_count_asks_the_search_row_of_an_element_for_its_resource(
    owner: Connection, conditions: Database
) -> None:
    _labelled(owner, "index_token")
    assert as_service(conditions, "SELECT count(*) FROM tl.others_token") == 0
    owner.execute(f"UPDATE tl.resource SET labels = {NORMAL | TOPIC}".encode())
    assert as_service(conditions, "SELECT count(*) FROM tl.others_token") == 1


def as_service(conditions: Database, text: str, caller: Caller = CALLER, action: int = READ) -> Any:
    """What the service's role gets for a statement, entered as the caller."""
    with psycopg.connect(conditions.service_url) as connection:
        entered = (
            "SELECT tl.enter(%(closure)s::bigint[], %(deny_closure)s::bigint[], %(purpose)s, "
            "%(organization)s, %(action)s, 5)"
        )
        connection.execute(entered, values(caller, action))
        return one(connection, text, caller)


def linked(owner: Connection, mask: int, target: int = TARGET) -> str:
    """The link of the row, in an element under a label; a statement that counts whether it is followed."""
    owner.execute("DELETE FROM tl.link")
    link: Json = {"source": ROW, "target": target, "parameter": 0, "climbs": False, "author": False}
    insert(owner, "link", link | {"inline_mask": mask})
    return (
        f"SELECT count(*) FROM tl.link l WHERE l.source = {ROW} AND {elements.followed('l', WHO)}"
    )


def test_a_reference_in_an_element_is_followed_by_who_sees_the_element(
    owner: Connection, conditions: Database
) -> None:
    store(owner)
    # Of somebody else's row everything may be seen: it says nothing of this one.
    insert(owner, "resource", ENTRY | {"rid": ROW + 1, "id": "y", "patient": OTHER})
    grant(owner, patient=OTHER, forbidden=0)
    grant(owner)
    for mask, seen in ((SECRET, 0), (TOPIC, 1)):
        text = linked(owner, mask)
        assert one(owner, text) == seen
        assert as_service(conditions, "SELECT count(*) FROM tl.link") == seen


def test_a_grantee_follows_a_consent_to_itself_and_to_no_other(owner: Connection) -> None:
    store(owner)
    grant(owner, forbidden=SECRET | labels.GRANTEES)
    assert one(owner, linked(owner, labels.GRANTEES)) == 0
    assert one(owner, linked(owner, labels.GRANTEES, GRANTEE)) == 1
    assert one(owner, linked(owner, SECRET, GRANTEE)) == 0


@pytest.mark.parametrize("targets", ["NULL", f"ARRAY[{GRANTEE}, {TARGET}]::bigint[]"])
def test_who_the_caller_is_among_those_of_a_consent_is_told_of_the_caller_alone(
    owner: Connection, conditions: Database, targets: str
) -> None:
    store(owner)
    names = dict(owner.execute("SELECT code, name FROM tl.resource_type").fetchall())
    for rid in (GRANTEE, TARGET):
        insert(owner, "resource", ENTRY | {"rid": rid, "id": f"x{rid}"})
    text = f"SELECT tl.own_references({ROW}, {targets})"
    linked(owner, labels.GRANTEES, TARGET)
    mine = [f"{names[TYPE]}/x{GRANTEE}"]
    assert as_service(conditions, text) == ([] if targets == "NULL" else mine)
    linked(owner, labels.GRANTEES, GRANTEE)
    assert as_service(conditions, text) == mine


async def test_who_the_caller_is_in_a_superseded_consent_is_told_by_that_version(
    owner: Connection, opened: Opened
) -> None:
    consent = registry.type_code("Consent")
    store(owner, type=consent)
    owner.execute("UPDATE tl.resource_history SET refs = %s", ([GRANTEE],))
    insert(owner, "resource", ENTRY | {"rid": GRANTEE, "id": f"x{GRANTEE}"})
    grant(owner)
    # The present version names somebody else.
    linked(owner, labels.GRANTEES, TARGET)
    found = []
    for table, version in (("resource", False), ("resource_history", True)):
        body = (
            f"SELECT {elements.content('x', version=version)} FROM tl.{table} x "
            f"WHERE x.rid = {ROW} AND {predicate.for_query('x', version=version)}"
        )
        (row,) = await opened.fetch(replace(CALLER, epoch=5), body)
        found.append(row["own"])
    assert found == [[], [f"{registry.type_name(TYPE)}/x{GRANTEE}"]]


STORED: Json = {
    "rid": ROW,
    "type": TYPE,
    "id": f"x{ROW}",
    "custodian": CUSTODIAN,
    "patient": PATIENT,
}


def replaced(conditions: Database, caller: Caller, **changes: Any) -> bool:
    """Whether the service's role may store a row as this caller; nothing is kept."""
    row = STORED | changes
    text = (
        f"SELECT tl.store_resources(ARRAY[{row['rid']}]::bigint[], ARRAY[{row['type']}]::smallint[], "
        f"ARRAY['{row['id']}'], ARRAY[3], ARRAY[now()], ARRAY[false], ARRAY[false], "
        f"ARRAY[{row['patient']}]::bigint[], ARRAY[NULL]::text[], ARRAY[{row['custodian']}]::bigint[], "
        f"ARRAY[{NORMAL}]::bigint[], ARRAY[NULL]::timestamptz[], ARRAY[NULL]::timestamptz[], "
        "ARRAY['{}'], ARRAY[NULL]::text[], ARRAY['x'::bytea])::text"
    )
    with psycopg.connect(conditions.service_url) as connection:
        entered = (
            "SELECT tl.enter(%(closure)s::bigint[], %(deny_closure)s::bigint[], %(purpose)s, "
            "%(organization)s, %(action)s, 5)"
        )
        connection.execute(entered, values(caller))
        try:
            connection.execute(text.encode())
        except psycopg.errors.InsufficientPrivilege:
            return False
        finally:
            connection.rollback()
        return True


def test_the_database_lets_a_row_be_replaced_by_who_may_correct_it(
    owner: Connection, conditions: Database
) -> None:
    store(owner)
    grant(owner)
    assert not replaced(conditions, CALLER)
    assert replaced(conditions, replace(CALLER, organization=CUSTODIAN))
    grant(owner, actions=READ | UPDATE)
    assert replaced(conditions, CALLER)
    assert not replaced(conditions, CALLER, custodian=CALLER.organization)


def test_the_database_takes_a_new_row_from_its_custodian_or_an_organization_itself(
    owner: Connection, conditions: Database
) -> None:
    store(owner)
    new = {"rid": 900, "id": "new"}
    assert not replaced(conditions, CALLER, **new)
    assert replaced(conditions, CALLER, **new, custodian=CALLER.organization)
    assert replaced(conditions, CALLER, **new, custodian=900)


def test_the_database_lets_no_row_be_replaced_by_who_does_not_see_all_of_it(
    owner: Connection, conditions: Database
) -> None:
    masked(owner)
    grant(owner, forbidden=0, actions=UPDATE)
    grant(owner)
    assert not replaced(conditions, CALLER)
    # Not the custodian's own staff either, where somebody has shut it out of the element.
    assert not replaced(conditions, replace(CALLER, organization=CUSTODIAN))
    grant(owner, forbidden=0)
    assert replaced(conditions, CALLER)
    assert replaced(conditions, replace(CALLER, organization=CUSTODIAN))


def test_the_database_lets_no_row_be_replaced_by_who_may_not_correct_all_of_it(
    owner: Connection, conditions: Database
) -> None:
    masked(owner)
    grant(owner, forbidden=0)
    grant(owner, actions=READ | UPDATE)
    assert not replaced(conditions, CALLER)
    assert replaced(conditions, replace(CALLER, organization=CUSTODIAN))


TABLES = ("token", "date", "string", "number", "text")


def _written(owner: Connection) -> None:
    """A search row of each kind from an element that is closed and labelled."""
    mask = LOCATION
    moments = (
        f"ARRAY['{FROM.isoformat()}']::timestamptz[], ARRAY['{TO.isoformat()}']::timestamptz[]"
    )
    tail = f"ARRAY[1]::smallint[], ARRAY[{mask}]::bigint[]"
    head = f"ARRAY[{ROW}]::bigint[], ARRAY[{HASH}]::bigint[]"
    owner.execute(
        (
            f"SELECT tl.store_search(ARRAY[{ROW}]::bigint[], {head}, {tail}, {head}, {moments}, {tail}, "
            f"{head}, ARRAY['x'], ARRAY['x'], {tail}, {head}, ARRAY[1.0]::float8[], ARRAY[1.0]::float8[], "
            f"{tail}, ARRAY[{ROW}]::bigint[], ARRAY['x'], ARRAY['x'], ARRAY[{mask}]::bigint[])"
        ).encode()
    )


@pytest.mark.parametrize("table", TABLES)
def test_a_search_row_has_the_labels_of_its_element_when_written_and_when_its_resource_changes(
    owner: Connection, table: str
) -> None:
    store(owner, patient=None, open=True)
    _written(owner)
    text = f"SELECT labels, open FROM tl.index_{table} WHERE rid = {ROW}"
    own = labels.one_confidentiality(NORMAL | LOCATION | labels.ELEMENT)
    assert owner.execute(text.encode()).fetchall() == [(own, False)]
    owner.execute(f"UPDATE tl.resource SET labels = {NORMAL | TOPIC}".encode())
    owner.execute("SELECT tl.spread_columns(%s)", ([ROW],))
    assert owner.execute(text.encode()).fetchall() == [(own | TOPIC, False)]


@pytest.mark.parametrize("table", TABLES)
def test_a_search_row_has_the_mask_of_its_resources_codes(owner: Connection, table: str) -> None:
    store(owner)
    mask_codes(owner)
    _written(owner)
    text = f"SELECT code_mask FROM tl.index_{table} WHERE rid = {ROW}"
    assert owner.execute(text.encode()).fetchall() == [(1 << CODE % 64,)]


def test_the_rows_of_these_tests_carry_what_search_rows_carry() -> None:
    assert set(SHARED) <= set(ENTRY)
    assert ENTRY["last_updated"] == NOW
