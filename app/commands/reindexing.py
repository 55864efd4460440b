"""`throughline reindex`: search rows made anew, after a SearchParameter was added (docs/search.md)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from app.commands.databases import database, first_line, on, owner_url
from app.commands.errors import CommandError
from app.fhir_mappings import registry
from app.interactions import definitions
from app.interactions.reindex import Progress, reindex
from app.settings import Settings
from app.storage.database import Database

_OWNER: Final = "throughline@"


def run(
    settings: Settings, progress: Progress, types: Sequence[str] | None = None
) -> tuple[int, tuple[tuple[str, str], ...]]:
    """How many resources were indexed anew; and SearchParameters that cannot be used, with the reason.

    CommandError where a type is no R4 type, or the database cannot be reached as its owner.
    """
    for each in types or ():
        if not registry.is_resource_type(each):
            raise CommandError(f"{each} is no resource type of R4.")
    with database(settings) as reached:

        async def define(opened: Database, _: object) -> tuple[tuple[str, str], ...]:
            return (await definitions.refresh(opened)).refused

        refused = on(reached, define)
        try:
            done = asyncio.run(
                reindex(owner_of(settings, reached.url), (reached.base,), progress, types)
            )
        except (OSError, asyncpg.PostgresError) as error:
            raise CommandError(
                f"The database cannot be re-indexed: {first_line(error)}. "
                "Set TL_MIGRATION_DATABASE_URL to the role that migrates it."
            ) from error
    return done, refused


def owner_of(settings: Settings, service: str) -> str:
    """The URL of the role that owns the schema: of an embedded server, by the socket of its folder."""
    found = owner_url(settings)
    return found if found is not None else urlunsplit(urlsplit(service)._replace(netloc=_OWNER))
