"""Reads by type and id, in groups: what waits while one statement is under way goes together with the next.

Of a single read most is not reading but the round trip and the start of a statement, which a group pays
once. Nothing waits for company: with nobody else there a read goes at once, alone. A group is of one caller,
for whom its statement is entered as every other (`app.storage.database`). Neighbour: `app.storage.resources`,
which says what is read.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Generic, TypeVar

UNDER_WAY: Final = 2
"""Groups of a process that are read at once: one is being read while the answers of another are sent."""

MOST: Final = 64
"""Reads of a group."""

Caller = TypeVar("Caller")
Row = TypeVar("Row")
Key = tuple[int, str]

Fetch = Callable[[Caller, Sequence[Key]], Awaitable[Sequence[tuple[int, Row]]]]
"""Reads one group; answers (place in the group, row) of each that is there and that the caller may see."""


class GroupedReads(Generic[Caller, Row]):
    """Gathers reads and runs them by groups."""

    def __init__(self, fetch: Fetch[Caller, Row]) -> None:
        self._fetch = fetch
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: dict[Any, tuple[Caller, list[tuple[Key, asyncio.Future[Row | None]]]]] = {}
        self._under_way = 0
        self._running: set[asyncio.Task[None]] = set()

    async def read(self, caller: Caller, group: Any, key: Key) -> Row | None:
        """The row, or None where it is missing or hidden.

        group: equal for reads of one caller. Raises what the group's statement raised.
        """
        if self._under_way < UNDER_WAY and not self._waiting:
            return await self._alone(caller, key)
        # Kept: to find the running loop asks the kernel for the process id each time.
        loop = self._loop = self._loop or asyncio.get_running_loop()
        done: asyncio.Future[Row | None] = loop.create_future()
        known = self._waiting.get(group)
        if known is None:
            self._waiting[group] = (caller, [(key, done)])
        else:
            known[1].append((key, done))
        return await done

    async def _alone(self, caller: Caller, key: Key) -> Row | None:
        self._under_way += 1
        try:
            found = dict(await self._fetch(caller, [key]))
        finally:
            self._under_way -= 1
            self._go_on()
        return found.get(0)

    def _go_on(self) -> None:
        """Read for those who wait; in nobody's context, because a group is of several requests."""
        if self._waiting:
            self._under_way += 1
            loop = self._loop or asyncio.get_running_loop()
            self._running.add(loop.create_task(self._run(), context=contextvars.Context()))

    async def _run(self) -> None:
        """Read group after group, of each caller in turn, until nobody waits."""
        try:
            while self._waiting:
                group = next(iter(self._waiting))
                caller, waiting = self._waiting.pop(group)
                if len(waiting) > MOST:
                    self._waiting[group] = (caller, waiting[MOST:])
                await self._answer(caller, [w for w in waiting[:MOST] if not w[1].done()])
        finally:
            self._under_way -= 1
            self._running.discard(asyncio.current_task())

    async def _answer(
        self, caller: Caller, waiting: Sequence[tuple[Key, asyncio.Future[Row | None]]]
    ) -> None:
        if not waiting:
            return
        try:
            found = dict(await self._fetch(caller, [key for key, _ in waiting]))
        except BaseException as error:
            for _, done in waiting:
                if not done.done():
                    if isinstance(error, Exception):
                        done.set_exception(error)
                    else:
                        done.cancel()
            if not isinstance(error, Exception):
                raise
        else:
            for place, (_, done) in enumerate(waiting):
                if not done.done():
                    done.set_result(found.get(place))
