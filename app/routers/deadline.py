"""A time limit on what one task does: what `asyncio.timeout` does, with a loop that is known.

Each time asyncio looks for the running loop it asks the kernel for its process id; `asyncio.timeout` does so
four times, which cost a read a twentieth of its time.
"""

from __future__ import annotations

import asyncio
from types import TracebackType


class Deadline:
    """`with Deadline(loop, seconds):` around awaits of the current task; TimeoutError when it is over."""

    __slots__ = ("_before", "_expired", "_handle", "_loop", "_seconds", "_task")

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self._loop = loop
        self._seconds = seconds
        self._expired = False

    def __enter__(self) -> None:
        task = asyncio.current_task(self._loop)
        if task is None:
            raise RuntimeError("a deadline needs a task")
        self._task = task
        self._before = task.cancelling()
        self._handle = self._loop.call_later(self._seconds, self._expire)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._handle.cancel()
        # Somebody else may have cancelled the task as well: that is not ours to swallow.
        ours = self._expired and self._task.uncancel() <= self._before
        if ours and isinstance(error, asyncio.CancelledError):
            raise TimeoutError from error

    def _expire(self) -> None:
        self._expired = True
        self._task.cancel()
