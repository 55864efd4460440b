"""SearchParameters that users store, brought into use in this process.

A process looks at the start, after a write of its own, and every `EVERY` seconds for the writes of others.
What was written before a parameter is found by it after `throughline reindex` (`app.interactions.reindex`).
Only directory entries open to everybody count: a definition is no secret of its custodian's.
Neighbour: `app.fhir_mappings.search_definitions` (pure).
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from app.ending import end
from app.fhir_mappings import search_keys
from app.fhir_mappings.json_text import parse
from app.fhir_mappings.search_definitions import Definitions, read_definitions
from app.fhir_mappings.search_parameters import define
from app.storage import search_sql
from app.storage.database import Caller, Database, Reader, StaleClosure, base_closure

EVERY: Final = 10.0
_DEPTH: Final = 200
_LOG: Final = logging.getLogger("throughline")


async def refresh(database: Database) -> Definitions:
    """Bring what is stored now into use; what was, and what was refused and why."""
    epoch = await database.pool.fetchval("SELECT epoch FROM tl.directory_epoch")
    closure = base_closure((), has_organization=False, emergency=False)
    return await use(database, Caller(closure, (), 0, None, epoch))


async def use(reader: Reader, caller: Caller) -> Definitions:
    """As `refresh`, by what a caller sees."""
    key = search_keys.parameter_key("SearchParameter", "")
    rows = await search_sql.canonical(reader, caller, "SearchParameter", [key], [])
    found = read_definitions([parse(content, max_depth=_DEPTH) for _, content in rows])
    digest = hashlib.sha256(b"\0".join(content for _, content in rows)).hexdigest()
    define(digest, found.parameters)
    return found


@asynccontextmanager
async def watching(database: Database) -> AsyncIterator[None]:
    """Refresh now and then while the block runs."""
    task = asyncio.create_task(_watch(database), name="definitions")
    try:
        yield
    finally:
        await end(task)


async def _watch(database: Database) -> None:
    """Refresh until cancelled; a failure is logged and tried again."""
    while True:
        try:
            await refresh(database)
        except StaleClosure:
            continue
        except Exception as error:  # noqa: BLE001 - a search by old definitions finds nothing it should not
            _LOG.warning("search parameters could not be refreshed: %s", type(error).__name__)
        await asyncio.sleep(EVERY)
