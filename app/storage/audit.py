"""Audit rows, durable before the answer leaves: group commit by COPY, without linger, chained by hash.

While one batch is being copied the next one gathers; a request waits for the commit of its own
batch. When the copy fails every request of the batch fails: nothing is answered unaudited. The writer has a
connection of its own, so that a busy pool never keeps an answer from being written down.

Each process writes a *lane* of its own, held by an advisory lock, so that processes never wait for each
other: a row's hash covers the row and the hash before it in its lane (`app.storage.audit_chain`).
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import datetime
from time import perf_counter
from typing import Final, NamedTuple

import asyncpg

from app import metrics
from app.ending import end
from app.storage.audit_chain import COLUMNS, chained

_CONNECT_SECONDS: Final = 5
_LOST: Final = (
    ConnectionError,
    asyncpg.InterfaceError,
    # So asyncpg calls the state in which a server leaves it that says goodbye in the midst of a statement.
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
)
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


class AuditWriter:
    """Gathers rows and commits them in groups; one a process."""

    def __init__(self, url: str) -> None:
        """url: of the service's own role."""
        self._url = url
        self._waiting: list[tuple[list[AuditRow], asyncio.Future[None]]] = []
        self._since = 0.0
        self._wake = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._connection: asyncpg.Connection | None = None
        self._lane, self._seq, self._head = 0, 0, b""

    async def start(self) -> None:
        """Connect and begin to write; raises what the database raises."""
        await self._connect()
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Write what waits, then end."""
        if self._waiting:
            with contextlib.suppress(Exception):
                await self._waiting[-1][1]
        if self._task is not None:
            await end(self._task)
        if self._connection is not None:
            with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await self._connection.close(timeout=_CONNECT_SECONDS)

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
        while True:
            await self._wake.wait()
            known = 0
            while known < len(self._waiting):
                # Whoever is about to write: one COPY for all of them costs little more than for one.
                known = len(self._waiting)
                await asyncio.sleep(0)
            self._wake.clear()
            batch, self._waiting = self._waiting, []
            since = self._since
            if not batch:
                continue
            try:
                rows = [row for each, _ in batch for row in each]
                await self._commit(rows)
            except Exception as error:  # noqa: BLE001 - handed to each waiting request
                # Whether the rows are there is unknown: the next batch reads the head anew.
                self._drop()
                metrics.AUDIT_FAILURES.inc()
                for _, done in batch:
                    if not done.done():
                        done.set_exception(error)
            else:
                metrics.audited(len(rows), since)
                for _, done in batch:
                    if not done.done():
                        done.set_result(None)

    async def _commit(self, rows: list[AuditRow]) -> None:
        if self._connection is not None and self._connection.is_closed():
            self._drop()
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
        self._drop()
        await self._connect()
        if self._lane == lane and (self._seq, self._head) == (before[0] + count, head):
            return True
        if self._lane == lane and (self._seq, self._head) == before:
            return False
        raise loss

    async def _connected(self) -> asyncpg.Connection:
        return self._connection or await self._connect()

    async def _connect(self) -> asyncpg.Connection:
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
            self._lane = await connection.fetchval("SELECT tl.audit_lane()")
            head = await connection.fetchrow("SELECT * FROM tl.audit_head($1)", self._lane)
            self._seq, self._head = (head["seq"], head["hash"]) if head else (0, b"")
            await connection.execute("SELECT tl.audit_partitions_ahead()")
        except BaseException:
            connection.terminate()
            raise
        self._connection = connection
        return connection

    def _drop(self) -> None:
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
