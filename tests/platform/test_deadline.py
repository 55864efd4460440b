"""A deadline ends what takes too long, and nothing else (app/routers/deadline.py)."""

from __future__ import annotations

import asyncio

import pytest

from app.routers.deadline import Deadline


async def test_what_takes_too_long_is_ended_with_a_timeout() -> None:
    with pytest.raises(TimeoutError), Deadline(asyncio.get_running_loop(), 0.01):
        await asyncio.sleep(30)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)


async def test_what_is_done_in_time_is_left_alone() -> None:
    with Deadline(asyncio.get_running_loop(), 0.02):
        await asyncio.sleep(0)
    await asyncio.sleep(0.05)


async def test_a_fault_inside_stays_the_fault_that_it_is() -> None:
    with pytest.raises(KeyError), Deadline(asyncio.get_running_loop(), 5):
        raise KeyError


async def test_a_cancellation_by_somebody_else_is_no_timeout() -> None:
    async def work() -> None:
        with Deadline(asyncio.get_running_loop(), 5):
            await asyncio.sleep(30)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
