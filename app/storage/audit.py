"""Audit rows, durable before the answer leaves: group commit by COPY, without linger.

While one batch is being copied the next one gathers; a request waits for the commit of its own
batch. When the copy fails every request of the batch fails: nothing is answered unaudited.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import astuple, dataclass
from datetime import datetime
from uuid import UUID

import asyncpg


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One access, refusal, token or administrative act (columns of tl.audit_event, in order)."""

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
    request_id: UUID


_COLUMNS = tuple(AuditRow.__dataclass_fields__)


class AuditWriter:
    """Gathers rows and commits them in groups; one a process."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._waiting: list[tuple[AuditRow, asyncio.Future[None]]] = []
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to write; to be called inside the running loop."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Write what waits, then end."""
        if self._waiting:
            await self._waiting[-1][1]
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def write(self, row: AuditRow) -> None:
        """Return once `row` is durable; raises what the database raised."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((row, done))
        self._wake.set()
        await done

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            batch, self._waiting = self._waiting, []
            if not batch:
                continue
            try:
                async with self._pool.acquire() as connection:
                    await connection.copy_records_to_table(
                        "audit_event",
                        schema_name="tl",
                        columns=_COLUMNS,
                        records=[astuple(row) for row, _ in batch],
                    )
            except Exception as error:  # noqa: BLE001 - handed to each waiting request
                for _, done in batch:
                    if not done.done():
                        done.set_exception(error)
            else:
                for _, done in batch:
                    if not done.done():
                        done.set_result(None)
