"""The database of a command: the one set, the one that runs already, or one started for the purpose.

Neighbours: `app.embedded` (a PostgreSQL of our own), `app.storage.migrate` (its schema). While an
embedded server runs, `running.json` in the state folder tells other commands how to reach it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import secrets
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import psycopg

from app.commands.errors import CommandError
from app.settings import Settings

if TYPE_CHECKING:
    from app.storage.database import Database

Result = TypeVar("Result")
Announce = Callable[[str], None]
"""Told what is being done, in a few words, before something that takes a while."""

_RUNNING: Final = "running.json"
_PATIENCE: Final = 20.0
"""Seconds that one command waits for another to start or leave the embedded database."""


@dataclass(frozen=True, slots=True)
class Reached:
    """A migrated database. url: of the service's own role. base: the FHIR base served from it.

    serving: whether a service, and not merely a short command, runs on it.
    """

    url: str
    base: str
    serving: bool = False


def quiet(_: str) -> None:
    """Announce nothing."""


def running(settings: Settings) -> Reached | None:
    """What another process runs in the state folder; None where nothing answers."""
    try:
        found = Reached(**json.loads((settings.state_dir / _RUNNING).read_text()))
        psycopg.connect(found.url, connect_timeout=2).close()
    except (OSError, ValueError, TypeError, psycopg.OperationalError):
        return None
    return found


@contextmanager
def database(
    settings: Settings, *, serving: bool = False, announce: Announce = quiet
) -> Iterator[Reached]:
    """A database of this release, as the service's own role.

    serving: the caller is the service itself, which must own an embedded server; other commands use
    the one that runs. An embedded server that was started here is stopped at the end.
    CommandError where there is none to be had.
    """
    owner, service = owner_url(settings), service_url(settings)
    if owner is not None and service is not None:
        url = _external(settings, announce, owner=owner, service=service)
        yield Reached(url, settings.fhir_base, serving)
        return
    with _embedded(settings, serving=serving, announce=announce) as reached:
        yield reached


def with_database(
    settings: Settings, work: Callable[[Database, Reached], Awaitable[Result]]
) -> Result:
    """Run `work` on the database and close everything again."""
    with database(settings) as reached:
        return on(reached, work)


def on(reached: Reached, work: Callable[[Database, Reached], Awaitable[Result]]) -> Result:
    """Run `work` on a database reached before."""
    import asyncio

    from app.storage.database import Database

    async def run() -> Result:
        opened = await Database.open(reached.url, minimum=1, maximum=2, statement_timeout_ms=60_000)
        try:
            return await work(opened, reached)
        finally:
            await opened.close()

    return asyncio.run(run())


def owner_url(settings: Settings) -> str | None:
    """The URL by which the schema is migrated; None where the database is embedded."""
    found = settings.migration_database_url or settings.database_url
    return found.get_secret_value() if found is not None else None


def service_url(settings: Settings) -> str | None:
    """The URL of the service's own role on the database set; None where the database is embedded."""
    if settings.database_url is None:
        return None
    url = settings.database_url.get_secret_value()
    if settings.migration_database_url is not None:
        return url
    return _as_role(url, settings.service_role, service_password(settings))


def service_password(settings: Settings) -> str:
    """The service role's password.

    The setting; or that of the service's own URL; or one derived from the owner's password, so that
    replicas agree; or one made once and kept in the state folder.
    """
    if settings.service_password is not None:
        return settings.service_password.get_secret_value()
    if settings.database_url is not None:
        given = urlsplit(settings.database_url.get_secret_value()).password
        if given and settings.migration_database_url is not None:
            return unquote(given)
        if given:
            digest = hmac.digest(
                unquote(given).encode(), b"throughline service role", hashlib.sha256
            )
            return base64.urlsafe_b64encode(digest).decode()
    kept = settings.state_dir / "service-password"
    if not kept.exists():
        state_folder(settings)
        draft = kept.with_name(f"service-password.{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(24))
        with suppress(FileExistsError):  # another command was first: its password holds
            os.link(draft, kept)
        draft.unlink()
    return kept.read_text()


def _as_role(url: str, role: str, password: str) -> str:
    parts = urlsplit(url)
    where = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{quote(role)}:{quote(password)}@{where}"))


def _external(settings: Settings, announce: Announce, *, owner: str, service: str) -> str:
    where = urlsplit(owner).hostname or "its socket"
    role = unquote(urlsplit(service).username or "")
    if role != settings.service_role:
        raise CommandError(
            f"TL_DATABASE_URL logs in as another role than TL_SERVICE_ROLE, {settings.service_role}. "
            "Make the two agree."
        )
    if _at_this_release(service, settings):
        return service
    announce(f"Bringing the database at {where} to this release")
    try:
        _upgrade(owner, settings)
        psycopg.connect(service, connect_timeout=10).close()
    except psycopg.OperationalError as error:
        raise CommandError(
            f"The database at {where} cannot be used: {first_line(error)}. "
            "See to TL_DATABASE_URL, or unset it to use an embedded database."
        ) from error
    return service


def _at_this_release(service: str, settings: Settings) -> bool:
    from app.storage.migrate import at_this_release

    try:
        with psycopg.connect(service, connect_timeout=10) as connection:
            return at_this_release(connection, settings.service_role)
    except psycopg.OperationalError:
        return False


def _upgrade(owner: str, settings: Settings) -> None:
    from app.storage.migrate import NewerDatabaseError, upgrade

    try:
        upgrade(owner, settings.service_role, service_password(settings))
    except NewerDatabaseError as error:
        raise CommandError(str(error)) from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise CommandError(
            f"The database role may not migrate: {first_line(error)}. Set TL_MIGRATION_DATABASE_URL to a "
            "role that may create roles and tables."
        ) from error


@contextmanager
def as_it_is(settings: Settings) -> Iterator[str | None]:
    """The URL of the service's role on the database as it stands, not migrated; None where there is none.

    An embedded server that does not run is started, and stopped at the end. CommandError where it
    cannot be.
    """
    found = running(settings) if settings.database_url is None else None
    url = found.url if found is not None else service_url(settings)
    home = settings.state_dir / "postgres"
    if url is not None or not (home / "cluster").exists():
        yield url
        return
    from app.embedded import EmbeddedPostgres, EmbeddedPostgresError

    server = EmbeddedPostgres(home)
    try:
        server.start()
    except EmbeddedPostgresError as error:
        raise CommandError(f"The database could not be started: {error}") from error
    try:
        yield _as_role(
            server.url_for(settings.service_role, "postgres"),
            settings.service_role,
            service_password(settings),
        )
    finally:
        server.stop()


@contextmanager
def _embedded(settings: Settings, *, serving: bool, announce: Announce) -> Iterator[Reached]:
    from app.embedded import EmbeddedPostgres, EmbeddedPostgresError, FolderInUseError

    def ended(status: int) -> None:
        announce(f"The database ended by itself (status {status}); see {home}/postgres.log")
        os.kill(os.getpid(), signal.SIGTERM)

    state_folder(settings)
    home = settings.state_dir / "postgres"
    server = EmbeddedPostgres(home, on_exit=ended if serving else None)
    deadline = time.monotonic() + _PATIENCE
    while True:
        found = running(settings)
        if found is not None and not serving:
            yield found
            return
        if found is not None and found.serving:
            raise CommandError(
                f"{settings.state_dir} is being served already, at {found.base}. Stop that one first, or "
                "set TL_STATE_DIR to another folder."
            )
        announce(
            f"Starting PostgreSQL in {settings.state_dir}/"
            if (home / "cluster").exists()
            else f"Making a PostgreSQL of its own in {settings.state_dir}/"
        )
        try:
            server.start()
            break
        except (
            FolderInUseError
        ) as error:  # a short command, or a service that is starting or ending
            if time.monotonic() > deadline:
                raise CommandError(f"{error}; wait for it or end it.") from error
            time.sleep(0.2)
        except EmbeddedPostgresError as error:
            raise CommandError(f"The database could not be started: {error}") from error
    note = settings.state_dir / _RUNNING
    try:
        announce("Bringing the database to this release")
        _upgrade(server.url_for("throughline", "postgres"), settings)
        url = server.url_for(settings.service_role, "postgres")
        reached = Reached(
            _as_role(url, settings.service_role, service_password(settings)),
            settings.fhir_base,
            serving,
        )
        write_privately(note, json.dumps(asdict(reached)))
        yield reached
    finally:
        note.unlink(missing_ok=True)
        server.stop()


def state_folder(settings: Settings) -> None:
    """Make the state folder where it is missing; CommandError where it cannot be written to."""
    try:
        settings.state_dir.mkdir(parents=True, exist_ok=True)
        usable = os.access(settings.state_dir, os.W_OK | os.X_OK)
    except OSError:
        usable = False
    if not usable:
        raise CommandError(
            f"The state folder {settings.state_dir} cannot be written to. "
            "Set TL_STATE_DIR to a folder of yours."
        )


def write_privately(path: Path, text: str) -> None:
    """Put a text in a file that only its owner reads, all at once."""
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)
    draft.write_text(text)
    draft.replace(path)


def first_line(error: Exception) -> str:
    """The first line of an error's text, which is what a person needs of it."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
