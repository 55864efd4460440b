"""Reads go in groups: of one caller, whatever waited, each with its own answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from app.storage.grouped_reads import LATE_SECONDS, MOST, GroupedReads, Key


class Store:
    """Answers when it is let, and remembers what each group was."""

    def __init__(self, *, open_: bool = True) -> None:
        self.groups: list[tuple[str, list[Key]]] = []
        self.gate = asyncio.Event()
        self.fault: Exception | None = None
        if open_:
            self.gate.set()

    async def fetch(self, caller: str, keys: Sequence[Key]) -> list[tuple[int, str]]:
        self.groups.append((caller, list(keys)))
        await self.gate.wait()
        if self.fault is not None:
            raise self.fault
        return [(n, f"{caller} {id_}") for n, (_, id_) in enumerate(keys) if id_ != "hidden"]


async def _settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_with_nobody_else_there_a_read_goes_alone_and_at_once() -> None:
    store = Store()
    reads = GroupedReads(store.fetch)
    assert await reads.read("clinic", "clinic", (1, "a")) == "clinic a"
    assert await reads.read("clinic", "clinic", (1, "hidden")) is None
    assert store.groups == [("clinic", [(1, "a")]), ("clinic", [(1, "hidden")])]


async def test_what_waits_goes_together_and_everybody_gets_his_own() -> None:
    store = Store(open_=False)
    reads = GroupedReads(store.fetch)
    ids = ["a", "b", "hidden", "c", "a"]
    first = asyncio.create_task(reads.read("x", "x", (1, "first")))
    await _settled()
    rest = [asyncio.create_task(reads.read("x", "x", (1, id_))) for id_ in ids]
    await _settled()
    store.gate.set()
    await first
    answers = await asyncio.gather(*rest)
    assert answers == ["x a", "x b", None, "x c", "x a"]
    assert store.groups == [("x", [(1, "first")]), ("x", [(1, id_) for id_ in ids])]


async def test_what_comes_in_one_turn_of_the_loop_is_one_group() -> None:
    store = Store()
    reads = GroupedReads(store.fetch)
    ids = ["a", "b", "hidden"]
    answers = await asyncio.gather(*(reads.read("x", "x", (1, id_)) for id_ in ids))
    assert answers == ["x a", "x b", None]
    [(_, keys)] = store.groups
    assert sorted(keys) == sorted((1, id_) for id_ in ids)


async def test_who_came_with_one_that_is_given_up_is_read_for() -> None:
    store = Store()
    reads = GroupedReads(store.fetch)
    first, second = (asyncio.create_task(reads.read("x", "x", (1, id_))) for id_ in "ab")
    await asyncio.sleep(0)
    first.cancel()
    assert await second == "x b"
    assert first.cancelled()
    assert store.groups == [("x", [(1, "b")])]
    assert await reads.read("x", "x", (1, "c")) == "x c"


async def test_two_callers_are_never_read_for_in_one_statement() -> None:
    store = Store(open_=False)
    reads = GroupedReads(store.fetch)
    asked = [
        asyncio.create_task(reads.read(who, who, (1, f"{n}")))
        for n in range(20)
        for who in ("clinic", "shelter")
    ]
    await _settled()
    store.gate.set()
    answers = await asyncio.gather(*asked)
    assert answers == [f"{who} {n}" for n in range(20) for who in ("clinic", "shelter")]


async def test_a_group_is_no_larger_than_it_may_be() -> None:
    store = Store(open_=False)
    reads = GroupedReads(store.fetch)
    asked = [asyncio.create_task(reads.read("x", "x", (1, f"{n}"))) for n in range(3 * MOST)]
    await _settled()
    store.gate.set()
    assert await asyncio.gather(*asked) == [f"x {n}" for n in range(3 * MOST)]
    assert max(len(keys) for _, keys in store.groups) == MOST


async def test_behind_a_statement_that_takes_long_nobody_waits_for_long() -> None:
    store = Store(open_=False)
    reads = GroupedReads(store.fetch)
    slow = asyncio.create_task(reads.read("x", "x", (1, "slow")))
    await _settled()
    store.gate = asyncio.Event()
    store.gate.set()
    async with asyncio.timeout(100 * LATE_SECONDS):
        asked = [reads.read("x", "x", (1, id_)) for id_ in ("a", "b")]
        assert await asyncio.gather(*asked) == ["x a", "x b"]
        assert store.groups[1:] == [("x", [(1, "a"), (1, "b")])]
        assert await reads.read("x", "x", (1, "c")) == "x c"
    assert not slow.done()
    slow.cancel()
    with pytest.raises(asyncio.CancelledError):
        await slow
    assert await reads.read("x", "x", (1, "d")) == "x d"


async def test_one_caller_does_not_wait_for_another() -> None:
    store = Store(open_=False)
    reads = GroupedReads(store.fetch)
    slow = asyncio.create_task(reads.read("x", "x", (1, "slow")))
    await _settled()
    beside = asyncio.create_task(reads.read("y", "y", (1, "a")))
    await _settled()
    assert store.groups == [("x", [(1, "slow")]), ("y", [(1, "a")])]
    store.gate.set()
    assert await asyncio.gather(slow, beside) == ["x slow", "y a"]


async def test_a_fault_reaches_everybody_of_the_group_and_nobody_of_the_next() -> None:
    store = Store(open_=False)
    reads = GroupedReads(store.fetch)
    store.fault = ConnectionError("lost")
    asked = [asyncio.create_task(reads.read("x", "x", (1, f"{n}"))) for n in range(5)]
    await _settled()
    store.gate.set()
    faults = await asyncio.gather(*asked, return_exceptions=True)
    assert all(isinstance(each, ConnectionError) for each in faults)
    store.fault = None
    assert await reads.read("x", "x", (1, "a")) == "x a"


async def test_who_gives_up_leaves_the_others_their_answers() -> None:
    store = Store(open_=False)
    reads = GroupedReads(store.fetch)
    asked = [asyncio.create_task(reads.read("x", "x", (1, f"{n}"))) for n in range(6)]
    await _settled()
    asked[1].cancel()
    asked[4].cancel()
    await _settled()
    store.gate.set()
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [a for a in answers if isinstance(a, str)] == ["x 0", "x 2", "x 3", "x 5"]
    with pytest.raises(asyncio.CancelledError):
        await asked[1]
