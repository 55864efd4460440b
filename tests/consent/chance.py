"""Random choices over one function of a bound, so that anything can decide them: hypothesis or a seed.

The first of the possibilities is the plain one: whoever shrinks draws zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")


class Chance:
    """Choices, each by one or more draws of `below`: a whole number from 0 up to, not with, its argument."""

    __slots__ = ("below",)

    def __init__(self, below: Callable[[int], int]) -> None:
        self.below = below

    @classmethod
    def seeded(cls, seed: int | str) -> Chance:
        """The same choices for the same seed, evenly spread."""
        draw = Random(seed).random
        return cls(lambda bound: int(draw() * bound))

    def choice(self, items: Sequence[T]) -> T:
        return items[self.below(len(items))]

    def one_in(self, number: int) -> bool:
        """True once in so many times."""
        return self.below(number) == number - 1

    def percent(self, share: int) -> bool:
        """True in so many of a hundred."""
        return self.below(100) >= 100 - share

    def sample(self, items: Sequence[T], count: int) -> list[T]:
        """So many of the items, none twice by its place."""
        if count == 0:
            return []
        if count == 1:
            return [self.choice(items)]
        left = list(items)
        return [left.pop(self.below(len(left))) for _ in range(count)]
