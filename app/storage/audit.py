"""Audit rows, durable before the answer leaves: group commit by COPY, without linger, chained by hash.

While one batch is being copied the next one gathers; a request waits for the commit of its own
batch. When the copy fails every request of the batch fails: nothing is answered unaudited. The writer has
connections of its own, so that a busy pool never keeps an answer from being written down.

Each connection writes a *lane* of its own, held by an advisory lock, so that nobody waits for anybody else's
batch: a row's hash covers the row and the hash before it in its lane (`app.storage.audit_chain`). A process has
`LANES`: where a disk takes long to make a batch durable, the next one is on its way meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import datetime
from time import perf_counter
from typing import Final, NamedTuple, TypeAlias

import asyncpg

from app import metrics
from app.ending import end
from app.storage.audit_chain import COLUMNS, chained

LANES: Final = 2
"""Lanes of a process, and so batches under way at once."""

LATE_SECONDS: Final = 0.002
"""A batch goes beside another once that has been under way for so long: before, it rather gathers more."""

_CONNECT_SECONDS: Final = 5
_CLOSING_SECONDS: Final = 10
_LOST: Final = (
    ConnectionError,
    asyncpg.InterfaceError,
    # So asyncpg calls the state in which a server leaves it that says goodbye in the midst of a statement.
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
)
_TAKE_LANE: Final = """SELECT CASE WHEN $1::integer > 0 AND pg_try_advisory_lock(7402, $1::integer)
  THEN $1::integer ELSE tl.audit_lane() END"""
"""The lane that the connection had before, if it is free, else any."""

_TEXTS: Final = ("client_id", "emergency_reason", "resource_id", "query")


class AuditRow(NamedTuple):
    """One access, refusal, token or administrative act (`audit_chain.FIELDS`, in order)."""

    recorded: datetime
    action: bytes
    interaction: str
    outcome: int
    client_id: str | None
    organization: int | None
    practitioner: int | None
    purpose: str | None
    emergency_reason: str | None
    type: int | None
    resource_id: str | None
    rids: list[int] | None
    query: str | None
    request_id: str


def storable(row: AuditRow) -> AuditRow:
    """The row with no text that PostgreSQL would refuse: one request must not fail the others' batch."""
    changed = {}
    for name in _TEXTS:
        text = getattr(row, name)
        if text is not None and not (text.isascii() and "\0" not in text):
            clean = text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
            if clean != text:
                changed[name] = clean
    return row._replace(**changed) if changed else row


_Batch: TypeAlias = list[tuple[list[AuditRow], asyncio.Future[None]]]
"""Rows that become durable together, by who waits for them."""


class AuditWriter:
    """Gathers rows and commits them in groups; one a process."""

    def __init__(self, url: str) -> None:
        """url: of the service's own role."""
        self._url = url
        self._waiting: _Batch = []
        self._since = 0.0
        self._wake = asyncio.Event()
        self._turn = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._lanes = [_Lane(url) for _ in range(LANES)]
        self._free: list[_Lane] = []
        self._under_way: dict[asyncio.Task[None], float] = {}

    async def start(self) -> None:
        """Connect and begin to write; raises what the database raises."""
        try:
            for lane in self._lanes:
                await lane.connect()
        except BaseException:
            await self.stop()
            raise
        self._free = self._lanes[::-1]  # the first one comes first
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Write what waits, then end."""
        for _, done in list(self._waiting):
            with contextlib.suppress(Exception):
                await done
        if self._task is not None:
            await end(self._task)
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=_CLOSING_SECONDS)
        for task in list(self._under_way):
            await end(task)
        for lane in self._lanes:
            await lane.close()

    async def write(self, *rows: AuditRow) -> None:
        """Return once `rows` are durable, all of them or none; raises what the database raised."""
        # Kept: to find the running loop asks the kernel for the process id each time.
        loop = self._loop = self._loop or asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        if not self._waiting:
            self._since = perf_counter()
        self._waiting.append(([storable(row) for row in rows], done))
        self._wake.set()
        await done

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._wake.wait()
            lane = await self._next(loop)
            known = 0
            while known < len(self._waiting):
                # Whoever is about to write: one COPY for all of them costs little more than for one.
                known = len(self._waiting)
                await asyncio.sleep(0)
            self._wake.clear()
            batch, self._waiting = self._waiting, []
            task = loop.create_task(self._commit(lane, batch, self._since))
            self._under_way[task] = loop.time()
            task.add_done_callback(self._ended)

    async def _next(self, loop: asyncio.AbstractEventLoop) -> _Lane:
        """A lane, once nothing is under way, or what began last is late."""
        while self._under_way:
            late = max(self._under_way.values()) + LATE_SECONDS - loop.time()
            if self._free and late <= 0:
                break
            self._turn.clear()
            timer = loop.call_later(late, self._turn.set) if self._free else None
            await self._turn.wait()
            if timer is not None:
                timer.cancel()
        return self._free.pop()

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._under_way[task]
        self._turn.set()

    async def _commit(self, lane: _Lane, batch: _Batch, since: float) -> None:
        rows = [row for each, _ in batch for row in each]
        try:
            await lane.commit(rows)
        except Exception as error:  # noqa: BLE001 - handed to each waiting request
            # Whether the rows are there is unknown: the next batch reads the head anew.
            lane.drop()
            self._free.insert(0, lane)  # the other one comes first: it may have its connection yet
            metrics.AUDIT_FAILURES.inc()
            for _, done in batch:
                if not done.done():
                    done.set_exception(error)
        except BaseException:
            for _, done in batch:
                done.cancel()
            raise
        else:
            self._free.append(lane)
            metrics.audited(len(rows), since)
            for _, done in batch:
                if not done.done():
                    done.set_result(None)


class _Lane:
    """One chain, with the connection that holds it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: asyncpg.Connection | None = None
        self._lane, self._seq, self._head = 0, 0, b""

    async def close(self) -> None:
        """Give the lane back."""
        if self._connection is not None:
            with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await self._connection.close(timeout=_CONNECT_SECONDS)

    async def commit(self, rows: list[AuditRow]) -> None:
        """Make rows durable, once; raises what the database raised."""
        if self._connection is not None and self._connection.is_closed():
            self.drop()
        connection = await self._connected()
        records, head = chained(self._lane, self._seq, self._head, rows)
        try:
            await _put(connection, rows, records)
        except _LOST as error:
            if await self._was_written(len(rows), head, error):
                return
            await _put(await self._connected(), rows, records)
        self._seq, self._head = self._seq + len(rows), head

    async def _was_written(self, count: int, head: bytes, loss: Exception) -> bool:
        """After a lost connection, whether the batch that ends in `head` became durable.

        The lost session's lane tells, once this process has it again: nobody writes to it any more. Raises
        `loss` where that cannot be told, because then neither answer is safe.
        """
        lane, before = self._lane, (self._seq, self._head)
        self.drop()
        await self.connect()
        if self._lane == lane and (self._seq, self._head) == (before[0] + count, head):
            return True
        if self._lane == lane and (self._seq, self._head) == before:
            return False
        raise loss

    async def _connected(self) -> asyncpg.Connection:
        return self._connection or await self.connect()

    async def connect(self) -> asyncpg.Connection:
        """Take a lane that is free, and read its head."""
        try:
            return await self._connect_once()
        except _LOST:
            # Nothing has been written on it yet.
            return await self._connect_once()

    async def _connect_once(self) -> asyncpg.Connection:
        connection = await asyncpg.connect(
            self._url,
            timeout=_CONNECT_SECONDS,
            command_timeout=30,
            server_settings={
                "search_path": "tl",
                "timezone": "UTC",
                "application_name": "throughline audit",
            },
        )
        try:
            self._lane = await connection.fetchval(_TAKE_LANE, self._lane)
            head = await connection.fetchrow("SELECT * FROM tl.audit_head($1)", self._lane)
            self._seq, self._head = (head["seq"], head["hash"]) if head else (0, b"")
            await connection.execute("SELECT tl.audit_partitions_ahead()")
        except BaseException:
            connection.terminate()
            raise
        self._connection = connection
        return connection

    def drop(self) -> None:
        """Cut the connection off."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None


async def _put(
    connection: asyncpg.Connection, rows: list[AuditRow], records: list[tuple[object, ...]]
) -> None:
    try:
        await _copy(connection, records)
    except asyncpg.CheckViolationError:
        # No partition for a month: the clock jumped, or nobody made it ahead.
        for month in sorted({(r.recorded.year, r.recorded.month) for r in rows}):
            await connection.execute("SELECT tl.audit_partition($1, $2)", *month)
        await _copy(connection, records)


async def _copy(connection: asyncpg.Connection, records: list[tuple[object, ...]]) -> None:
    await connection.copy_records_to_table(
        "audit_event", schema_name="tl", columns=COLUMNS, records=records
    )
