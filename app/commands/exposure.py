"""What settings would lay open: how far the service reaches, with which secrets, sealed how.

`throughline doctor` tells each; the start refuses those that are unsafe. Neighbours: `app.storage.health` (the
same of the database).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote, urlsplit

import psycopg

from app.security import demonstration
from app.security.sealing import FILE, Seal, lies_open
from app.settings import Settings
from app.storage.health import Check

_LOCAL: Final = ("127.0.0.1", "::1", "localhost")
_WELL_KNOWN: Final = frozenset(
    {
        *("postgres", "password", "passw0rd", "postgresql", "throughline", "throughline_service"),
        *(
            "changeme",
            "change-me",
            "secret",
            "admin",
            "root",
            "owner",
            "default",
            "example",
            "test",
        ),
        *("123456", "12345678", "letmein", "qwerty", ""),
    }
)


def reaches_beyond(settings: Settings) -> bool:
    """Whether anybody but this machine is served.

    In a container the socket is open to all, and the address that is published tells how far it reaches.
    """
    reach = urlsplit(settings.base_url).hostname if settings.base_url else settings.host
    return reach not in _LOCAL


def checks(settings: Settings) -> Iterator[Check]:
    """Every check of the settings alone."""
    beyond = reaches_beyond(settings)
    https = settings.fhir_base.startswith("https://")
    yield Check(
        "tokens and records cross no network in the clear",
        "the service would listen beyond this machine in plain http"
        if beyond and not https and not settings.allow_plain_http
        else None,
        "Put a proxy with TLS before it and set TL_BASE_URL to its https address; or set "
        "TL_ALLOW_PLAIN_HTTP on a closed network with no real records.",
        unsafe=True,
    )
    yield Check(
        "the demonstration, which gives tokens to anybody, is for this machine only",
        "TL_DEMO is set, and the service reaches beyond this machine"
        if settings.demo and beyond
        else None,
        "Unset TL_DEMO, or serve it on 127.0.0.1.",
        unsafe=True,
    )
    named = [name for name, password in _passwords(settings) if password.lower() in _WELL_KNOWN]
    yield Check(
        "no password is one that everybody tries first",
        f"that of {', '.join(named)} is" if named and beyond else None,
        "Make one, for example with: openssl rand -hex 24",
        unsafe=True,
    )


def _passwords(settings: Settings) -> Iterator[tuple[str, str]]:
    if settings.service_password is not None:
        yield "TL_SERVICE_PASSWORD", settings.service_password.get_secret_value()
    for name, url in (
        ("TL_DATABASE_URL", settings.database_url),
        ("TL_MIGRATION_DATABASE_URL", settings.migration_database_url),
    ):
        password = urlsplit(url.get_secret_value()).password if url is not None else None
        if password is not None:
            yield name, unquote(password)


def keys(connection: psycopg.Connection, settings: Settings) -> Check:
    """Whether the stored signing keys are sealed, and can be opened with the secret that is set."""
    stored = [
        str(row[0])
        for row in connection.execute(
            "SELECT private_pem FROM tl.signing_key WHERE retired_at IS NULL OR retired_at > now()"
        )
    ]
    name = "signing keys are sealed, and open with the secret that is set"
    if any(lies_open(each) for each in stored):
        return Check(
            name,
            "a signing key lies in the clear, from before keys were sealed",
            "Start the service once, which seals it; then run: throughline keys rotate",
        )
    seal = Seal(settings)
    return Check(
        name,
        "they were sealed with another secret"
        if stored and not any(seal.open(each) for each in stored)
        else None,
        f"Set TL_KEY_SECRET, or bring back {FILE} in the state folder; where it is lost, run: throughline "
        "keys rotate --overlap 0",
        unsafe=True,
    )


def strangers(connection: psycopg.Connection, settings: Settings) -> Check:
    """Whether the demonstration is served from a store where clients of others are registered."""
    found = connection.execute("SELECT client_id FROM tl.client WHERE revoked_at IS NULL")
    others = demonstration.strangers([str(row[0]) for row in found]) if settings.demo else []
    return Check(
        "the demonstration, which gives tokens to anybody, has a store of its own",
        f"clients are registered that are not the demonstration's: {', '.join(others)}"
        if others
        else None,
        "Give the demonstration a store of its own: unset TL_DATABASE_URL, or set TL_STATE_DIR to another. "
        "To serve these clients unset TL_DEMO; where they were for trying, run: throughline client revoke",
        unsafe=True,
    )
