"""A Consent that merely runs out: nothing is written at that moment, so somebody has to look.

Every process looks every so often for permits that have ended (`tl.consent_end`, which the compiling of a
survivor's grants fills) and tells whoever waits for an answer, as the withdrawal of a Consent does. An end is
taken up by one process alone and in the transaction that writes the notes: it does not matter who comes first,
nor whether two come at once, and what fails is done again. Sight itself needs none of this: a permit that has
ended permits nothing from the next statement on.
Neighbours: `sight` (the notes), `app.main` (starts it). Pinned: docs/care/referrals.md.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

from app.care.referrals import sight
from app.ending import end
from app.fhir_mappings import registry
from app.interactions.guards import Moment
from app.storage import notes
from app.storage.audit import AuditRow
from app.storage.database import Caller, Database, StaleClosure, WriteConnection

_LOG: Final = logging.getLogger("throughline")
_AT_ONCE: Final = 200
"""Survivors who are looked at in one go; the others the next time."""
_AGAIN_SECONDS: Final = 60.0

Audit = Callable[..., Awaitable[None]]
"""Makes audit rows durable (`app.storage.audit.AuditWriter.write`)."""


async def look(database: Database, audit: Audit, base_urls: tuple[str, ...]) -> int:
    """Tell of every permit that has ended and is not taken up yet; how many Tasks were noted.

    A survivor whose Tasks somebody is just writing, or for whom something fails, waits a minute.
    """
    told = 0
    for _ in range(_AT_ONCE):
        try:
            found = await _next(database, audit, base_urls)
        except (*notes.YIELDS, StaleClosure):
            await notes.put_off(database.pool, 1)
            continue
        except Exception as error:  # noqa: BLE001 - one record that cannot be worked on must not stop the others
            _LOG.warning("a consent's end could not be told: %s", type(error).__name__)
            await notes.put_off(database.pool, _AGAIN_SECONDS)
            continue
        if found is None:
            break
        told += found
    return told


async def _next(database: Database, audit: Audit, base_urls: tuple[str, ...]) -> int | None:
    """Tell for one survivor; None where no end is due."""
    epoch = await database.pool.fetchval("SELECT epoch FROM tl.directory_epoch")
    nobody = Caller((), (), 0, None, epoch)
    async with database.pool.acquire() as connection, connection.transaction():
        entered = WriteConnection(connection)
        survivor = await notes.take_up(entered)
        if survivor is None:
            return None
        moment = Moment(entered, nobody, datetime.now(UTC), base_urls, ())
        told = await sight.tell(moment, [survivor])
        if told:
            # Before the commit: what cannot be written down is not done.
            await audit(*(_row(each, moment.now) for each in told))
    return len(told)


def _row(noted: notes.Noted, now: datetime) -> AuditRow:
    """The service's own act, in the name of the Task's custodian."""
    return AuditRow(
        recorded=now,
        action=b"U",
        interaction="consent-end",
        outcome=0,
        client_id=None,
        organization=noted.custodian,
        practitioner=None,
        purpose=None,
        emergency_reason=None,
        type=registry.type_code("Task"),
        resource_id=noted.id,
        rids=[noted.rid],
        query=None,
        request_id=str(uuid4()),
    )


@asynccontextmanager
async def watching(
    database: Database, audit: Audit, base_urls: tuple[str, ...], every: float
) -> AsyncIterator[None]:
    """Look every so many seconds while the block runs; never where that is 0."""
    if every == 0:
        yield
        return
    task = asyncio.create_task(_watch(database, audit, base_urls, every), name="consent ends")
    try:
        yield
    finally:
        await end(task)


async def _watch(
    database: Database, audit: Audit, base_urls: tuple[str, ...], every: float
) -> None:
    while True:
        await asyncio.sleep(every)
        try:
            async with asyncio.timeout(_AGAIN_SECONDS):
                await look(database, audit, base_urls)
        except Exception as error:  # noqa: BLE001 - the database is away; the ends are still there afterwards
            _LOG.warning("ends of consents could not be looked for: %s", type(error).__name__)
