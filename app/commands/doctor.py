"""Look at everything that the service needs, and say what is wrong and how to mend it.

Nothing is changed: an embedded database that does not run is started for the look and stopped again,
but never migrated. Neighbours: `app.storage.health` (what is seen in the database).
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psycopg

from app.commands import databases, exposure
from app.commands.errors import CommandError
from app.security.sealing import FILE
from app.settings import Settings, SettingsError
from app.storage import audit, health
from app.storage.database import LANES, PLANNED
from app.storage.health import Check

_APART: Final = LANES + PLANNED + audit.LANES + 1
"""Connections of a process besides its two pools; the last hears notices."""

_ROOM: Final = 512 * 1024 * 1024
"""Bytes free below which PostgreSQL may soon stop to take writes."""


def look() -> Iterator[Check]:
    """Every check, in the order in which one would mend them."""
    try:
        settings = Settings.load()
    except SettingsError as error:
        yield Check("settings", str(error), "See docs/settings.md.")
        return
    yield Check("settings", None)
    if settings.database_url is None:
        yield _state(settings.state_dir)
        yield _room(settings.state_dir)
    yield _port(settings)
    yield from exposure.checks(settings)
    yield from _database(settings)


def _state(folder: Path) -> Check:
    name, remedy = f"state folder {folder}", f"Run: chmod go-w {folder}"
    above = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    if not os.access(above, os.W_OK | os.X_OK):
        return Check(name, "it cannot be written to", "Set TL_STATE_DIR to a folder of yours.")
    if not folder.exists():
        return Check(f"{name} can be made", None)
    loose = folder.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    for kept in (folder / "service-password", folder / FILE):
        if not loose and kept.exists() and kept.stat().st_mode & 0o077:
            loose, remedy = 1, f"Run: chmod 600 {kept}"
    return Check(name, "others than its owner can change or read it" if loose else None, remedy)


def _room(folder: Path) -> Check:
    above = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    free = shutil.disk_usage(above).free
    return Check(
        "room on the disk",
        f"{free // 1024 // 1024} MiB are left" if free < _ROOM else None,
        "Free some: with no room left nothing can be written, and so nothing is answered.",
    )


def _port(settings: Settings) -> Check:
    from app.commands import serving

    served = databases.running(settings)
    if served is not None and served.serving:
        return Check(f"the service runs, at {served.base}", None)
    try:
        with serving.listening(settings):
            return Check(f"port {settings.port} is free", None)
    except CommandError as error:
        return Check(
            f"port {settings.port}", str(error).split(".")[0], "Set TL_PORT to a free one."
        )


def _database(settings: Settings) -> Iterator[Check]:
    wanted = health.Wanted(
        settings.service_role, settings.workers * (2 * settings.pool_max + _APART)
    )
    try:
        with databases.as_it_is(settings) as url:
            if url is None:
                yield Check("database", "there is none yet", "Run: throughline migrate")
                return
            with psycopg.connect(url, connect_timeout=10, autocommit=True) as connection:
                yield Check("the database answers", None)
                yield from health.checks(connection, wanted)
                if health.has_schema(connection):
                    yield exposure.keys(connection, settings)
                    yield exposure.strangers(connection, settings)
    except (CommandError, psycopg.OperationalError) as error:
        yield Check(
            "database",
            databases.first_line(error),
            "See to TL_DATABASE_URL; where the role has no password yet, run: throughline migrate",
        )
