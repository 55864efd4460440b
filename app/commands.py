"""What the command line does, without its dressing: databases, clients, tokens, serving."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit, urlunsplit

import uvicorn

from app.consent.purposes import purpose_bit
from app.demo import load as demo
from app.embedded import EmbeddedPostgres
from app.fhir_mappings import registry
from app.interactions import transaction, writing
from app.main import create_app
from app.security import clients, tokens
from app.security.keys import load_keys
from app.settings import Settings
from app.storage import clients as client_rows
from app.storage.database import Caller, Database, base_closure
from app.storage.identities import Identity, resolve_caller
from app.storage.migrate import upgrade
from app.storage.resources import directory_rid

Result = TypeVar("Result")

_RUNNING = "database.json"


def service_password(settings: Settings) -> str:
    """The service role's password: the setting, or one made once and kept in the state folder."""
    if settings.service_password is not None:
        return settings.service_password.get_secret_value()
    kept = settings.state_dir / "service-password"
    if not kept.exists():
        settings.state_dir.mkdir(parents=True, exist_ok=True)
        kept.touch(mode=0o600)
        kept.write_text(secrets.token_urlsafe(24))
    return kept.read_text()


def _as_role(url: str, role: str, password: str) -> str:
    parts = urlsplit(url)
    where = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{quote(role)}:{quote(password)}@{where}"))


@contextmanager
def database(settings: Settings) -> Iterator[str]:
    """A migrated database, as the service's own role: the one set, the one running, or one started here.

    An embedded server started here is stopped at the end.
    """
    password = service_password(settings)
    running = settings.state_dir / _RUNNING
    if settings.database_url is not None:
        owner = (settings.migration_database_url or settings.database_url).get_secret_value()
        upgrade(owner, settings.service_role, password)
        yield (
            settings.database_url.get_secret_value()
            if settings.migration_database_url is not None
            else _as_role(owner, settings.service_role, password)
        )
        return
    if running.exists() and _answers(url := json.loads(running.read_text())["url"]):
        yield url
        return
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    with EmbeddedPostgres(settings.state_dir / "postgres") as server:
        owner = server.url_for("throughline", "postgres")
        upgrade(owner, settings.service_role, password)
        url = _as_role(
            server.url_for(settings.service_role, "postgres"), settings.service_role, password
        )
        running.touch(mode=0o600)
        running.write_text(json.dumps({"url": url}))
        try:
            yield url
        finally:
            running.unlink(missing_ok=True)


def _answers(url: str) -> bool:
    import psycopg

    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def with_database(settings: Settings, work: Callable[[Database], Awaitable[Result]]) -> Result:
    """Run `work` on the database and close everything again."""

    async def run(url: str) -> Result:
        opened = await Database.open(url, minimum=1, maximum=2, statement_timeout_ms=60_000)
        try:
            return await work(opened)
        finally:
            await opened.close()

    with database(settings) as url:
        return asyncio.run(run(url))


def serve(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM; an embedded database is stopped afterwards."""
    with database(settings) as url:
        uvicorn.run(
            create_app(settings, url),
            host=settings.host,
            port=settings.port,
            log_level=settings.log_level,
            access_log=False,
            server_header=False,
            loop="uvloop",
            http="httptools",
        )


async def organization(opened: Database, name: str) -> int:
    """The rid of the Organization of this id; a new one, its own custodian, where there is none."""
    found = await directory_rid(opened, registry.type_code("Organization"), name)
    if found is not None:
        return found
    rid = await opened.pool.fetchval("SELECT nextval('tl.rid')")
    epoch = await opened.pool.fetchval("SELECT epoch FROM tl.directory_epoch")
    closure = base_closure((rid,), has_organization=True, emergency=False)
    (written,) = await writing.write(
        opened,
        Caller(closure, (rid,), 0, rid, epoch),
        [
            writing.Operation(
                "Organization",
                name,
                {"resourceType": "Organization", "id": name, "active": True, "name": name},
            )
        ],
        writing.WriteRules((), allow_client_ids=True),
    )
    return written.rid


async def add_client(
    opened: Database,
    *,
    name: str,
    organization_id: str,
    scope: str,
    purposes: tuple[str, ...],
    jwks: dict[str, Any] | None,
    emergency: bool,
) -> str | None:
    """Register a client; its new secret, or None where it has keys."""
    return await clients.add_client(
        opened.pool,
        client_id=name,
        organization=await organization(opened, organization_id),
        scope=scope,
        purposes_of_use=purposes,
        jwks=jwks,
        emergency=emergency,
    )


async def token(opened: Database, settings: Settings, client: str, purpose: str | None) -> str:
    """An access token for a registered client. LookupError, ValueError say what is wrong."""
    found = await client_rows.find_client(opened.pool, client)
    if found is None or found.revoked:
        raise LookupError("no such client; see: throughline client list")
    asked = purpose or found.purposes[0]
    if asked not in found.purposes:
        raise ValueError("the client is not registered for this purpose")
    return tokens.mint(
        await load_keys(opened.pool),
        found,
        issuer=settings.fhir_base.removesuffix("/fhir"),
        purpose=asked,
        scope=found.scope,
        lifetime=settings.token_lifetime_seconds,
    )


async def load_demo(opened: Database, progress: demo.Progress) -> None:
    """Register the demonstration's clients and write its records; nothing where it is there already."""
    if await client_rows.find_client(opened.pool, demo.CLIENTS[0].client) is not None:
        return
    rids = {each.client: await organization(opened, each.organization) for each in demo.CLIENTS}
    purposes = {each.client: purpose_bit(each.writes_for) for each in demo.CLIENTS}

    async def transact(client: str, bundle: dict[str, Any]) -> object:
        caller = await resolve_caller(
            opened.pool,
            Identity(rids[client], None, None),
            purpose=purposes[client],
            emergency=False,
        )
        return await writing.write(
            opened,
            caller,
            transaction.operations(bundle, len(bundle["entry"])),
            writing.WriteRules((), allow_client_ids=True),
        )

    await demo.load(transact, progress)
    # The clients come last: an interrupted load is repeated, a finished one is not.
    for each in demo.CLIENTS:
        await clients.add_client(
            opened.pool,
            client_id=each.client,
            organization=rids[each.client],
            scope=each.scope,
            purposes_of_use=each.purposes,
            emergency=each.emergency,
            privacy_officer=each.privacy_officer,
        )
