from __future__ import annotations

from collections.abc import Callable

import asyncpg
import psycopg

from app.embedded import binaries
from tests.conftest import SERVICE_ROLE, Cluster, Database, postgresql_asked_for


def test_each_database_is_a_migrated_copy_of_its_own(database: Callable[[], Database]) -> None:
    one, other = database(), database()
    assert one.name != other.name
    with psycopg.connect(one.admin_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE only_here ()")
    with psycopg.connect(other.admin_url) as connection:
        found = connection.execute(
            "SELECT to_regclass('tl.resource') IS NOT NULL, to_regclass('only_here') IS NULL"
        ).fetchone()
    assert found == (True, True)


async def test_service_url_connects_as_the_service_with_the_driver_it_uses(
    database: Callable[[], Database],
) -> None:
    connection = await asyncpg.connect(database().service_url)
    try:
        assert await connection.fetchval("SELECT current_user") == SERVICE_ROLE
        assert await connection.fetchval(
            "SELECT NOT (rolsuper OR rolbypassrls) FROM pg_roles WHERE rolname = current_user"
        )
    finally:
        await connection.close()


def test_the_server_is_of_the_version_that_was_asked_for(cluster: Cluster) -> None:
    with psycopg.connect(cluster.superuser_url) as connection:
        major = connection.info.server_version // 10_000
    if cluster.given:
        assert major >= binaries.OLDEST
    else:
        assert major == (postgresql_asked_for() or binaries.find(None).major)
