"""Answers that leave on a beat: how long the work took is not told by when its answer comes.

What a search walks, and what a read meets before it answers that there is nothing, depends on entries that
the caller may not see: microseconds each, which many requests add up. An answer that waits for the next beat
after its request came tells of them no more than whether the work passed a whole beat.
docs/decisions/0012-answers-on-the-beat.md says which answers wait, and what was measured.

The timers of an event loop will not do: they end in whole milliseconds counted from whenever the loop last
slept, so that the remainder of the work's time comes through. The kernel's timer (timerfd_create(2)) ends at
the moment that it was given. Where there is none, the loop's is used.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
import time
from heapq import heappop, heappush
from itertools import count
from typing import Final

_CLOCK_MONOTONIC: Final = 1
_TFD_TIMER_ABSTIME: Final = 1
_BILLION: Final = 1_000_000_000


class _TimeSpec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Timer(ctypes.Structure):
    _fields_ = (("interval", _TimeSpec), ("value", _TimeSpec))


class _KernelTimer:
    """One timer of CLOCK_MONOTONIC, whose descriptor can be read once it has ended."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        # Non-blocking and closed on exec, by the flags that open(2) knows too.
        self.descriptor = self._checked(
            self._libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        )

    @staticmethod
    def _checked(answer: int) -> int:
        if answer < 0:
            raise OSError(ctypes.get_errno(), "timerfd")
        return answer

    def set(self, due: int) -> None:
        """End at `due`, in nanoseconds of time.monotonic_ns; at once where that has passed."""
        timer = _Timer(_TimeSpec(0, 0), _TimeSpec(*divmod(due, _BILLION)))
        self._checked(
            self._libc.timerfd_settime(
                self.descriptor, _TFD_TIMER_ABSTIME, ctypes.byref(timer), None
            )
        )


class Pacing:
    """The beat of one process's answers."""

    def __init__(self, loop: asyncio.AbstractEventLoop, milliseconds: int) -> None:
        """milliseconds: between two beats; 0 for no waiting."""
        self._loop = loop
        self._beat = milliseconds * 1_000_000
        self._order = count()
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._timer: _KernelTimer | None = None

    async def beat(self, since: int) -> None:
        """Return at the next whole number of beats after `since`, in nanoseconds of time.monotonic_ns."""
        if not self._beat:
            return
        due = since + self._beat * ((time.monotonic_ns() - since) // self._beat + 1)
        done: asyncio.Future[None] = self._loop.create_future()
        if sys.platform == "linux":
            self._at(due, done)
        else:
            self._loop.call_later((due - time.monotonic_ns()) / _BILLION, _finish, done)
        await done

    def close(self) -> None:
        """Let everybody go who waits, and give the timer back."""
        while self._waiting:
            _finish(heappop(self._waiting)[2])
        if self._timer is not None:
            self._loop.remove_reader(self._timer.descriptor)
            os.close(self._timer.descriptor)
            self._timer = None

    def _at(self, due: int, done: asyncio.Future[None]) -> None:
        if self._timer is None:
            self._timer = _KernelTimer()
            self._loop.add_reader(self._timer.descriptor, self._ended, self._timer)
        heappush(self._waiting, (due, next(self._order), done))
        if self._waiting[0][2] is done:
            self._timer.set(due)

    def _ended(self, timer: _KernelTimer) -> None:
        try:
            os.read(timer.descriptor, 8)
        except BlockingIOError:
            return  # set anew since it ended
        now = time.monotonic_ns()
        while self._waiting and self._waiting[0][0] <= now:
            _finish(heappop(self._waiting)[2])
        if self._waiting:
            timer.set(self._waiting[0][0])


def _finish(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)
