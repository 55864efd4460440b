"""Registering clients, and knowing them by their secret (RFC 6749); by their keys: `assertions`."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Any

from app.consent import purposes
from app.security.fetching import may_be_fetched
from app.security.keysets import CLIENT_ALGORITHMS, fits, public_keys
from app.security.scopes import parse_scopes, unknown
from app.storage import clients
from app.storage.clients import Client
from app.storage.database import Executor, Pool


class ClientRefused(Exception):  # noqa: N818 - OAuth calls it invalid_client
    """The client could not be authenticated; the reason is for our log, never for the caller."""


def _hash(secret: str) -> str:
    # A secret of 256 random bits made by us needs no slow hash: there is nothing to guess.
    return hashlib.sha256(secret.encode()).hexdigest()


async def add_client(
    pool: Executor,
    *,
    client_id: str,
    organization: int,
    scope: str,
    purposes_of_use: tuple[str, ...],
    jwks: dict[str, Any] | None = None,
    jwks_url: str | None = None,
    practitioner: int | None = None,
    patient: int | None = None,
    emergency: bool = False,
    privacy_officer: bool = False,
    openid_issuer: str | None = None,
) -> str | None:
    """Register a client; without `jwks` or `jwks_url` a secret is made and returned, once.

    openid_issuer: the provider that issues the app's tokens to people; then nothing is made.

    ValueError for a scope that grants nothing or a purpose that is no ActReason purpose of use.
    """
    if not parse_scopes(scope).held:
        raise ValueError("the scope grants nothing; write it as system/*.cruds")
    if unknown(scope):
        raise ValueError(f"these scopes cannot be granted: {' '.join(unknown(scope))}")
    levels = {each.level for each in parse_scopes(scope).held}
    if openid_issuer is not None:
        if levels not in ({"patient"}, {"user"}):
            raise ValueError(
                "an app of people has user/ scopes, for staff, or patient/ scopes, for survivors"
            )
        if practitioner is not None or jwks is not None or jwks_url is not None:
            raise ValueError("the provider says who signs in and signs for the app")
    elif "patient" in levels and (patient is None or levels != {"patient"}):
        raise ValueError("a patient/ scope needs a client of that patient, and no other scopes")
    for code in purposes_of_use:
        if not purposes.known(code):
            raise ValueError("a purpose must be a v3-ActReason purpose of use, such as TREAT")
    if jwks is not None and not any(
        fits(key, algorithm)
        for key in public_keys(jwks).values()
        for algorithm in CLIENT_ALGORITHMS
    ):
        raise ValueError(
            "the key set must be a JWK Set with a public RSA or P-384 key, each with a kid"
        )
    if jwks_url is not None and not may_be_fetched(jwks_url):
        raise ValueError("the address of the key set must begin with https://")
    secret = None if jwks or jwks_url or openid_issuer else secrets.token_urlsafe(32)
    await clients.save_client(
        pool,
        Client(
            client_id=client_id,
            organization=organization,
            practitioner=practitioner,
            patient=patient,
            scope=scope,
            purposes=purposes_of_use,
            emergency=emergency,
            privacy_officer=privacy_officer,
            jwks=jwks,
            jwks_url=jwks_url,
            secret_hash=_hash(secret) if secret else None,
            revoked=False,
            openid_issuer=openid_issuer,
        ),
    )
    return secret


async def by_secret(pool: Pool, client_id: str, secret: str) -> Client:
    """The client whose shared secret this is; ClientRefused otherwise."""
    client = await clients.find_client(pool, client_id)
    expected = client.secret_hash if client and client.secret_hash else _hash("")
    same = hmac.compare_digest(expected, _hash(secret))
    if client is None or client.revoked or client.secret_hash is None or not same:
        raise ClientRefused
    return client
