"""What time it is for whatever decides: which tokens are good, until when, and when an access was.

The machine's clock can be set, forwards and back, while the service runs; time since the start cannot. Told is
the later of the two: the machine's clock, and the moment of the start with what has passed since. A clock
that is set back therefore revives no token and extends none; one that was set ahead by mistake and back again
is followed both ways. A clock that stays ahead for an hour is believed: so the machine slept, or started with a
wrong clock. Durations (rate limits, deadlines, caches) are measured by the monotonic clock alone.
"""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from typing import Final

_LOG: Final = logging.getLogger("throughline.clock")
_APART_SECONDS: Final = 5.0
_BELIEVED_SECONDS: Final = 3600.0


class Clock:
    """The clock of one process."""

    def __init__(self) -> None:
        self._start = time.time() - time.monotonic()
        self._ahead_since: float | None = None
        self._warned = False

    def now(self) -> float:
        """Seconds since 1970; not earlier than before, but for seconds, or where the clock was ahead."""
        told, passed = time.time(), time.monotonic()
        steady = self._start + passed
        if abs(told - steady) < _APART_SECONDS:
            # As a machine that keeps time by NTP corrects itself.
            self._start = told - passed
            self._ahead_since, self._warned = None, False
        else:
            self._apart(told - steady, passed)
        return max(told, steady)

    def _apart(self, seconds: float, passed: float) -> None:
        if not self._warned:
            self._warned = True
            _LOG.warning(
                "the clock of this machine was set %s by %d seconds; see docs/runbook.md",
                "ahead" if seconds > 0 else "back",
                abs(seconds),
            )
        if seconds < 0:
            self._ahead_since = None
        elif self._ahead_since is None:
            self._ahead_since = passed
        elif passed - self._ahead_since > _BELIEVED_SECONDS:
            self._start, self._ahead_since, self._warned = self._start + seconds, None, False


_CLOCK: Final = Clock()


def now() -> float:
    """Seconds since 1970, as this process tells the time."""
    return _CLOCK.now()


def today() -> datetime:
    """The same moment as a `datetime` in UTC."""
    return datetime.fromtimestamp(now(), UTC)
