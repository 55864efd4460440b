"""private_key_jwt: a client that proves itself with a signed assertion, usable once.

Pinned: hl7.org/fhir/smart-app-launch/STU2.2/client-confidential-asymmetric.html, RFC 7523 section 3.
Neighbours: `app.security.keysets` (keys by URL), `app.storage.clients` (used assertions, for all processes).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from jose import JWTError, jwt

from app import clock
from app.security.clients import ClientRefused
from app.security.fetching import Unreachable
from app.security.keysets import CLIENT_ALGORITHMS, Jwk, KeySets, fits, public_keys
from app.storage import clients
from app.storage.clients import Client
from app.storage.database import Pool

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ALGORITHMS: Final = CLIENT_ALGORITHMS
_LONGEST_SECONDS: Final = 300
_SKEW_SECONDS: Final = 10
_LONGEST_TEXT: Final = 8192
_LONGEST_JTI: Final = 256


async def by_assertion(
    pool: Pool, key_sets: KeySets, assertion: str, audience: str, now: float | None = None
) -> Client:
    """The client that signed the assertion; ClientRefused for every other case.

    audience: the token endpoint's URL. now: seconds since 1970, of this moment where it is not given.
    """
    moment = clock.now() if now is None else now
    if len(assertion) > _LONGEST_TEXT:
        raise ClientRefused
    try:
        header = jwt.get_unverified_header(assertion)
        name = jwt.get_unverified_claims(assertion).get("sub")
    except JWTError as error:
        raise ClientRefused from error
    kid, algorithm = header.get("kid"), header.get("alg")
    if not isinstance(kid, str) or algorithm not in ALGORITHMS or "crit" in header:
        raise ClientRefused
    if header.get("typ", "JWT") != "JWT":
        raise ClientRefused
    client = await clients.find_client(pool, name) if isinstance(name, str) else None
    if client is None or client.revoked:
        raise ClientRefused
    if "jku" in header and header["jku"] != client.jwks_url:
        raise ClientRefused
    key = await _key(client, key_sets, kid)
    if key is None or not fits(key, algorithm):
        raise ClientRefused
    claims = _claims(assertion, key, algorithm, audience, client.client_id)
    jti = claims["jti"]
    if not _within(claims, moment) or not isinstance(jti, str) or not 0 < len(jti) <= _LONGEST_JTI:
        raise ClientRefused
    # It is remembered as long as it could be used again.
    until = datetime.fromtimestamp(float(claims["exp"]) + 2 * _SKEW_SECONDS, UTC)
    if not await clients.use_assertion(pool, client.client_id, jti, until):
        raise ClientRefused
    return client


async def _key(client: Client, key_sets: KeySets, kid: str) -> Jwk | None:
    try:
        if client.jwks_url is not None:
            return await key_sets.find(client.jwks_url, kid)
        return public_keys(client.jwks).get(kid) if client.jwks else None
    except (Unreachable, ValueError) as error:
        raise ClientRefused from error


def _claims(
    assertion: str, key: Jwk, algorithm: str, audience: str, client_id: str
) -> dict[str, Any]:
    try:
        found: dict[str, Any] = jwt.decode(
            assertion,
            key,
            algorithms=[algorithm],
            audience=audience,
            issuer=client_id,
            subject=client_id,
            options={
                "require_jti": True,
                "require_iss": True,
                "require_sub": True,
                "require_aud": True,
                # Times are checked below, against the given moment; requiring one would check it here.
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
            },
        )
    except (JWTError, AttributeError, TypeError, ValueError) as error:
        raise ClientRefused from error
    return found


def _within(claims: dict[str, Any], now: float) -> bool:
    expires = claims.get("exp")
    if isinstance(expires, bool) or not isinstance(expires, int | float):
        return False
    if not now - _SKEW_SECONDS < expires <= now + _LONGEST_SECONDS + _SKEW_SECONDS:
        return False
    for name in ("nbf", "iat"):
        begins = claims.get(name, now)
        if isinstance(begins, bool) or not isinstance(begins, int | float):
            return False
        if begins > now + _SKEW_SECONDS:
            return False
    return True
