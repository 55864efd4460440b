"""Access tokens: signed by us (ES384), verified once, then known by their hash until they expire.

Claims: iss, aud, sub and client_id (the client), exp, iat, jti, scope, purpose_of_use, org, practitioner and
patient (rids: no identifier of a person is in a token), emergency_reason.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from dataclasses import dataclass
from typing import Any, Final, NewType

from jose import JWTError, jwt

from app.consent import purposes
from app.errors import FhirError, IssueCode, fhir_error
from app.security.keys import ALGORITHM, SigningKeys
from app.security.scopes import Scopes, parse_scopes
from app.storage.clients import Client
from app.storage.identities import Identity

_CACHE_SIZE: Final = 10_000


@dataclass(frozen=True, slots=True, eq=False)
class Claims:
    """What a verified access token says. One object a token: compared, and hashed, by identity."""

    client_id: str
    identity: Identity
    purpose: str
    purpose_bit: int
    scopes: Scopes
    emergency_reason: str | None
    privacy_officer: bool
    expires: float


VerifiedClaims = NewType("VerifiedClaims", Claims)
"""Claims whose signature, issuer, audience and times were checked."""


def mint(
    keys: SigningKeys,
    client: Client,
    *,
    issuer: str,
    purpose: str,
    scope: str,
    lifetime: int,
    emergency_reason: str | None = None,
) -> str:
    """A signed access token for a client; the caller has checked purpose and scope."""
    now = int(time.time())
    claims: dict[str, Any] = {
        "iss": issuer,
        "aud": issuer,
        "sub": client.client_id,
        "client_id": client.client_id,
        "iat": now,
        "exp": now + lifetime,
        "jti": secrets.token_urlsafe(16),
        "scope": scope,
        "purpose_of_use": purpose,
        "org": client.organization,
    }
    if client.practitioner is not None:
        claims["practitioner"] = client.practitioner
    if client.patient is not None:
        claims["patient"] = client.patient
    if client.privacy_officer:
        claims["privacy_officer"] = True
    if emergency_reason is not None:
        claims["emergency_reason"] = emergency_reason
    token: str = jwt.encode(
        claims, keys.private_pem, algorithm=ALGORITHM, headers={"kid": keys.kid}
    )
    return token


def _refuse(description: str) -> FhirError:
    return fhir_error(
        IssueCode.LOGIN,
        f"The request needs a valid bearer token: {description}.",
        headers=(
            (
                "WWW-Authenticate",
                f'Bearer realm="throughline", error="invalid_token", error_description="{description}"',
            ),
        ),
    )


class TokenVerifier:
    """Verifies bearer tokens; keeps verified ones by hash until they expire."""

    def __init__(self, keys: SigningKeys, issuer: str) -> None:
        self._keys = keys
        self._issuer = issuer
        self._known: dict[bytes, VerifiedClaims] = {}

    def verify(self, authorization: str | None) -> VerifiedClaims:
        """Claims of an `Authorization` header; 401 with WWW-Authenticate otherwise (RFC 6750)."""
        if authorization is None or authorization[:7].lower() != "bearer ":
            raise _refuse("none was sent")
        token = authorization[7:].strip()
        digest = hashlib.sha256(token.encode()).digest()
        known = self._known.get(digest)
        if known is not None:
            if known.expires > time.time():
                return known
            del self._known[digest]
            raise _refuse("it has expired")
        claims = self._verify(token)
        if len(self._known) >= _CACHE_SIZE:
            self._known.pop(next(iter(self._known)))
        self._known[digest] = claims
        return claims

    def _verify(self, token: str) -> VerifiedClaims:
        try:
            kid = jwt.get_unverified_header(token).get("kid")
            key = self._keys.public.get(kid) if isinstance(kid, str) else None
            if key is None:
                raise _refuse("its key is unknown")
            body = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=self._issuer,
                issuer=self._issuer,
                options={"require_exp": True, "require_iat": True, "require_aud": True},
            )
            return VerifiedClaims(
                Claims(
                    client_id=body["client_id"],
                    identity=Identity(body["org"], body.get("practitioner"), body.get("patient")),
                    purpose=body["purpose_of_use"],
                    purpose_bit=purposes.purpose_bit(body["purpose_of_use"]),
                    scopes=parse_scopes(body["scope"]),
                    emergency_reason=body.get("emergency_reason"),
                    privacy_officer=bool(body.get("privacy_officer")),
                    expires=float(body["exp"]),
                )
            )
        except (JWTError, KeyError, TypeError, ValueError) as error:
            raise _refuse("it is malformed, expired or not ours") from error
