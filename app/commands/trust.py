"""What the command line does about trust: the audit verified, keys replaced, its own acts written down.

Neighbours: `app.storage.audit_chain`, `app.security.keys`, `app.storage.audit`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit, urlunsplit

from app.commands.databases import Reached, database, owner_url, with_database
from app.commands.errors import CommandError
from app.settings import Settings
from app.storage.audit_chain import Verified

if TYPE_CHECKING:
    from app.storage.database import Database

_NOTED: Final = re.compile(r"(\d{1,4}):(\d{1,18}):([0-9a-f]{64})")
_SKEW_SECONDS: Final = 60


def verify_audit(settings: Settings, noted: Iterable[str]) -> Verified:
    """Compute the audit's chain again. noted: heads of an earlier verification, as `lane:seq:hash`."""
    expected = {}
    for text in noted:
        match = _NOTED.fullmatch(text)
        if match is None:
            raise CommandError("Give a head as an earlier verification printed it: lane:seq:hash.")
        expected[int(match[1]), int(match[2])] = match[3]

    async def run(url: str) -> Verified:
        import asyncpg

        from app.storage.audit_chain import verify

        connection = await asyncpg.connect(url)
        try:
            return await verify(connection, expected)
        finally:
            await connection.close()

    with database(settings) as reached:
        return asyncio.run(run(owner_url(settings) or _embedded_owner(reached.url)))


def _embedded_owner(url: str) -> str:
    from app.embedded.server import SUPERUSER

    parts = urlsplit(url)
    where = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{SUPERUSER}@{where}"))


def rotate_keys(settings: Settings, overlap_seconds: int | None) -> str:
    """Make a new signing key; its kid. overlap_seconds: by default the lifetime of a token and a minute."""
    overlap = (
        settings.token_lifetime_seconds + _SKEW_SECONDS
        if overlap_seconds is None
        else overlap_seconds
    )

    async def work(opened: Database, reached: Reached) -> str:
        from app.security.keys import rotate_keys as rotate
        from app.security.sealing import Seal

        kid = await rotate(opened.pool, overlap, Seal(settings))
        await note(reached, "keys-rotate")
        return kid

    return with_database(settings, work)


async def note(reached: Reached, interaction: str, client_id: str | None = None) -> None:
    """Write an administrative act down; client_id: the client that it is about."""
    from app.logs import request_id
    from app.storage.audit import AuditRow, AuditWriter

    writer = AuditWriter(reached.url)
    await writer.start()
    try:
        await writer.write(
            AuditRow(
                recorded=datetime.now(UTC),
                action=b"E",
                interaction=interaction,
                outcome=0,
                client_id=client_id,
                organization=None,
                practitioner=None,
                purpose=None,
                emergency_reason=None,
                type=None,
                resource_id=None,
                rids=None,
                query=None,
                request_id=request_id(),
            )
        )
    finally:
        await writer.stop()
