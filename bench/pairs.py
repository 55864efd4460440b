"""Time things in turns, so that what else the machine does falls on all of them alike.

A figure of its own means little on a shared machine; the ratio of two figures taken in turns means much.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Generic, TypeVar

Case = TypeVar("Case")


@dataclass(frozen=True, slots=True)
class Times(Generic[Case]):
    """Seconds, by name: one for each case, in the order of the cases."""

    by_name: Mapping[str, Sequence[float]]

    def p50(self, name: str) -> float:
        """The median, in milliseconds."""
        return median(self.by_name[name]) * 1000

    def ratio(self, name: str, base: str) -> float:
        """The median of the ratios of each case: `name` over `base`."""
        pairs = zip(self.by_name[name], self.by_name[base], strict=True)
        return median(one / other for one, other in pairs)


async def in_turns(
    cases: Sequence[Case],
    runs: Mapping[str, Callable[[Case], Awaitable[object]]],
    *,
    warm: int = 10,
    best_of: int = 1,
) -> Times[Case]:
    """Run every case by every name, in turns; the first `warm` cases are run once before, untimed.

    best_of: how often each is repeated for its shortest time (what is cached stays cached).
    """
    for case in cases[:warm]:
        for run in runs.values():
            await run(case)
    found: dict[str, list[float]] = {name: [] for name in runs}
    for case in cases:
        shortest = dict.fromkeys(runs, float("inf"))
        for _ in range(best_of):
            for name, run in runs.items():
                start = time.perf_counter()
                await run(case)
                shortest[name] = min(shortest[name], time.perf_counter() - start)
        for name, seconds in shortest.items():
            found[name].append(seconds)
    return Times(found)
