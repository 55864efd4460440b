"""The spine's world, a second process of the same service beside it, and clients with keys."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import asyncpg
import httpx
import pytest

from app.main import create_app
from app.security import clients
from app.security.assertions import ASSERTION_TYPE
from tests.conftest import Cluster, Database
from tests.security.keys import TOKEN_URL, KeyPair
from tests.spine.conftest import World, open_world, world

__all__ = ["TOKEN_URL", "KeyPair", "world"]


@pytest.fixture
async def owner(world: World) -> AsyncIterator[asyncpg.Connection]:
    """The database's owner, who may look at everything."""
    connection = await asyncpg.connect(world.database.admin_url)
    yield connection
    await connection.close()


@pytest.fixture
async def second(world: World) -> AsyncIterator[httpx.AsyncClient]:
    """Another instance of the service on the same database: what one learns the other must."""
    application = create_app(world.service.settings, world.database.service_url)
    async with (
        application.router.lifespan_context(application),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app=application), base_url="http://test"
        ) as http,
    ):
        yield http


async def within_a_second(holds: Callable[[], Awaitable[bool]]) -> None:
    """Return as soon as `holds`; fail after a second."""
    end = time.monotonic() + 1
    while not await holds():
        assert time.monotonic() < end, "it did not come true within a second"
        await asyncio.sleep(0.01)


def by_assertion(assertion: str, **more: str) -> dict[str, str]:
    """The form of a token request."""
    return {
        "grant_type": "client_credentials",
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": assertion,
    } | more


async def add_client(world: World, client_id: str, **options: Any) -> str | None:
    """Register a client of River Clinic; its secret where it has no keys."""
    defaults: dict[str, Any] = {
        "organization": world.organizations["river-clinic"],
        "scope": "system/*.cruds",
        "purposes_of_use": ("TREAT",),
    }
    return await clients.add_client(
        world.service.database.pool, client_id=client_id, **(defaults | options)
    )


@pytest.fixture(scope="module")
def _module_database(cluster: Cluster, template_database: str) -> Iterator[Database]:
    name = f"tl_tokens_{cluster.worker}"
    cluster.create(name, template_database)
    yield cluster.database(name)
    cluster.drop(name)


@pytest.fixture(scope="module")
async def world_of_tokens(
    _module_database: Database, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    """One world for the many tests that only ask and change nothing."""
    async with open_world(_module_database, tmp_path_factory.mktemp("state")) as opened:
        yield opened
