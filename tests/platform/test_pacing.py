"""The beat: nobody goes before it, everybody with it (app/routers/pacing.py)."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from random import Random

import pytest

from app.routers.pacing import Pacing

BEAT_MS = 20
BEAT = BEAT_MS * 1_000_000


@pytest.fixture
async def pacing() -> AsyncIterator[Pacing]:
    pacing = Pacing(asyncio.get_running_loop(), BEAT_MS)
    yield pacing
    pacing.close()


@pytest.mark.parametrize("platform", ["linux", "elsewhere"])
@pytest.mark.parametrize(("worked", "beats"), [(0, 1), (0.003, 1), (0.025, 2)])
async def test_an_answer_goes_with_the_first_beat_after_its_work(
    pacing: Pacing, monkeypatch: pytest.MonkeyPatch, platform: str, worked: float, beats: int
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    since = time.monotonic_ns()
    time.sleep(worked)  # noqa: ASYNC251 - work, as far as the beat is concerned
    await pacing.beat(since)
    assert time.monotonic_ns() - since >= beats * BEAT


async def test_what_came_long_ago_waits_for_no_more_than_one_beat(pacing: Pacing) -> None:
    since = time.monotonic_ns() - 1000 * BEAT - BEAT // 2
    async with asyncio.timeout(5):
        await pacing.beat(since)
    assert time.monotonic_ns() - since >= 1001 * BEAT


async def test_everybody_goes_and_in_the_order_of_their_beats() -> None:
    # So long that on a busy machine, too, all have come before the first one's beat.
    pacing = Pacing(asyncio.get_running_loop(), 1000)
    random, start, gone = Random(1), time.monotonic_ns(), list[int]()

    async def one(since: int) -> None:
        await pacing.beat(since)
        gone.append(since)

    came = [start - random.randrange(400_000_000) for _ in range(200)]
    await asyncio.gather(*(one(since) for since in came))
    pacing.close()
    assert gone == sorted(came)


async def test_one_who_left_keeps_nobody_waiting(pacing: Pacing) -> None:
    first = asyncio.create_task(pacing.beat(time.monotonic_ns()))
    second = asyncio.create_task(pacing.beat(time.monotonic_ns()))
    await asyncio.sleep(0)
    first.cancel()
    async with asyncio.timeout(5):
        await second
    assert first.cancelled()


async def test_closing_lets_everybody_go_and_gives_the_descriptor_back() -> None:
    before = len(os.listdir("/proc/self/fd"))
    pacing = Pacing(asyncio.get_running_loop(), 1000)
    waiting = asyncio.create_task(pacing.beat(time.monotonic_ns()))
    await asyncio.sleep(0)
    assert len(os.listdir("/proc/self/fd")) == before + 1
    pacing.close()
    async with asyncio.timeout(0.5):
        await waiting
    assert len(os.listdir("/proc/self/fd")) == before


async def test_without_a_beat_nobody_waits() -> None:
    with pytest.raises(StopIteration):
        Pacing(asyncio.get_running_loop(), 0).beat(time.monotonic_ns()).send(None)
