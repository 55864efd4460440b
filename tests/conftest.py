"""A real database for each test that asks for one: a copy of a migrated template, dropped after.

Each worker of pytest-xdist has its own server, or its own template where TL_TEST_DATABASE_URL names
one server for all. TL_TEST_POSTGRESQL is the version of those servers, a number or `oldest`; without it they
are of the one that the service itself would take.
"""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from app.embedded import EmbeddedPostgres, binaries

pytest_plugins = ("tests.silence", "tests.enrolled")

# One secret for every service that tests make in this process, wherever its state folder is.
os.environ.setdefault("TL_KEY_SECRET", "of the tests of this process only: 0123456789")
# Services in the tests' own process answer at once; those that run as programs do as users' do.
os.environ.setdefault("TL_ANSWER_BEAT_MS", "0")

_ROOM = 4 * 1024**3
"""Bytes free in memory where test clusters are put there."""

SERVICE_ROLE = "throughline_service"
SERVICE_PASSWORD = "test"


@dataclass(frozen=True, slots=True)
class Cluster:
    """A server whose databases tests may create and drop.

    durable: it writes to disk what it must. given: it is one that was named, not one of the tests' own.
    """

    superuser_url: str
    worker: str
    durable: bool = True
    given: bool = False

    def admin_url(self, database: str) -> str:
        return urlunsplit(urlsplit(self.superuser_url)._replace(path=f"/{quote(database)}"))

    def service_url(self, database: str) -> str:
        parts = urlsplit(self.admin_url(database))
        where = parts.netloc.rpartition("@")[2]
        login = f"{SERVICE_ROLE}:{SERVICE_PASSWORD}@{where}"
        return urlunsplit(parts._replace(netloc=login))

    def execute(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.superuser_url, autocommit=True) as connection:
            connection.execute(statement)

    def create(self, database: str, template: str) -> None:
        self.drop(database)
        # File by file it takes less than half the time, unless each has to reach the disk.
        strategy = sql.SQL("WAL_LOG" if self.durable else "FILE_COPY")
        self.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY {}").format(
                sql.Identifier(database), sql.Identifier(template), strategy
            )
        )

    def database(self, name: str) -> Database:
        return Database(name, self.admin_url(name), self.service_url(name))

    def drop(self, database: str) -> None:
        self.execute(
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database))
        )


@dataclass(frozen=True, slots=True)
class Database:
    """One database: its owner's URL, and the URL of the role that the service reads as."""

    name: str
    admin_url: str
    service_url: str


def _quick() -> str | None:
    """A folder in memory where there is one with room: each test's database is copied file by file."""
    memory = Path("/dev/shm")
    if os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > _ROOM:
        return str(memory)
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`-m database`: what another server than the embedded one would tell more about."""
    for item in items:
        if "cluster" in getattr(item, "fixturenames", ()):
            item.add_marker("database")


def postgresql_asked_for() -> int | None:
    """The version that the tests' servers are to be of; None: what the service itself would take."""
    asked = os.environ.get("TL_TEST_POSTGRESQL")
    if asked == "oldest":
        return min(found.major for found in binaries.installed())
    return int(asked) if asked else None


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    given = os.environ.get("TL_TEST_DATABASE_URL")
    if given is not None:
        yield Cluster(given, worker, given=True)
        return
    # Not pytest's own temporary folder: it is closed to the account that PostgreSQL runs as.
    with tempfile.TemporaryDirectory(prefix="tl-cluster-", dir=_quick()) as folder:
        Path(folder).chmod(0o711)
        server = EmbeddedPostgres(
            Path(folder) / worker, durable=False, major=postgresql_asked_for()
        )
        url = server.start()
        try:
            yield Cluster(url, worker, durable=False)
        finally:
            server.stop()


@pytest.fixture(scope="session")
def template_database(cluster: Cluster) -> Iterator[str]:
    """The name of a migrated database that nobody is connected to.

    TL_TEST_TEMPLATE names a database of the server that has the tables already.
    """
    from app.storage import migrate

    name = f"tl_template_{cluster.worker}"
    cluster.create(name, os.environ.get("TL_TEST_TEMPLATE", "template0"))
    migrate.upgrade(cluster.admin_url(name), SERVICE_ROLE, SERVICE_PASSWORD)
    yield name
    cluster.drop(name)


_number = itertools.count(1)


@pytest.fixture
def copies(cluster: Cluster) -> Iterator[Callable[[str], Database]]:
    """Makes databases, each a fresh copy of the one that is named; they are dropped after the test."""
    made: list[str] = []

    def make(template: str) -> Database:
        name = f"tl_test_{cluster.worker}_{next(_number)}"
        cluster.create(name, template)
        made.append(name)
        return cluster.database(name)

    yield make
    for name in made:
        cluster.drop(name)


@pytest.fixture
def database(copies: Callable[[str], Database], template_database: str) -> Callable[[], Database]:
    """Makes databases, each migrated and otherwise empty."""
    return lambda: copies(template_database)
