"""A deadline ends what takes too long, and nothing else (app/routers/deadline.py)."""

from __future__ import annotations

import asyncio

import pytest

from app.routers.deadline import Deadlines


async def test_what_takes_too_long_is_ended_with_a_timeout() -> None:
    with pytest.raises(TimeoutError), Deadlines(asyncio.get_running_loop(), 0.01).begin():
        await asyncio.sleep(30)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)


async def test_what_is_done_in_time_is_left_alone() -> None:
    with Deadlines(asyncio.get_running_loop(), 0.02).begin():
        await asyncio.sleep(0)
    await asyncio.sleep(0.05)


async def test_a_fault_inside_stays_the_fault_that_it_is() -> None:
    with pytest.raises(KeyError), Deadlines(asyncio.get_running_loop(), 5).begin():
        raise KeyError


async def test_a_cancellation_by_somebody_else_is_no_timeout() -> None:
    async def work() -> None:
        with Deadlines(asyncio.get_running_loop(), 5).begin():
            await asyncio.sleep(30)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_each_of_several_limits_ends_what_is_its_own() -> None:
    deadlines = Deadlines(asyncio.get_running_loop(), 0.05)

    async def work(seconds: float) -> str:
        try:
            with deadlines.begin():
                await asyncio.sleep(seconds)
        except TimeoutError:
            return "ended"
        return "done"

    async with asyncio.timeout(5):
        early = [asyncio.create_task(work(seconds)) for seconds in (30, 0, 30, 0.01)]
        await asyncio.sleep(0.03)
        late = [asyncio.create_task(work(seconds)) for seconds in (30, 0)]
        assert await asyncio.gather(*early) == ["ended", "done", "ended", "done"]
        assert not late[0].done()
        assert await asyncio.gather(*late) == ["ended", "done"]
        # Once nobody was watched over for a while, the next is all the same.
        await asyncio.sleep(0.1)
        assert await work(30) == "ended"
    deadlines.close()
