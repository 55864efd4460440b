"""What other processes must learn within a second: revocations and new keys, by LISTEN and NOTIFY.

Triggers send the notices (app/storage/sql/routines.sql), so that a change by hand or by the command line is
heard as well. A connection that was lost may have missed some: everything is read anew after it is back, and
while it is away `current` is false, which callers must read as "do not trust what is in memory".
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

import asyncpg

from app.ending import end
from app.storage.database import LOST

CHANNEL: Final = "tl_trust"

Reload = Callable[[asyncpg.Connection], Awaitable[None]]
"""Reads everything anew."""

_LOG: Final = logging.getLogger("throughline")
_HEARTBEAT_SECONDS: Final = 5.0
_ANSWER_SECONDS: Final = 2.0
_AGAIN_SECONDS: Final = 0.25


class Notices:
    """One listening connection of a process."""

    def __init__(self, url: str, heard: Callable[[str], None], reload: Reload) -> None:
        """heard: called with each notice's payload. reload: on every new connection, and when asked."""
        self._url = url
        self._heard = heard
        self._reload = reload
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._stale = False
        self.current = False

    async def start(self) -> None:
        """Listen, read everything, go on in the background; raises what the database raises."""
        connection = await self._connect()
        self._task = asyncio.create_task(self._run(connection))

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            await end(self._task)

    async def _connect(self) -> asyncpg.Connection:
        connection = await asyncpg.connect(
            self._url,
            timeout=_ANSWER_SECONDS,
            server_settings={"application_name": "throughline notices", "search_path": "tl"},
        )
        try:
            # First listen, then read: what changes in between is read, or heard, or both.
            await connection.add_listener(CHANNEL, self._on_notice)
            connection.add_termination_listener(self._on_end)
            await self._reload(connection)
        except BaseException:
            connection.terminate()
            raise
        self.current = True
        return connection

    def _on_notice(self, _connection: Any, _pid: int, _channel: str, payload: object) -> None:
        text = str(payload)
        if text == "keys":
            self._stale = True
            self._wake.set()
        else:
            self._heard(text)

    def _on_end(self, _connection: Any) -> None:
        self.current = False
        self._wake.set()

    async def _run(self, connection: asyncpg.Connection) -> None:
        try:
            while True:
                try:
                    await self._watch(connection)
                except LOST:
                    self.current = False
                    connection.terminate()
                    _LOG.warning("the notices of other processes are lost; listening again")
                    connection = await self._again()
        finally:
            self.current = False
            connection.terminate()

    async def _watch(self, connection: asyncpg.Connection) -> None:
        while True:
            # Not `wait_for`: where a notice came just before, it swallowed the cancellation that `stop` sends,
            # and the end of the service had no end.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_HEARTBEAT_SECONDS):
                    await self._wake.wait()
            self._wake.clear()
            if self._stale:
                self._stale = False
                async with asyncio.timeout(_ANSWER_SECONDS):
                    await self._reload(connection)
            # A connection that died without a word is found here.
            await connection.execute("SELECT 1", timeout=_ANSWER_SECONDS)

    async def _again(self) -> asyncpg.Connection:
        while True:
            try:
                return await self._connect()
            except LOST:
                await asyncio.sleep(_AGAIN_SECONDS)
