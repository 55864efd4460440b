"""The hash chain of the audit: what it covers, how it grows, and where it is broken.

A lane is the chain of one writer. Row n of a lane carries seq n and
SHA-256(hash of row n - 1 ‖ canonical bytes of row n), across the monthly partitions, so that a row altered,
removed or put in between shows at the first row whose hash cannot be computed again. Old partitions may be
dropped: what remains is checked from its first row on. Whoever can rewrite the table can rewrite the chain
from some row to its end; the heads that `verify` reports, kept elsewhere, show that too.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg
import orjson

FIELDS: Final = (
    "recorded",
    "action",
    "interaction",
    "outcome",
    "client_id",
    "organization",
    "practitioner",
    "purpose",
    "emergency_reason",
    "type",
    "resource_id",
    "rids",
    "query",
    "request_id",
)
"""What a row says: the fields of `app.storage.audit.AuditRow`, all covered by its hash."""

COLUMNS: Final = ("lane", "seq", "hash", *FIELDS)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def digest(before: bytes, lane: int, seq: int, values: Sequence[Any]) -> bytes:
    """The hash of one row; values: `FIELDS` in their order."""
    recorded, action, *middle, request_id = values
    since = recorded - _EPOCH
    microseconds = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    text = orjson.dumps(
        [lane, seq, microseconds, action.decode("latin-1"), *middle, str(request_id)]
    )
    return hashlib.sha256(before + text).digest()


def chained(
    lane: int, seq: int, head: bytes, rows: Sequence[Sequence[Any]]
) -> tuple[list[tuple[object, ...]], bytes]:
    """Rows of `COLUMNS` that continue the lane after `seq` and `head`; and the new head."""
    records: list[tuple[object, ...]] = []
    for values in rows:
        seq += 1
        head = digest(head, lane, seq, values)
        records.append((lane, seq, head, *values))
    return records, head


@dataclass(frozen=True, slots=True)
class Broken:
    """The first row of a lane that does not follow from the one before; fault says how."""

    lane: int
    seq: int
    recorded: datetime
    fault: str


@dataclass(frozen=True, slots=True)
class Head:
    """The last row of a lane: to be kept elsewhere, and given to a later `verify` as expected."""

    lane: int
    seq: int
    hash: str


@dataclass(frozen=True, slots=True)
class Verified:
    """What a verification found. rows: how many were computed again."""

    rows: int
    heads: tuple[Head, ...]
    broken: Broken | None


async def verify(
    connection: asyncpg.Connection, expected: Mapping[tuple[int, int], str] | None = None
) -> Verified:
    """Compute every lane again, up to the first broken link (lanes in order).

    connection: of a role that may read tl.audit_event. expected: hashes by (lane, seq), noted earlier.
    """
    remaining = dict(expected or {})
    rows = 0
    heads: list[Head] = []
    lanes = await connection.fetch("SELECT DISTINCT lane FROM tl.audit_event ORDER BY lane")
    for lane in (each["lane"] for each in lanes):
        seq: int | None = None
        head = b""
        async for row in _rows(connection, lane):
            values = [row[name] for name in FIELDS]
            if seq is None and row["seq"] > 1:
                # Older partitions have been dropped: this row is where the evidence begins.
                head = bytes(row["hash"])
            else:
                if row["seq"] != (seq or 0) + 1:
                    return Verified(
                        rows,
                        tuple(heads),
                        Broken(lane, row["seq"], row["recorded"], "rows before it are missing"),
                    )
                head = digest(head, lane, row["seq"], values)
                if head != row["hash"]:
                    return Verified(
                        rows,
                        tuple(heads),
                        Broken(
                            lane, row["seq"], row["recorded"], "it, or the row before, was altered"
                        ),
                    )
            seq = row["seq"]
            rows += 1
            noted = remaining.pop((lane, row["seq"]), None)
            if noted is not None and noted != head.hex():
                return Verified(
                    rows,
                    tuple(heads),
                    Broken(
                        lane, row["seq"], row["recorded"], "its hash is not the one noted earlier"
                    ),
                )
        if seq is not None:
            heads.append(Head(lane, seq, head.hex()))
    broken = None
    if remaining:
        lane, seq = min(remaining)
        broken = Broken(lane, seq, datetime.now(UTC), "a row noted earlier is missing")
    return Verified(rows, tuple(heads), broken)


async def _rows(connection: asyncpg.Connection, lane: int) -> AsyncIterator[asyncpg.Record]:
    async with connection.transaction():
        async for row in connection.cursor(
            f"SELECT seq, hash, {', '.join(FIELDS)} FROM tl.audit_event WHERE lane = $1 ORDER BY seq",
            lane,
            prefetch=5000,
        ):
            yield row
