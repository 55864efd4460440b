"""Reads by type and id, in groups: what waits while one statement is under way goes together with the next.

Of a single read most is not reading but the round trip and the start of a statement, which a group pays
once. Nothing waits for company but what has come already: with nobody else there a read goes alone, at the next
turn of the event loop. A group is of one caller, for whom its statement is entered as every other
(`app.storage.database`), and each caller has one under way: two would be smaller, and took a tenth longer.
Behind one that takes long nobody waits for long. Neighbour: `app.storage.resources`, which says what is read.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Generic, TypeVar

MOST: Final = 16
"""Reads of a group."""

LATE_SECONDS: Final = 0.05
"""Who has waited so long for the statement under way goes beside it; looked at as often."""

Caller = TypeVar("Caller")
Row = TypeVar("Row")
Key = tuple[int, str]

Fetch = Callable[[Caller, Sequence[Key]], Awaitable[Sequence[tuple[int, Row]]]]
"""Reads one group; answers (place in the group, row) of each that is there and that the caller may see."""


@dataclass(slots=True)
class _Waiting(Generic[Caller, Row]):
    """Reads of one caller that go together. since: when the first came, by the loop's time."""

    caller: Caller
    since: float
    reads: list[tuple[Key, asyncio.Future[Row | None]]] = field(default_factory=list)


class GroupedReads(Generic[Caller, Row]):
    """Gathers reads and runs them by groups."""

    def __init__(self, fetch: Fetch[Caller, Row]) -> None:
        self._fetch = fetch
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: dict[Any, _Waiting[Caller, Row]] = {}
        self._under_way: set[Any] = set()
        self._running: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def read(self, caller: Caller, group: Any, key: Key) -> Row | None:
        """The row, or None where it is missing or hidden.

        group: equal for reads of one caller. Raises what the group's statement raised.
        """
        first = group not in self._under_way
        if first:
            self._under_way.add(group)
            try:
                # Who has come in the same turn of the loop goes along; a turn later nobody is waited for.
                await asyncio.sleep(0)
            except BaseException:
                self._go_on(group)
                raise
            if group not in self._waiting:
                return await self._alone(caller, group, key)
        # Kept: to find the running loop asks the kernel for the process id each time.
        loop = self._loop = self._loop or asyncio.get_running_loop()
        done: asyncio.Future[Row | None] = loop.create_future()
        known = self._waiting.get(group)
        if known is None:
            known = self._waiting[group] = _Waiting(caller, loop.time())
            if self._timer is None:
                self._timer = loop.call_later(LATE_SECONDS, self._look, loop)
        if first:
            known.reads.insert(0, (key, done))
            self._start(self._run(group))
        else:
            known.reads.append((key, done))
        return await done

    async def _alone(self, caller: Caller, group: Any, key: Key) -> Row | None:
        try:
            found = dict(await self._fetch(caller, [key]))
        finally:
            self._go_on(group)
        return found.get(0)

    def _go_on(self, group: Any) -> None:
        """With who waits for what has just ended, or did not begin."""
        if group in self._waiting:
            self._start(self._run(group))
        else:
            self._under_way.discard(group)

    async def _run(self, group: Any) -> None:
        """Read group after group of one caller, until nobody waits."""
        try:
            while group in self._waiting:
                await self._answer(self._taken(group))
        finally:
            self._under_way.discard(group)

    def _taken(self, group: Any) -> _Waiting[Caller, Row]:
        """Those who have waited longest, as many as go together; the others wait on."""
        waiting = self._waiting.pop(group)
        if len(waiting.reads) > MOST:
            left = replace(waiting, reads=waiting.reads[MOST:])
            waiting = replace(waiting, reads=waiting.reads[:MOST])
            self._waiting[group] = left
        return waiting

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Send those who have waited for long beside what is under way; one timer for all."""
        late = loop.time() - LATE_SECONDS
        for group in [g for g, each in self._waiting.items() if each.since <= late]:
            while group in self._waiting:
                self._start(self._answer(self._taken(group)))
        self._timer = loop.call_later(LATE_SECONDS, self._look, loop) if self._waiting else None

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        """In nobody's context, because a group is of several requests."""
        loop = self._loop or asyncio.get_running_loop()
        task = loop.create_task(work, context=contextvars.Context())
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _answer(self, group: _Waiting[Caller, Row]) -> None:
        waiting = [read for read in group.reads if not read[1].done()]
        if not waiting:
            return
        try:
            found = dict(await self._fetch(group.caller, [key for key, _ in waiting]))
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
