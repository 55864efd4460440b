"""How often one client may ask, counted over all processes of one database, by the library `limits`.

A PostgreSQL round trip at each request would cost more than the reads that the limit protects. So each
process admits a small part of a window by itself, and takes the rest in portions from a count that all
processes share, the next portion while it still has some of the last one: the request itself counts in
memory. What the processes admit together is at most the limit and, for each process, the small part; never
less than the limit but for portions that a process took and did not use.
Neighbours: `app.storage.rate_windows` (the shared count), docs/decisions/0008.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Final

from limits import RateLimitItem, parse
from limits.aio.strategies import FixedWindowRateLimiter

from app.errors import FhirError, IssueCode, fhir_error
from app.storage.database import LOST, Pool
from app.storage.rate_windows import RateWindows

_LOG: Final = logging.getLogger("throughline.rate")
_NAMESPACE: Final = "client"
_MOST: Final = 10_000
_UNASKED: Final = 32
"""A process admits the limit's n-th part in each window before it asks what the others have admitted."""

_PATIENCE_SECONDS: Final = 1.0
_PORTIONS: Final = 64
"""In how many portions the whole limit would be taken."""


@dataclass(slots=True)
class _Window:
    """What this process knows of a client's present window. ends: by the monotonic clock."""

    ends: float
    left: int
    used: int = 0
    asked: bool = False
    over: bool = False
    asking: asyncio.Task[None] | None = None


class RateLimit:
    """Counts requests by client id. Times are the monotonic clock's: a clock that is set moves no window."""

    def __init__(self, text: str, pool: Pool | None = None) -> None:
        """text: `600/minute`; empty for no limit. pool: of the shared count; None: counts alone."""
        self._item: RateLimitItem | None = parse(text) if text else None
        self._shared = None if pool is None else RateWindows(pool)
        self._windows: dict[str, _Window] = {}

    def admit(self, client_id: str) -> Awaitable[None] | None:
        """Count one request. None where it is admitted; else what is to be awaited, which admits or refuses.

        FhirError 429 with Retry-After where there were too many.
        """
        if self._item is None:
            return None
        window = self._windows.get(client_id)
        if window is None or window.ends <= time.monotonic():
            window = self._begun(self._item, client_id)
        if window.left > 0:
            window.left -= 1
            window.used += 1
            low = self._portion(self._item) // 2
            if window.asked and not window.over and window.left < low:
                self._ask(self._item, client_id, window)
            return None
        if window.over:
            raise _too_many(window)
        return self._admit(self._item, client_id, window)

    async def _admit(self, item: RateLimitItem, client_id: str, window: _Window) -> None:
        while window.left <= 0:
            if window.over:
                raise _too_many(window)
            await asyncio.shield(self._ask(item, client_id, window))
        window.left -= 1
        window.used += 1

    def _begun(self, item: RateLimitItem, client_id: str) -> _Window:
        now = time.monotonic()
        if len(self._windows) >= _MOST:
            self._windows = {k: w for k, w in self._windows.items() if w.ends > now}
        alone = self._shared is None
        left = item.amount if alone else item.amount // _UNASKED
        window = _Window(now + item.get_expiry(), left, over=alone)
        self._windows[client_id] = window
        return window

    @staticmethod
    def _portion(item: RateLimitItem) -> int:
        return max(1, item.amount // _PORTIONS)

    def _ask(self, item: RateLimitItem, client_id: str, window: _Window) -> asyncio.Task[None]:
        if window.asking is None:
            window.asking = asyncio.create_task(self._take(item, client_id, window))
        return window.asking

    async def _take(self, item: RateLimitItem, client_id: str, window: _Window) -> None:
        """One portion from the shared count; what was admitted unasked is counted with the first."""
        if self._shared is None:
            raise RuntimeError("a process that counts alone has nobody to ask")
        portion = self._portion(item)
        try:
            cost = portion if window.asked else portion + window.used
            async with asyncio.timeout(_PATIENCE_SECONDS):
                limiter = FixedWindowRateLimiter(self._shared)
                had = await limiter.hit(item, _NAMESPACE, client_id, cost=cost)
        except LOST as error:
            # Nothing can be audited without the database either: this process counts alone till it is back.
            _LOG.warning("the shared count of requests cannot be asked: %s", type(error).__name__)
            window.left, window.over = max(0, item.amount - window.used), True
        else:
            window.ends = self._shared.ends(item.key_for(_NAMESPACE, client_id))
            window.left, window.over = window.left + (portion if had else 0), not had
        finally:
            window.asked, window.asking = True, None


def _too_many(window: _Window) -> FhirError:
    seconds = max(1, math.ceil(window.ends - time.monotonic()))
    return fhir_error(
        IssueCode.THROTTLED,
        "This client asks more often than it may; wait as long as Retry-After says.",
        headers=(("Retry-After", str(seconds)),),
    )
