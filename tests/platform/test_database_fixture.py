from __future__ import annotations

from collections.abc import Callable

import asyncpg
import psycopg

from tests.conftest import SERVICE_ROLE, Database


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
