"""A time limit on what one task does: what `asyncio.timeout` does, with one timer for all of them.

A timer of its own, made and cancelled, and four looks for the running loop, each of which asks the kernel for
its process id, cost a read a tenth of its time. All limits of one `Deadlines` are equally long, so that they
end in the order in which they began.
"""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType


class Deadlines:
    """Makes time limits of one length."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self._loop = loop
        self._seconds = seconds
        self._begun: deque[Deadline] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> Deadline:
        """`with deadlines.begin():` around awaits of the current task; TimeoutError when it is over."""
        return Deadline(self)

    def close(self) -> None:
        """Watch over nobody any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _watch(self, deadline: Deadline) -> asyncio.Task[object]:
        task = asyncio.current_task(self._loop)
        if task is None:
            raise RuntimeError("a deadline needs a task")
        deadline.ends = self._loop.time() + self._seconds
        self._begun.append(deadline)
        if self._timer is None:
            self._timer = self._loop.call_at(deadline.ends, self._look)
        return task

    def _forget(self) -> None:
        while self._begun and self._begun[0].task is None:
            self._begun.popleft()

    def _look(self) -> None:
        now = self._loop.time()
        while self._begun and (self._begun[0].task is None or self._begun[0].ends <= now):
            self._begun.popleft().expire()
        first = self._begun[0].ends if self._begun else None
        self._timer = None if first is None else self._loop.call_at(first, self._look)


class Deadline:
    """One time limit. task: whose it is, None before and after. ends: by the loop's time."""

    __slots__ = ("_before", "_expired", "_of", "ends", "task")

    def __init__(self, of: Deadlines) -> None:
        self._of = of
        self._expired = False
        self.task: asyncio.Task[object] | None = None
        self.ends = 0.0

    def __enter__(self) -> None:
        self.task = task = self._of._watch(self)
        self._before = task.cancelling()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        task, self.task = self.task, None
        self._of._forget()
        # Somebody else may have cancelled the task as well: that is not ours to swallow.
        ours = self._expired and task is not None and task.uncancel() <= self._before
        if ours and isinstance(error, asyncio.CancelledError):
            raise TimeoutError from error

    def expire(self) -> None:
        """End it; nothing where it is over."""
        if self.task is not None:
            self._expired = True
            self.task.cancel()
