"""A PostgreSQL of the operator's: migrated, used, refused where it is not safe, and explained."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from app.storage.health import Check, Wanted, checks, unsafe
from tests.commands.program import serving, throughline
from tests.conftest import SERVICE_ROLE, Cluster, Database

WANTED = Wanted(SERVICE_ROLE, 10)


@pytest.fixture
def empty(cluster: Cluster) -> Iterator[str]:
    """The owner's URL of a database with nothing in it, with a role of its own for the service."""
    name, role = f"tl_empty_{cluster.worker}", f"tl_service_{cluster.worker}"
    cluster.create(name, "template0")
    yield cluster.admin_url(name)
    cluster.drop(name)
    cluster.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))


@pytest.fixture
def made(database: Callable[[], Database]) -> Database:
    return database()


def test_an_empty_database_is_migrated_by_the_first_command(
    empty: str, cluster: Cluster, state: Path
) -> None:
    settings = {"TL_DATABASE_URL": empty, "TL_SERVICE_ROLE": f"tl_service_{cluster.worker}"}
    found = throughline(state, "doctor", **settings)
    assert found.returncode == 1
    assert "throughline migrate" in found.stderr
    assert throughline(state, "migrate", **settings).returncode == 0
    assert throughline(state, "client", "list", **settings).returncode == 0
    well = throughline(state, "doctor", **settings)
    # The test's own server does not write through, which doctor rightly says.
    faults = [line for line in well.stderr.splitlines() if line.startswith("✗")]
    assert [f for f in faults if "acknowledged" not in f] == [], well.stderr


def test_the_demo_and_its_tour_run_on_a_database_of_the_operators(
    empty: str, cluster: Cluster, state: Path
) -> None:
    settings = {"TL_DATABASE_URL": empty, "TL_SERVICE_ROLE": f"tl_service_{cluster.worker}"}
    with serving(state, "demo", TL_WORKERS="2", **settings) as served:
        done = throughline(state, "tour", **settings | served.settings)
        assert done.returncode == 0, done.stdout + done.stderr
        assert not (state / "postgres").exists(), "no database of its own is made"
        assert served.end() == 0


def test_a_database_that_does_not_answer_is_named_without_its_password(state: Path) -> None:
    url = "postgresql://owner:hush@127.0.0.1:1/records"
    for command in (["client", "list"], ["doctor"]):
        done = throughline(state, *command, TL_DATABASE_URL=url)
        assert done.returncode == 1
        assert "TL_DATABASE_URL" in done.stderr
        assert "hush" not in done.stderr
        assert "Traceback" not in done.stderr


def test_a_service_url_of_another_role_is_refused(cluster: Cluster, state: Path) -> None:
    url = cluster.superuser_url
    done = throughline(state, "client", "list", TL_DATABASE_URL=url, TL_MIGRATION_DATABASE_URL=url)
    assert done.returncode == 1
    assert "TL_SERVICE_ROLE" in done.stderr


def _faults(url: str) -> dict[str, Check]:
    with psycopg.connect(url, autocommit=True) as connection:
        return {
            each.name: each
            for each in checks(connection, WANTED)
            if each.fault is not None and "acknowledged" not in each.name
        }


def test_a_migrated_database_has_no_fault(made: Database) -> None:
    assert _faults(made.service_url) == {}


def test_a_superuser_as_the_service_is_unsafe(made: Database) -> None:
    with psycopg.connect(made.admin_url) as connection:
        found = unsafe(connection, WANTED)
    assert any("superuser" in (each.fault or "") for each in found)
    assert any("it owns" in (each.fault or "") for each in found)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("ALTER TABLE tl.link DISABLE ROW LEVEL SECURITY", "link has row-level security disabled"),
        ("ALTER TABLE tl.resource NO FORCE ROW LEVEL SECURITY", "resource does not force"),
        ("DROP POLICY caller ON tl.index_token", "index_token has no policy"),
        (
            "CREATE POLICY more ON tl.resource FOR SELECT USING (true)",
            "resource has a policy that does not come from the migrations",
        ),
        (
            f"CREATE POLICY by_key ON tl.index_token FOR SELECT TO {SERVICE_ROLE} USING (true)",
            "index_token has a policy that does not come from the migrations",
        ),
        (
            f"ALTER POLICY keeper ON tl.link TO {SERVICE_ROLE}",
            "link has a policy that does not come from the migrations",
        ),
        (
            "ALTER VIEW tl.resource_by_key OWNER TO CURRENT_USER",
            "tl.resource_by_key is not the view of throughline_reader",
        ),
        ("DROP VIEW tl.others_token", "others_token is missing"),
        ("ALTER VIEW tl.others_token RESET (security_barrier)", "others_token is not the keeper's"),
        (f"GRANT UPDATE ON tl.resource TO {SERVICE_ROLE}", "may write to resource"),
        (f"ALTER TABLE tl.client OWNER TO {SERVICE_ROLE}", "it owns tl.client"),
    ],
)
def test_whatever_would_let_rows_be_seen_is_unsafe(
    made: Database, statement: str, words: str
) -> None:
    with psycopg.connect(made.admin_url) as connection:
        connection.execute(statement.encode())
    with psycopg.connect(made.service_url) as connection:
        faults = [each.fault or "" for each in unsafe(connection, WANTED)]
    assert any(words in fault for fault in faults), faults


def test_a_database_of_another_release_is_told(made: Database) -> None:
    with psycopg.connect(made.admin_url) as connection:
        connection.execute("UPDATE tl.routine SET digest = 'another'")
    assert "throughline migrate" in _faults(made.service_url)["schema of this release"].remedy


def test_a_server_with_too_few_connections_is_told(made: Database) -> None:
    with psycopg.connect(made.service_url) as connection:
        found = [
            each.fault
            for each in checks(connection, Wanted(SERVICE_ROLE, 100_000))
            if each.fault is not None and "100000" in each.fault
        ]
    assert len(found) == 1
