"""Registering clients, and authenticating them at the token endpoint (RFC 6749, RFC 7523)."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

from jose import JWTError, jwt

from app.consent import purposes
from app.security.scopes import parse_scopes
from app.storage import clients
from app.storage.clients import Client
from app.storage.database import Pool

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ALGORITHMS: Final = ["RS384", "ES384"]
_MAXIMUM_LIFETIME: Final = 300
_SKEW: Final = 5


class ClientRefused(Exception):  # noqa: N818 - OAuth calls it invalid_client
    """The client could not be authenticated; the reason is for our log, never for the caller."""


def _hash(secret: str) -> str:
    # A secret of 256 random bits made by us needs no slow hash: there is nothing to guess.
    return hashlib.sha256(secret.encode()).hexdigest()


async def add_client(
    pool: Pool,
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
) -> str | None:
    """Register a client; without `jwks` or `jwks_url` a secret is made and returned, once.

    ValueError for a scope that grants nothing or a purpose that is no ActReason purpose of use.
    """
    if not parse_scopes(scope).letters:
        raise ValueError("the scope grants nothing; write it as system/*.cruds")
    for code in purposes_of_use:
        if not purposes.known(code):
            raise ValueError("a purpose must be a v3-ActReason purpose of use, such as TREAT")
    if jwks is not None and not _has_keys(jwks):
        raise ValueError("the key set must be a JWK Set with public keys, each with a kid")
    if jwks_url is not None and not _may_be_fetched(jwks_url):
        raise ValueError("the address of the key set must begin with https://")
    secret = None if jwks or jwks_url else secrets.token_urlsafe(32)
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
        ),
    )
    return secret


def _has_keys(jwks: dict[str, Any]) -> bool:
    keys = jwks.get("keys")
    return (
        isinstance(keys, list)
        and bool(keys)
        and all(isinstance(k, dict) and k.get("kid") and "d" not in k for k in keys)
    )


def _may_be_fetched(url: str) -> bool:
    parts = urlsplit(url)
    local = parts.hostname in ("localhost", "127.0.0.1", "::1")
    return parts.scheme == "https" or (parts.scheme == "http" and local)


async def by_secret(pool: Pool, client_id: str, secret: str) -> Client:
    """The client whose shared secret this is; ClientRefused otherwise."""
    client = await clients.find_client(pool, client_id)
    expected = client.secret_hash if client and client.secret_hash else _hash("")
    same = hmac.compare_digest(expected, _hash(secret))
    if client is None or client.revoked or client.secret_hash is None or not same:
        raise ClientRefused
    return client


async def by_assertion(pool: Pool, assertion: str, audience: str) -> Client:
    """The client that signed a private_key_jwt assertion, once (SMART Backend Services, section 4)."""
    try:
        header = jwt.get_unverified_header(assertion)
        name = jwt.get_unverified_claims(assertion).get("sub")
    except JWTError as error:
        raise ClientRefused from error
    client = await clients.find_client(pool, name) if isinstance(name, str) else None
    if client is None or client.revoked or not client.jwks:
        raise ClientRefused
    keys = [k for k in client.jwks.get("keys", []) if k.get("kid") == header.get("kid")]
    if len(keys) != 1 or header.get("alg") not in _ALGORITHMS:
        raise ClientRefused
    try:
        claims = jwt.decode(
            assertion,
            keys[0],
            algorithms=[header["alg"]],
            audience=audience,
            issuer=client.client_id,
            subject=client.client_id,
            options={"require_exp": True, "require_jti": True, "leeway": _SKEW},
        )
    except JWTError as error:
        raise ClientRefused from error
    if claims["exp"] - time.time() > _MAXIMUM_LIFETIME + _SKEW:
        raise ClientRefused
    expires = datetime.fromtimestamp(claims["exp"] + _SKEW, UTC)
    if not await clients.use_assertion(pool, client.client_id, str(claims["jti"]), expires):
        raise ClientRefused
    return client
