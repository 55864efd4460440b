"""The predicate in SQL and the same conditions in Python agree, for random Consents, callers and rows.

On a real database: grants are stored as the service stores them, a row is filed with its links, and the very
text that every query carries decides. Only the clock is replaced, because questions have times of their own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

import psycopg
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import booleans

from app.consent.evaluate import holds
from app.consent.model import Action, CallerFacts, Grant, ResourceFacts
from app.storage import migrate, predicate, writes
from tests.conftest import SERVICE_ROLE, Database
from tests.consent.agreement import Compared, caller_facts, resource_facts
from tests.consent.situations import PATIENT, SITUATIONS, Situation
from tests.consent.terms import rid_of

EXAMPLES = 80
QUESTIONS = 12
_CLOCK = "current_setting('test.now')::timestamptz"
_NAMES = ("closure", "deny_closure", "need", "organization", "action")


def _named(text: str) -> str:
    """SQL with the parameters `$1` to `$5` by their names, and a clock that can be set."""
    text = re.sub(r"\$([1-5])", lambda found: f"%({_NAMES[int(found[1]) - 1]})s", text)
    return text.replace("statement_timestamp()", _CLOCK)


_PREDICATE = _named(predicate.visible("x", predicate.PARAMETERS))
_VERSION = _named(predicate.visible("x", predicate.PARAMETERS, version=True))
_POLICY = _named(predicate.for_policy("x"))
_KEYED_POLICY = _named(predicate.for_keyed_policy("x"))
_VERSION_POLICY = _named(predicate.for_policy("x", version=True))
_REST = _named(predicate.walk_rest("x"))
_WALK = _named(predicate.walked("x", predicate.PARAMETERS))
_VIEW = _named(predicate.walk_for_view("x"))
# What a count adds up, and what the database lets it read: a row in one of the two parts alone.
_ONCE = "(SELECT count(*) FILTER (WHERE v) = 1 FROM (VALUES ({}), ({} AND {})) AS p(v))"
_COUNTED = _ONCE.format(_WALK, _PREDICATE, _REST)
_COUNTABLE = _ONCE.format(_VIEW, _POLICY, _REST)
_GRANTS = (
    f"INSERT INTO tl.consent_grant ({writes.GRANT_COLUMNS}) SELECT {writes.GRANT_COLUMNS} "
    "FROM jsonb_populate_recordset(NULL::tl.consent_grant, %s)"
).encode()


def _residual() -> str:
    text = migrate.routine_text(SERVICE_ROLE)
    found = re.search(r"CREATE OR REPLACE FUNCTION tl\.residual.*?\nEND \$\$;", text, re.DOTALL)
    assert found
    return found[0].replace("statement_timestamp()", _CLOCK)


def _store(
    connection: psycopg.Connection[Any], thing: ResourceFacts, patient: int, *, masked: bool
) -> None:
    """masked: with the mask of its codes; without, as a release before the masks stored it."""
    connection.execute("TRUNCATE tl.resource, tl.resource_history, tl.link")
    connection.execute(
        "INSERT INTO tl.resource VALUES (%s,%s,'x',1,now(),false,false,%s,NULL,%s,%s,%s,%s,%s,'')",
        (
            thing.rid,
            thing.type_code,
            patient,
            thing.custodian,
            thing.labels,
            thing.clinical_from,
            thing.clinical_to,
            sorted(thing.codes),
        ),
    )
    if masked:
        connection.execute("UPDATE tl.resource SET code_mask = tl.code_mask(codes)")
    connection.execute(
        "INSERT INTO tl.resource_history VALUES "
        "(%s,%s,0,now(),false,false,%s,NULL,%s,%s,%s,%s,%s,%s,%s,'')",
        (
            thing.rid,
            thing.type_code,
            patient,
            thing.custodian,
            thing.labels,
            thing.clinical_from,
            thing.clinical_to,
            sorted(thing.codes),
            sorted(thing.references),
            sorted(thing.authors),
        ),
    )
    links = [(thing.rid, r, 0, False, False) for r in thing.references]
    links += [(r, thing.rid, 0, False, False) for r in thing.referenced_by]
    # An author is a reference as well; filed apart so that `dependents` sees what the facts say.
    links += [(thing.rid, r, 1, False, True) for r in thing.authors]
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO tl.link VALUES (%s,%s,%s,%s,%s)", links)


def _asked(
    connection: psycopg.Connection[Any],
    table: str,
    text: str,
    who: CallerFacts,
    does: Action,
    now: datetime,
    record: int | None = None,
) -> bool:
    connection.execute("SELECT set_config('test.now', %s, false)", (now.isoformat(),))
    caller = {
        "closure": sorted(who.closure),
        "deny_closure": sorted(who.deny_closure),
        "purpose": who.purpose,
        "need": predicate.need(who.purpose, int(does)),
        "organization": who.organization,
        "action": int(does),
    }
    with connection.transaction():
        if record is None:
            connection.execute(_ENTER, caller)
        else:
            entry = predicate.entry(f"{record}::bigint").replace("statement_timestamp()", _CLOCK)
            epoch = "(SELECT epoch FROM tl.directory_epoch)"
            entered = psycopg.RawCursor(connection).execute(
                f"SELECT fresh FROM {entry.replace('$6::bigint', epoch)} AS entry(fresh)".encode(),
                [caller[name] for name in _NAMES],
            )
            assert entered.fetchone() == (True,)
        row = connection.execute(
            f"SELECT coalesce({text}, false) FROM tl.{table} x".encode(), caller
        ).fetchone()
    assert row is not None
    return bool(row[0])


_ENTER = b"""SELECT tl.enter(%(closure)s::bigint[], %(deny_closure)s::bigint[], %(purpose)s::bigint,
  %(organization)s::bigint, %(action)s::integer, 0)"""


def _permitted(
    grants: tuple[Grant, ...], who: CallerFacts, what: ResourceFacts, does: Action, now: datetime
) -> bool:
    return any(holds(grant, who, what, does, now) for grant in grants)


def test_the_predicate_in_sql_agrees_with_the_conditions_in_python(
    database: Callable[[], Database],
) -> None:
    made = database()
    patient = rid_of(PATIENT)
    with psycopg.connect(made.admin_url, autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off")
        connection.execute(_residual().encode())

        @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
        @given(SITUATIONS, booleans())
        def agree(situation: Situation, masked: bool) -> None:
            compared = Compared(situation)
            grants = compared.grants
            connection.execute("TRUNCATE tl.consent_grant")
            stored = [writes.grant_json(patient, grant) for grant in grants]
            connection.execute(_GRANTS, (json.dumps(stored),))
            for caller, thing, action, now in compared.questions()[:QUESTIONS]:
                what = resource_facts(thing)
                who = caller_facts(caller)
                does = Action.READ if action == "access" else Action.UPDATE
                expected = _permitted(grants, who, what, does, now)
                _store(connection, what, patient, masked=masked)
                found = _asked(connection, "resource", _PREDICATE, who, does, now)
                assert found == expected, (caller, thing, action, now)
                for text in (_COUNTED, _COUNTABLE):
                    counted = _asked(connection, "resource", text, who, does, now)
                    assert counted == expected, (text, caller, thing, action, now)
                found = _asked(connection, "resource", _KEYED_POLICY, who, does, now)
                assert found == expected, ("by key", caller, thing, action, now)
                version = _asked(connection, "resource_history", _VERSION, who, does, now)
                assert version == expected, (caller, thing, action, now)
                for table, policy in (
                    ("resource", _POLICY),
                    ("resource_history", _VERSION_POLICY),
                ):
                    for record in (None, patient, patient + 1):
                        found = _asked(connection, table, policy, who, does, now, record)
                        assert found == expected, (table, record, caller, thing, action, now)

        agree()
