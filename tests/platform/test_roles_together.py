"""Roles belong to the whole server: two of its databases may be migrated at the same moment."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import psycopg
import pytest
from psycopg import sql

from app.storage import migrate
from tests.conftest import Cluster

_ROLES = ("keeper", "reader", "service")
_STATEMENTS = 6
"""Of a migration: two for each role. Between any two of them another may come."""


def _names(cluster: Cluster, after: int) -> list[str]:
    return [f"tl_together_{cluster.worker}_{after}_{role}" for role in _ROLES]


@pytest.fixture
def fresh(cluster: Cluster) -> Iterator[None]:
    """The roles that the test makes are dropped after it."""
    yield
    for after in range(1, _STATEMENTS + 1):
        for name in _names(cluster, after):
            cluster.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(name)))


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("after", range(1, _STATEMENTS + 1))
def test_another_migration_may_come_between_any_two_statements(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    keeper, reader, service = _names(cluster, after)
    monkeypatch.setattr(migrate, "KEEPER", keeper)
    monkeypatch.setattr(migrate, "READERS", reader)
    first = threading.get_ident()
    executed = 0
    other: list[Future[None]] = []

    with ThreadPoolExecutor(1) as threads:

        class Interrupted(psycopg.Connection[Any]):
            """After so many statements of the first migration it lets another one go as far as it gets."""

            def execute(self, *args: Any, **options: Any) -> psycopg.Cursor[Any]:
                nonlocal executed
                cursor = super().execute(*args, **options)
                if threading.get_ident() == first:
                    executed += 1
                    if executed == after:
                        url = cluster.superuser_url
                        other.append(threads.submit(migrate.make_roles, url, service, "secret"))
                        # It ends, or waits for what this one has changed.
                        wait(other, timeout=0.3)
                return cursor

        monkeypatch.setattr(psycopg, "connect", Interrupted.connect)
        migrate.make_roles(cluster.superuser_url, service, "secret")
    other[0].result()
    with psycopg.connect(cluster.superuser_url) as connection:
        found = connection.execute(
            "SELECT rolname, rolcanlogin, rolsuper OR rolcreatedb OR rolcreaterole OR rolbypassrls "
            "FROM pg_roles WHERE rolname = ANY (%s)",
            ([keeper, reader, service],),
        ).fetchall()
    assert sorted(found) == [(keeper, False, False), (reader, False, False), (service, True, False)]
