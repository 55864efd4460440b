"""How often one client may ask: a fixed window for each client, in each process, by the library `limits`."""

from __future__ import annotations

import math
import time
from typing import Final

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from app.errors import IssueCode, fhir_error

_NAMESPACE: Final = "client"


class RateLimit:
    """Counts requests by client id."""

    def __init__(self, text: str) -> None:
        """text: `600/minute`; empty for no limit."""
        self._item: RateLimitItem | None = parse(text) if text else None
        self._limiter = FixedWindowRateLimiter(MemoryStorage())

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
