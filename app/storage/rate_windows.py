"""The count of requests that all processes of one database share: a storage of the library `limits`.

One row a client, in a table that is not written ahead: after a crash of PostgreSQL the count begins anew.
Windows begin and end by the database's clock; one that seems to last longer than it may (that clock was set
back) begins anew. Neighbour: `app.security.rate`.
"""

from __future__ import annotations

import time
from typing import Final

from limits.aio.storage import Storage

from app.storage.database import LOST, Pool

_OVER: Final = "w.ends <= clock_timestamp() OR w.ends > excluded.ends"

_COUNT: Final = f"""INSERT INTO tl.rate_window AS w (key, ends, requests)
VALUES ($1, clock_timestamp() + make_interval(secs => $2), $3)
ON CONFLICT (key) DO UPDATE SET
  requests = excluded.requests + CASE WHEN {_OVER} THEN 0 ELSE w.requests END,
  ends = CASE WHEN {_OVER} THEN excluded.ends ELSE w.ends END
RETURNING requests, extract(epoch FROM ends - clock_timestamp())::float8 AS left"""


class RateWindows(Storage):
    """Counts by key, one statement each. The errors of `LOST` where the database cannot be asked."""

    STORAGE_SCHEME = None
    base_exceptions = LOST

    def __init__(self, pool: Pool) -> None:
        """pool: of the service's own role."""
        super().__init__()
        self._pool = pool
        self._ends: dict[str, float] = {}

    def ends(self, key: str) -> float:
        """When the window of the last count of a key is over, by this process's monotonic clock."""
        return self._ends[key]

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """The count with `amount` more; a new window of `expiry` seconds where the last one is over."""
        (row,) = await self._pool.fetch(_COUNT, key, float(expiry), amount)
        self._ends[key] = time.monotonic() + row["left"]
        return int(row["requests"])

    async def get(self, key: str) -> int:
        """The count of the present window."""
        found = await self._pool.fetchval(
            "SELECT requests FROM tl.rate_window WHERE key = $1 AND ends > clock_timestamp()", key
        )
        return int(found or 0)

    async def get_expiry(self, key: str) -> float:
        """When the window is over, in seconds of the epoch."""
        found = await self._pool.fetchval(
            "SELECT extract(epoch FROM ends)::float8 FROM tl.rate_window WHERE key = $1", key
        )
        return float(found or 0.0)

    async def check(self) -> bool:
        """Whether the count can be asked."""
        try:
            return bool(await self._pool.fetchval("SELECT true"))
        except LOST:
            return False

    async def reset(self) -> int:
        """End every window; how many there were."""
        done = await self._pool.execute(
            "UPDATE tl.rate_window SET ends = '-infinity' WHERE ends > clock_timestamp()"
        )
        return int(str(done).rpartition(" ")[2])

    async def clear(self, key: str) -> None:
        """End one window."""
        await self._pool.execute("UPDATE tl.rate_window SET ends = '-infinity' WHERE key = $1", key)
