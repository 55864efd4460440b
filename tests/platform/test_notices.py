"""The connection that listens ends when it is told to, whatever it hears at that moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import asyncpg
import pytest

from app.storage.notices import CHANNEL, Notices
from tests.conftest import Database


@pytest.mark.parametrize("steps", range(6))
async def test_listening_ends_though_a_notice_comes_just_before(
    database: Callable[[], Database], steps: int
) -> None:
    async def reload(_: asyncpg.Connection) -> None:
        return None

    notices = Notices(database().service_url, lambda _: None, reload)
    await notices.start()
    await asyncio.sleep(0.05)
    notices._on_notice(None, 0, CHANNEL, "keys")  # as its connection calls it
    for _ in range(steps):
        await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await notices.stop()
    assert not notices.current
