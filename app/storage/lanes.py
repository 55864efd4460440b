"""Connections for statements of one round trip: taken and given back without a task, a timer or a reset.

What a pool does at each use (a shielded task to give back, a timer for idleness) costs as much as a read by
key itself. A lane is a connection that is taken from the pool once and kept. A lane whose statement did not
end cleanly (a lost connection, a cancelled request) is given back to the pool, which knows how to mend it, and
another takes its place. Neighbour: `app.storage.database`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from time import perf_counter
from typing import Any

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from app import metrics


class Lanes:
    """At most `size` lanes, opened as they are needed; whoever finds none free waits in turn."""

    def __init__(self, pool: asyncpg.Pool, size: int, name: str) -> None:
        """pool: of this object's own, of `size` connections at most. name: of the pool, in metrics."""
        self._pool = pool
        self._size = size
        self._waited = metrics.POOL_WAIT.labels(name)
        self._taken = 0
        self._free: list[PoolConnectionProxy] = []
        self._waiting: deque[asyncio.Future[PoolConnectionProxy | None]] = deque()
        self._mending: set[asyncio.Task[None]] = set()

    async def fetch(self, text: str, *arguments: Any) -> list[asyncpg.Record]:
        """Run one statement; raises what the database raises."""
        lane = self._free.pop() if self._free else await self._wait()
        try:
            rows: list[asyncpg.Record] = await lane.fetch(text, *arguments)
        except asyncpg.PostgresError:
            # The server has answered: the connection is as good as before, unless it says goodbye.
            if lane.is_closed():
                self._mend(lane)
            else:
                self._give(lane)
            raise
        except BaseException:
            self._mend(lane)
            raise
        self._give(lane)
        return rows

    async def close(self) -> None:
        """Close all lanes; nothing may be running on them. They are cut off where this is cancelled."""
        try:
            for task in list(self._mending):
                await task
            for lane in self._free:
                await self._pool.release(lane)
            self._free.clear()
            await self._pool.close()
        except BaseException:
            self._pool.terminate()
            raise

    @property
    def connections(self) -> tuple[int, int]:
        """How many are open, and how many of these are free."""
        return self._taken, len(self._free)

    async def _wait(self) -> PoolConnectionProxy:
        begun = perf_counter()
        lane = await self._take()
        self._waited.observe(perf_counter() - begun)
        return lane

    async def _take(self) -> PoolConnectionProxy:
        while True:
            if self._taken < self._size:
                self._taken += 1
                try:
                    return await self._pool.acquire()
                except BaseException:
                    self._lessen()
                    raise
            waiting: asyncio.Future[PoolConnectionProxy | None] = (
                asyncio.get_running_loop().create_future()
            )
            self._waiting.append(waiting)
            try:
                lane = await waiting
            except asyncio.CancelledError:
                # It may have been handed a lane, or the place for one, just before.
                if waiting.done() and not waiting.cancelled():
                    if (handed := waiting.result()) is not None:
                        self._give(handed)
                    else:
                        self._wake(None)
                raise
            if lane is not None:
                return lane

    def _wake(self, lane: PoolConnectionProxy | None) -> bool:
        """Hand a lane, or the news that there is place for one, to whoever waits longest."""
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(lane)
                return True
        return False

    def _give(self, lane: PoolConnectionProxy) -> None:
        if not self._wake(lane):
            self._free.append(lane)

    def _lessen(self) -> None:
        self._taken -= 1
        self._wake(None)

    def _mend(self, lane: PoolConnectionProxy) -> None:
        async def give_back() -> None:
            try:
                # asyncpg waits for a cancellation under way, and ends what cannot be mended.
                with contextlib.suppress(Exception):
                    await self._pool.release(lane, timeout=5)
            finally:
                self._lessen()

        task = asyncio.get_running_loop().create_task(give_back())
        self._mending.add(task)
        task.add_done_callback(self._mending.discard)
