"""How often one client may ask: a fixed window for each client, in each process, by the library `limits`.

Its own store in memory starts a thread every hundredth of a second to forget what is over; `_Windows` forgets
when it is asked, on the one thread that counts.
"""

from __future__ import annotations

import math
import time
from typing import Final

from limits import RateLimitItem, parse
from limits.storage import Storage
from limits.strategies import FixedWindowRateLimiter

from app.errors import IssueCode, fhir_error

_NAMESPACE: Final = "client"
_MOST: Final = 10_000


class _Windows(Storage):
    """Counts of the windows that are not over; used from one thread."""

    STORAGE_SCHEME = None
    base_exceptions = ValueError

    def __init__(self) -> None:
        super().__init__()
        self._windows: dict[str, tuple[int, float]] = {}

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """The count with `amount` more; a new window of `expiry` seconds where the last one is over."""
        now = time.time()
        count, ends = self._windows.get(key, (0, 0.0))
        if ends <= now:
            if len(self._windows) >= _MOST:
                self._windows = {k: w for k, w in self._windows.items() if w[1] > now}
            count, ends = 0, now + expiry
        self._windows[key] = (count + amount, ends)
        return count + amount

    def get(self, key: str) -> int:
        """The count of the present window."""
        count, ends = self._windows.get(key, (0, 0.0))
        return count if ends > time.time() else 0

    def get_expiry(self, key: str) -> float:
        """When the window is over, in seconds of the epoch."""
        return self._windows.get(key, (0, time.time()))[1]

    def check(self) -> bool:
        """Memory is always there."""
        return True

    def reset(self) -> int:
        """Forget everything; how many windows there were."""
        count = len(self._windows)
        self._windows.clear()
        return count

    def clear(self, key: str) -> None:
        """Forget one window."""
        self._windows.pop(key, None)


class RateLimit:
    """Counts requests by client id."""

    def __init__(self, text: str) -> None:
        """text: `600/minute`; empty for no limit."""
        self._item: RateLimitItem | None = parse(text) if text else None
        self._limiter = FixedWindowRateLimiter(_Windows())

    def admit(self, client_id: str) -> None:
        """Count one request; FhirError 429 with Retry-After where there were too many."""
        if self._item is None or self._limiter.hit(self._item, _NAMESPACE, client_id):
            return
        reset = self._limiter.get_window_stats(self._item, _NAMESPACE, client_id).reset_time
        seconds = max(1, math.ceil(reset - time.time()))
        raise fhir_error(
            IssueCode.THROTTLED,
            "This client asks more often than it may; wait as long as Retry-After says.",
            headers=(("Retry-After", str(seconds)),),
        )
