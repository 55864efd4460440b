"""Ending background tasks: a cancellation may be swallowed by what a task waits for, and then comes again."""

from __future__ import annotations

import asyncio
from typing import Any, Final

_SECONDS: Final = 2.0
_TIMES: Final = 5


async def end(task: asyncio.Task[Any]) -> None:
    """Cancel a task until it has ended; what it raised stays in it. Within ten seconds, ended or not."""
    for _ in range(_TIMES):
        task.cancel()
        done, _waiting = await asyncio.wait((task,), timeout=_SECONDS)
        if done:
            if not task.cancelled():
                task.exception()  # looked at, so that nobody complains that it was not
            return
