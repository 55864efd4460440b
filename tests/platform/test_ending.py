"""A background task ends though what it waits for swallows a cancellation."""

from __future__ import annotations

import asyncio

from app.ending import end


async def test_a_task_that_swallows_a_cancellation_is_cancelled_again() -> None:
    swallowed = 0

    async def work() -> None:
        nonlocal swallowed
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if swallowed:
                    raise
                swallowed += 1

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    async with asyncio.timeout(8):
        await end(task)
    assert task.cancelled()
    assert swallowed == 1
