"""What tests share: a service for the consent cases, and a store with nothing in it for single rows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
import pytest

from app.storage import migrate
from app.storage.database import Database as Opened
from tests.conftest import Cluster, Database

if TYPE_CHECKING:
    from tests.consent.stage import Stage


@pytest.fixture(scope="session")
async def stage(
    cluster: Cluster, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stage]:
    # Here, because single rows need no service, and it takes longer to load than to ask about them.
    from app.main import create_app
    from app.settings import Settings
    from tests.consent.stage import Stage

    name = f"tl_stage_{cluster.worker}"
    cluster.create(name, template_database)
    folder: Path = tmp_path_factory.mktemp("stage")
    settings = Settings(state_dir=folder, max_bundle_entries=200)
    application = create_app(settings, cluster.service_url(name))
    transport = httpx.ASGITransport(app=application)
    async with (
        application.router.lifespan_context(application),
        httpx.AsyncClient(transport=transport, base_url="http://test") as http,
    ):
        stage = Stage(application.state.service, http)
        await stage.build()
        yield stage
    cluster.drop(name)


@pytest.fixture(scope="module")
def conditions(cluster: Cluster, template_database: str) -> Iterator[Database]:
    """A database for the cases of this module."""
    name = f"tl_conditions_{cluster.worker}"
    cluster.create(name, template_database)
    yield cluster.database(name)
    cluster.drop(name)


@pytest.fixture(scope="module")
def _owner(conditions: Database) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(conditions.admin_url, autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off")
        yield connection


@pytest.fixture
def owner(_owner: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """The owner's connection to a store with nothing in it."""
    # Not TRUNCATE: for a few rows it took longer than most of the tests.
    emptied = "; ".join(f"DELETE FROM tl.{table}" for table in migrate.SURVIVOR_TABLES)
    _owner.execute(emptied.encode())
    _owner.execute("UPDATE tl.directory_epoch SET epoch = 5, next_change = 'infinity'")
    return _owner


@pytest.fixture
async def opened(conditions: Database) -> AsyncIterator[Opened]:
    """The service's own way in."""
    database = await Opened.open(
        conditions.service_url, minimum=1, maximum=2, statement_timeout_ms=5000
    )
    yield database
    await database.close()
