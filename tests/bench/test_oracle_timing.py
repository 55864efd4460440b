"""The timing program: its test is the published one, and it runs; no time is asserted."""

from __future__ import annotations

import math
from random import Random

import pytest

from bench.oracle_timing import mann_whitney, measure


@pytest.mark.parametrize(
    ("first", "second", "u", "p"),
    [
        # By hand: mean n·m/2, variance n·m/12·(n+m+1 - Σ(t³-t)/((n+m)(n+m-1))), half a step nearer the mean.
        ([1, 2, 3, 4, 5], [6, 7, 8, 9, 10], 0, 0.01219),
        ([6, 7, 8, 9, 10], [1, 2, 3, 4, 5], 25, 0.01219),
        ([1, 1, 2, 2], [1, 2, 3, 3], 4, 0.28494),
        ([1, 2, 3], [1, 2, 3], 4.5, 1),
        ([5, 5], [5, 5, 5], 3, 1),
    ],
)
def test_the_u_test_is_the_one_computed_by_hand(
    first: list[float], second: list[float], u: float, p: float
) -> None:
    found = mann_whitney(first, second)
    assert found.u == u
    assert math.isclose(found.p, p, abs_tol=5e-4)
    assert found.larger == u / (len(first) * len(second))


def test_a_shift_of_a_tenth_of_the_spread_is_found_in_ten_thousand_and_none_where_there_is_none() -> (
    None
):
    random = Random(1)
    alike = [[random.gauss(0, 1) for _ in range(10_000)] for _ in range(2)]
    assert mann_whitney(*alike).p > 0.01
    shifted = [value + 0.1 for value in alike[0]]
    assert mann_whitney(shifted, alike[1]).p < 1e-6


def test_an_empty_sample_is_refused() -> None:
    with pytest.raises(ValueError, match="values"):
        mann_whitney([], [1])


def test_the_program_asks_both_ways_and_finds_no_difference_but_time() -> None:
    told: list[str] = []
    found = measure(20, 6, 1, told.append)
    assert [line.split(":")[0] for line in told] == ["read", "search"]
    assert all(0 <= each.p <= 1 and 0 <= each.larger <= 1 for each in found)
