"""Who may come in by each function that runs as the keeper, whom no policy binds: one thing changed at a time.

Neighbours: `test_conditions` (the predicate), `tools/door_mutations.py`, which deletes what is asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import psycopg
import pytest

from app.consent import labels
from app.fhir_mappings import registry
from app.storage.database import Caller
from tests.conftest import SERVICE_ROLE, Database
from tests.consent.rows import (
    CALLER,
    CUSTODIAN,
    DAY,
    ENTRY,
    GRANTEE,
    NORMAL,
    NOW,
    OTHER,
    PATIENT,
    READ,
    ROW,
    SECRET,
    TARGET,
    THIRD,
    TYPE,
    UPDATE,
    Json,
    grant,
    insert,
    store,
)

Connection = psycopg.Connection[Any]
CONSENT_TYPE = registry.type_code("Consent")
PATIENT_TYPE = registry.type_code("Patient")
TASK_TYPE = registry.type_code("Task")
CONSENT, PERSON = 400, replace(CALLER, closure=(PATIENT,), organization=None)
OWN = replace(CALLER, organization=CUSTODIAN)
OFFICER = replace(CALLER, organization=70)
BESIDE = (
    "same_person",
    "consent_end",
    "consent_authority",
    "client",
    "audit_event",
    "audit_indexed",
)


@pytest.fixture(autouse=True)
def _nothing_beside(owner: Connection) -> None:
    for table in BESIDE:
        owner.execute(f"DELETE FROM tl.{table}".encode())


def row(rid: int, **changes: Any) -> Json:
    return ENTRY | {"rid": rid, "id": f"x{rid}"} | changes


def link(connection: Connection, source: int, target: int, **more: Any) -> None:
    shared = {"source": source, "target": target, "parameter": 0}
    insert(connection, "link", shared | {"climbs": False, "author": False} | more)


@dataclass
class Within:
    """A transaction: as its owner until it has entered, as the service's role from then on."""

    connection: Connection

    def put(self, rid: int, **changes: Any) -> None:
        """A row that this transaction has written."""
        insert(self.connection, "resource", row(rid, **changes))

    def enter(self, caller: Caller) -> None:
        self.connection.execute(f"SET LOCAL ROLE {SERVICE_ROLE}".encode())
        self.connection.execute(
            "SELECT tl.enter(%s::bigint[], %s::bigint[], %s, %s, %s, 5)",
            (
                list(caller.closure),
                list(caller.deny_closure),
                caller.purpose,
                caller.organization,
                READ,
            ),
        )

    def rows(self, call: str) -> list[Any]:
        """What a function answers."""
        return self.connection.execute(f"SELECT * FROM {call} AS found".encode()).fetchall()

    def one(self, call: str) -> Any:
        ((value, *_),) = self.rows(call)
        return value

    def refused(self, call: str) -> bool:
        """Whether a function refuses; what it did is undone."""
        try:
            with self.connection.transaction():
                self.rows(call)
                raise psycopg.Rollback
        except psycopg.errors.InsufficientPrivilege:
            return True
        return False


@contextmanager
def within(conditions: Database, caller: Caller | None = CALLER) -> Iterator[Within]:
    """A transaction that keeps nothing. caller: None to enter later."""
    with psycopg.connect(conditions.admin_url) as connection:
        try:
            made = Within(connection)
            if caller is not None:
                made.enter(caller)
            yield made
        finally:
            connection.rollback()


def client(owner: Connection, **changes: Any) -> None:
    """An application of a privacy officer's organization."""
    registered = {
        "client_id": "office",
        "organization": OFFICER.organization,
        "scope": "",
        "purposes": [],
        "emergency": False,
        "privacy_officer": True,
    }
    insert(owner, "client", registered | changes)


@pytest.mark.parametrize(
    ("said", "changes", "expected"),
    [
        ("true", {}, True),
        ("false", {}, False),
        ("true", {"privacy_officer": False}, False),
        ("true", {"revoked_at": NOW}, False),
        ("true", {"organization": 71}, False),
    ],
)
def test_a_privacy_officer_is_one_by_token_and_by_a_registration_that_stands(
    owner: Connection, conditions: Database, said: str, changes: Json, expected: bool
) -> None:
    client(owner, **changes)
    with within(conditions, OFFICER) as service:
        assert service.one(f"tl.is_officer({said})") is expected


@pytest.mark.parametrize(
    ("caller", "granted", "expected"),
    [
        (CALLER, True, False),
        (OWN, True, True),
        (OWN, False, False),
        (PERSON, True, True),
        (PERSON, False, False),
        (replace(PERSON, closure=(OTHER,)), True, False),
    ],
)
def test_a_resource_is_reviewed_by_its_custodian_and_its_survivor_where_they_may_read_it(
    owner: Connection, conditions: Database, caller: Caller, granted: bool, expected: bool
) -> None:
    store(owner)
    if granted:
        for rid in (GRANTEE, PATIENT, OTHER):
            grant(owner, grantee=rid)
    with within(conditions, caller) as service:
        found = service.rows(f"tl.review_target({TYPE}::smallint, 'x{ROW}', false)")
    assert bool(found) is expected


def consented(owner: Connection, survivor: int = PATIENT, rid: int = CONSENT) -> None:
    insert(owner, "resource", row(rid, type=CONSENT_TYPE, patient=survivor, custodian=21))
    insert(owner, "resource", row(survivor, patient=survivor, custodian=21))


CONSENTS = f"tl.review_consents({PATIENT}, {CONSENT_TYPE}::smallint, false, 'infinity')"


def test_the_consents_of_a_record_are_told_to_its_survivor_and_to_who_keeps_a_part_of_it(
    owner: Connection, conditions: Database
) -> None:
    consented(owner)
    consented(owner, OTHER, CONSENT + 1)
    store(owner)
    insert(owner, "resource", row(ROW + 1, patient=OTHER, custodian=22))
    for caller, expected in (
        (OWN, [CONSENT]),
        (PERSON, [CONSENT]),
        (CALLER, []),
        # Of somebody else's record it keeps a part.
        (replace(CALLER, organization=22), []),
        (replace(PERSON, closure=(OTHER,)), []),
    ):
        with within(conditions, caller) as service:
            assert [each[0] for each in service.rows(CONSENTS)] == expected, caller


@pytest.mark.parametrize("granted", [False, True])
def test_a_consent_is_named_to_those_who_may_read_it(
    owner: Connection, conditions: Database, granted: bool
) -> None:
    consented(owner)
    if granted:
        grant(owner, grantee=PATIENT)
    with within(conditions, PERSON) as service:
        ((*_, shown),) = service.rows(CONSENTS)
    assert shown is granted


def accessed(owner: Connection, *rids: int, seq: int = 1, **changes: Any) -> None:
    """A row of the audit."""
    event = {
        "lane": 1,
        "seq": seq,
        "hash": b"",
        "recorded": NOW,
        "action": "R",
        "interaction": "read",
        "outcome": 0,
        "rids": list(rids),
        "request_id": f"00000000-0000-4000-8000-00000000000{seq}",
    }
    insert(owner, "audit_event", event | changes)


def test_accesses_are_told_to_the_survivor_as_far_as_they_may_read_what_was_seen(
    owner: Connection, conditions: Database
) -> None:
    insert(owner, "resource", row(ROW))
    insert(owner, "resource", row(ROW + 1, labels=NORMAL | SECRET))
    insert(owner, "resource", row(ROW + 2, patient=OTHER))
    accessed(owner, ROW, ROW + 1, ROW + 2)
    grant(owner, grantee=PATIENT)
    grant(owner, patient=OTHER, grantee=PATIENT)
    grant(owner)
    client(owner)
    call = f"tl.disclosures({PATIENT}, '-infinity', %s)"
    for caller, said, expected in (
        (PERSON, "false", [[ROW]]),
        (CALLER, "false", []),
        (CALLER, "true", []),
        (OFFICER, "true", [[ROW, ROW + 1]]),
    ):
        with within(conditions, caller) as service:
            assert [each[-1] for each in service.rows(call % said)] == expected, caller


def test_what_was_seen_is_named_to_those_who_may_read_it_and_to_officers(
    owner: Connection, conditions: Database
) -> None:
    insert(owner, "resource", row(ROW, labels=NORMAL | SECRET))
    grant(owner)
    client(owner)
    call = f"tl.review_facts(ARRAY[{ROW}]::bigint[], %s)"
    for caller, said, count in ((CALLER, "false", 0), (CALLER, "true", 0), (OFFICER, "true", 1)):
        with within(conditions, caller) as service:
            assert len(service.rows(call % said)) == count
    owner.execute("UPDATE tl.resource SET labels = %s", (NORMAL,))
    with within(conditions) as service:
        assert len(service.rows(call % "false")) == 1


def test_when_consents_were_written_is_told_to_their_survivor(
    owner: Connection, conditions: Database
) -> None:
    consented(owner)
    insert(
        owner,
        "resource",
        row(CONSENT + 1, type=CONSENT_TYPE, patient=OTHER, last_updated=NOW - DAY),
    )
    call = f"tl.consent_moments({PATIENT}, false)"
    with within(conditions, PERSON) as service:
        assert service.rows(call) == [(NOW,)]
    with within(conditions, OWN) as service:
        assert service.rows(call) == []


NOTHING_WRITTEN: dict[str, tuple[Json, str]] = {
    "a row of the survivor's": ({}, "true"),
    "a Consent of the survivor's": ({"type": CONSENT_TYPE}, "true"),
    "a row about the survivor too": ({"patient": OTHER, "co_subjects": [PATIENT]}, "true"),
    "a row of somebody else": ({"patient": OTHER}, "false"),
    "a Consent of somebody else": ({"type": CONSENT_TYPE, "patient": OTHER}, "false"),
    "the survivor's Patient": ({"type": PATIENT_TYPE}, "true"),
    "a Patient of somebody else": ({"type": PATIENT_TYPE, "patient": OTHER}, "false"),
    "an officer's policy": ({"patient": None, "officer": True}, "true"),
    "a policy of no officer": ({"patient": None, "officer": False}, "false"),
    "an officer's Consent of somebody": ({"patient": OTHER, "officer": True}, "false"),
}


@pytest.mark.parametrize("now", [False, True])
@pytest.mark.parametrize("name", NOTHING_WRITTEN)
def test_grants_are_compiled_by_who_has_just_written_about_the_survivor(
    owner: Connection, conditions: Database, name: str, now: bool
) -> None:
    changes, expected = NOTHING_WRITTEN[name]
    officer = changes.get("officer")
    written = {key: value for key, value in changes.items() if key != "officer"}
    with within(conditions, None) as service:
        insert(service.connection if now else owner, "resource", row(ROW, **written))
        if officer is not None:
            service.connection.execute(
                "INSERT INTO tl.consent_authority VALUES (%s, %s)", (ROW, officer)
            )
        service.enter(CALLER)
        assert service.one(f"tl.may_compile({PATIENT})") is (now and expected == "true")


FOR_WRITERS = {
    "consents_of": f"tl.consents_of({PATIENT}, {CONSENT_TYPE}::smallint, 0)",
    "put_ends": f"tl.put_ends({PATIENT})",
    "put_grants": f"tl.put_grants({PATIENT}, '[]')",
    "put_authority": f"tl.put_authority(ARRAY[{ROW}]::bigint[], true)",
    "store_index": f"tl.store_index(ARRAY[{ROW}]::bigint[], {', '.join(['NULL'] * 32)})",
    "put_memberships": f"tl.put_memberships(ARRAY[{ROW}]::bigint[], {', '.join(['NULL'] * 7)})",
}


@pytest.mark.parametrize("name", FOR_WRITERS)
def test_a_door_of_writers_is_closed_to_who_has_written_nothing(
    owner: Connection, conditions: Database, name: str
) -> None:
    with within(conditions, None) as service:
        service.put(ROW)
        service.enter(CALLER)
        assert not service.refused(FOR_WRITERS[name])
    store(owner)
    with within(conditions) as service:
        assert service.refused(FOR_WRITERS[name])


def test_all_survivors_are_told_to_who_has_just_written_a_policy(
    owner: Connection, conditions: Database
) -> None:
    store(owner)
    call = f"tl.survivors({TYPE}::smallint)"
    with within(conditions) as service:
        assert service.rows(call) == []
    with within(conditions, None) as service:
        service.put(CONSENT, type=CONSENT_TYPE, patient=None)
        service.connection.execute("INSERT INTO tl.consent_authority VALUES (%s, true)", (CONSENT,))
        service.enter(CALLER)
        assert service.rows(call) == [(ROW,)]


def test_policies_for_all_are_those_of_officers_that_name_no_patient(
    owner: Connection, conditions: Database
) -> None:
    for rid, patient, officer in ((1, None, True), (2, None, False), (3, PATIENT, True)):
        insert(owner, "resource", row(rid, type=CONSENT_TYPE, patient=patient, content=b"%d" % rid))
        owner.execute("INSERT INTO tl.consent_authority VALUES (%s, %s)", (rid, officer))
    with within(conditions) as service:
        found = service.rows(f"tl.ceilings({CONSENT_TYPE}::smallint)")
    assert [bytes(content) for content, _ in found] == [b"1"]


IN_DOUBT = f"tl.in_doubt({PATIENT}, {CONSENT_TYPE}::smallint)"
DOUBTS: dict[str, tuple[Json, bool]] = {
    "their Consent": ({"type": CONSENT_TYPE}, True),
    "another row of theirs": ({}, False),
    "a Consent about them too": (
        {"type": CONSENT_TYPE, "patient": OTHER, "co_subjects": [PATIENT]},
        True,
    ),
    "another row about them too": ({"patient": OTHER, "co_subjects": [PATIENT]}, False),
    "a Consent that names them": ({"type": CONSENT_TYPE, "patient": OTHER, "named": True}, True),
    "another row that names them": ({"patient": OTHER, "named": True}, False),
    "somebody else's Consent": ({"type": CONSENT_TYPE, "patient": OTHER}, False),
}


@pytest.mark.parametrize("now", [False, True])
@pytest.mark.parametrize("name", DOUBTS)
def test_a_survivor_is_in_doubt_where_a_consent_about_them_was_just_written(
    owner: Connection, conditions: Database, name: str, now: bool
) -> None:
    changes, expected = DOUBTS[name]
    written = {key: value for key, value in changes.items() if key != "named"}
    with within(conditions, None) as service:
        insert(service.connection if now else owner, "resource", row(CONSENT, **written))
        if "named" in changes:
            link(service.connection, CONSENT, PATIENT)
        service.enter(CALLER)
        assert service.one(IN_DOUBT) is (now and expected)


@pytest.mark.parametrize(
    ("patient", "taken", "now", "expected"),
    [
        (PATIENT, True, True, True),
        (PATIENT, True, False, False),
        (PATIENT, False, True, False),
        (OTHER, True, True, False),
    ],
)
def test_a_survivor_is_in_doubt_where_an_end_was_just_taken_up(
    owner: Connection, conditions: Database, patient: int, taken: bool, now: bool, expected: bool
) -> None:
    end = {"patient": patient, "ends": NOW, "due": NOW, "taken_up": taken}
    with within(conditions, None) as service:
        insert(service.connection if now else owner, "consent_end", end)
        service.enter(CALLER)
        assert service.one(IN_DOUBT) is expected


NOTED = (
    "tl.note_tasks(ARRAY[{rid}]::bigint[], ARRAY[{version}], now(), ARRAY['x'::bytea], "
    f"{TASK_TYPE}::smallint, {CONSENT_TYPE}::smallint)"
)


@pytest.mark.parametrize(
    ("changes", "version", "caller", "refused"),
    [
        ({}, 2, OWN, False),
        ({}, 1, OWN, True),
        ({"type": TYPE}, 2, OWN, True),
        ({"patient": OTHER}, 2, OWN, True),
        ({}, 2, CALLER, True),
    ],
)
def test_a_task_is_noted_by_its_custodian_while_its_survivor_is_in_doubt(
    owner: Connection,
    conditions: Database,
    changes: Json,
    version: int,
    caller: Caller,
    refused: bool,
) -> None:
    insert(owner, "resource", row(ROW, **{"type": TASK_TYPE} | changes))
    with within(conditions, None) as service:
        service.put(CONSENT, type=CONSENT_TYPE)
        service.enter(caller)
        assert service.refused(NOTED.format(rid=ROW, version=version)) is refused


def test_tasks_in_doubt_are_told_where_somebody_is(owner: Connection, conditions: Database) -> None:
    insert(owner, "resource", row(ROW, type=TASK_TYPE))
    call = f"tl.tasks_in_doubt({PATIENT}, {TASK_TYPE}::smallint, {CONSENT_TYPE}::smallint)"
    with within(conditions) as service:
        assert service.refused(call)
    with within(conditions, None) as service:
        service.put(CONSENT, type=CONSENT_TYPE)
        service.enter(CALLER)
        assert service.rows(call) == [(ROW, CUSTODIAN)]


PAIR = ((PATIENT, OTHER), (OTHER, PATIENT))


@pytest.mark.parametrize(
    ("links", "caller", "correctable", "refused"),
    [
        (PAIR, OWN, (), False),
        (PAIR, CALLER, (), True),
        (PAIR, CALLER, (PATIENT,), True),
        (PAIR, CALLER, (PATIENT, OTHER), False),
        (PAIR[:1], OWN, (), True),
        (PAIR[1:], OWN, (), True),
    ],
)
def test_two_patients_become_one_person_by_who_may_correct_both_where_each_links_the_other(
    owner: Connection,
    conditions: Database,
    links: tuple[tuple[int, int], ...],
    caller: Caller,
    correctable: tuple[int, ...],
    refused: bool,
) -> None:
    for rid in (PATIENT, OTHER):
        insert(owner, "resource", row(rid, patient=rid))
    for source, target in links:
        link(owner, source, target)
    for patient in correctable:
        grant(owner, patient=patient, actions=UPDATE)
    with within(conditions, caller) as service:
        assert service.refused(f"tl.link_person({PATIENT}, {OTHER})") is refused


def test_one_person_is_parted_by_who_may_correct_both(
    owner: Connection, conditions: Database
) -> None:
    for rid in (PATIENT, OTHER):
        insert(owner, "resource", row(rid, patient=rid))
    for caller, refused in ((OWN, False), (CALLER, True)):
        with within(conditions, caller) as service:
            assert service.refused(f"tl.unlink_person({PATIENT}, {OTHER})") is refused


@pytest.mark.parametrize("hidden", ["nothing", "the resource", "the element"])
def test_what_a_resource_refers_to_is_told_to_those_who_see_it(
    owner: Connection, conditions: Database, hidden: str
) -> None:
    insert(
        owner, "resource", row(ROW, labels=NORMAL | SECRET if hidden == "the resource" else NORMAL)
    )
    link(owner, ROW, TARGET, inline_mask=SECRET if hidden == "the element" else None)
    grant(owner)
    with within(conditions) as service:
        found = service.one(f"tl.targets_of(ARRAY[{ROW}]::bigint[])")
    assert found == ([TARGET] if hidden == "nothing" else [])


@pytest.mark.parametrize(
    ("changes", "told"),
    [({}, True), ({"grantee": THIRD}, False), ({"consent": CONSENT + 1}, False)],
)
def test_the_scope_of_a_consent_is_told_to_whom_a_grant_of_it_is_for(
    owner: Connection, conditions: Database, changes: Json, told: bool
) -> None:
    insert(owner, "resource", row(CONSENT, type=CONSENT_TYPE, content=b"{}"))
    grant(owner, **{"consent": CONSENT} | changes)
    with within(conditions) as service:
        assert (service.one(f"tl.consent_of_grant({CONSENT})") is not None) is told


def test_who_writes_is_set(conditions: Database) -> None:
    with within(conditions, replace(CALLER, organization=None)) as service:
        assert service.refused("tl.writer()")
    with within(conditions) as service:
        assert service.one("tl.writer()") == CALLER.organization


def test_links_are_stored_of_what_was_written_alone(
    owner: Connection, conditions: Database
) -> None:
    store(owner)
    owner.execute("DELETE FROM tl.link")
    with within(conditions, None) as service:
        service.put(ROW + 1)
        service.enter(CALLER)
        empty = ", ".join(["NULL"] * 26)
        service.rows(
            f"tl.store_index(ARRAY[{ROW + 1}]::bigint[], {empty}, ARRAY[{ROW}, {ROW + 1}]::bigint[], "
            f"ARRAY[{TARGET}, {TARGET}]::bigint[], ARRAY[0, 0]::bigint[], ARRAY[false, false], "
            "ARRAY[false, false], ARRAY[NULL, NULL]::bigint[])"
        )
        service.connection.execute("RESET ROLE")
        assert service.rows("(SELECT source FROM tl.link)") == [(ROW + 1,)]


NOTES = labels.SENSITIVITY["PSYTHPN"]


def test_a_survivor_is_told_of_no_access_to_what_is_kept_back_from_them(
    owner: Connection, conditions: Database
) -> None:
    for rid, changes in (
        (ROW, {}),
        (ROW + 1, {"labels": NORMAL | NOTES}),
        (ROW + 2, {"labels": NORMAL | labels.NOPAT}),
        (ROW + 3, {"co_subjects": [OTHER]}),
    ):
        insert(owner, "resource", row(rid, **changes))
    accessed(owner, ROW, ROW + 1, ROW + 2, ROW + 3, query="_id=x")
    call = "(SELECT entities, query FROM tl.audit_entry)"
    with within(conditions, None) as service:
        service.rows("tl.index_audit(10)")
        filed = service.rows(call)
        service.enter(PERSON)
        survivors = service.rows(call)
        service.enter(replace(PERSON, closure=(-3,)))
        officers = service.rows(call)
    name = registry.type_name(TYPE)
    assert survivors == [([f"{name}/x{ROW}"], None)]
    assert sorted(officers) == sorted(filed)
    assert {query for _, query in filed} == {None, "_id=x"}


NOT_FOR_THE_SERVICE = {
    "tasks_about": f"tl.tasks_about({PATIENT}, {TASK_TYPE}::smallint)",
    "store_search": f"tl.store_search({', '.join(['NULL'] * 27)})",
}


@pytest.mark.parametrize("name", NOT_FOR_THE_SERVICE)
def test_what_the_keepers_functions_alone_may_call_is_closed_to_the_service(
    conditions: Database, name: str
) -> None:
    with within(conditions) as service:
        assert service.refused(NOT_FOR_THE_SERVICE[name])


def test_no_function_may_be_called_by_everybody(owner: Connection) -> None:
    found = owner.execute(
        "SELECT count(*) FROM pg_proc p WHERE p.pronamespace = 'tl'::regnamespace "
        "AND has_function_privilege('public', p.oid, 'EXECUTE')"
    ).fetchone()
    assert found == (0,)
