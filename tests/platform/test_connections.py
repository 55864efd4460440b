"""What every connection of the service is set to, whatever its server's defaults are."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
from psycopg import sql

from app.storage.database import Caller, base_closure
from app.storage.database import Database as ServiceDatabase
from tests.conftest import Database


async def test_no_statement_is_compiled_where_the_server_would(
    database: Callable[[], Database],
) -> None:
    made = database()
    with psycopg.connect(made.admin_url, autocommit=True) as owner:
        owner.execute(
            sql.SQL(
                "ALTER DATABASE {} SET jit = on; ALTER DATABASE {} SET jit_above_cost = 0"
            ).format(*[sql.Identifier(made.name)] * 2)
        )
        epoch = owner.execute("SELECT epoch FROM tl.directory_epoch").fetchone()
    assert epoch is not None
    nobody = Caller(
        closure=base_closure((), has_organization=False, emergency=False),
        deny_closure=(),
        purpose=0,
        organization=None,
        epoch=epoch[0],
    )
    service = await ServiceDatabase.open(
        made.service_url, minimum=1, maximum=2, statement_timeout_ms=10_000
    )
    try:
        for way in ({}, {"by_key": True}, {"planned": True}):
            rows = await service.fetch(nobody, "SELECT current_setting('jit') AS jit", **way)
            assert [row["jit"] for row in rows] == ["off"], way
        assert await service.pool.fetchval("SELECT current_setting('jit')") == "off"
    finally:
        await service.close()
