"""Access tokens: signed by us (ES384), verified once, then known by hash until they expire or are revoked.

Claims (RFC 9068): iss, aud, sub and client_id (the client), exp, iat, jti, scope, purpose_of_use, org,
practitioner and patient (rids: no identifier of a person is in a token), emergency_reason. The header's typ
is at+jwt, so that no other JWT of ours or of a client can stand for an access token.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NewType

from jose import JWTError, jwt

from app import clock
from app.consent import purposes
from app.errors import FhirError, IssueCode, fhir_error
from app.security.keys import ALGORITHM, SigningKeys
from app.security.rate import RateLimit
from app.security.revocations import Revocations
from app.security.scopes import Scopes, parse_scopes
from app.storage.clients import Client
from app.storage.identities import Identity

_CACHE_SIZE: Final = 10_000
_TYPE: Final = "at+jwt"
_SKEW_SECONDS: Final = 10


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
    jti: str = ""
    issued: float = 0.0
    context: int | None = None
    """Rid of the survivor in whose context `patient/` scopes stand."""


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
    """A signed access token for a client; the caller has checked purpose and scope.

    ValueError for an app of people: whom its token is for only its provider can say.
    """
    if client.openid_issuer is not None:
        raise ValueError("a provider issues the tokens of this client")
    now = clock.now()
    key = keys.signing(now)
    claims: dict[str, Any] = {
        "iss": issuer,
        "aud": issuer,
        "sub": client.client_id,
        "client_id": client.client_id,
        # With its fraction: a token made after its client was registered anew must not seem older.
        "iat": round(now, 6),
        "exp": int(now) + lifetime,
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
        claims, key.private_pem, algorithm=ALGORITHM, headers={"kid": key.kid, "typ": _TYPE}
    )
    return token


def refuse(description: str) -> FhirError:
    """401 with WWW-Authenticate (RFC 6750 section 3). description: a clause about the token, fixed words."""
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
    """Verifies bearer tokens; keeps verified ones by hash until they expire or are revoked."""

    def __init__(
        self,
        keys: Callable[[], SigningKeys],
        issuer: str,
        revocations: Revocations,
        trusted: Callable[[], bool],
        rate: RateLimit,
    ) -> None:
        """keys: the keys as of now. trusted: false while revocations may have been missed."""
        self._keys = keys
        self._issuer = issuer
        self._revocations = revocations
        self._trusted = trusted
        self.rate = rate
        self._known: dict[bytes, VerifiedClaims] = {}
        self._known_by: SigningKeys | None = None
        self._outside: dict[bytes, VerifiedClaims] = {}

    def knows(self, digest: bytes) -> bool:
        """Whether a token of an outside provider is known by its SHA-256."""
        return digest in self._outside

    def learn(self, digest: bytes, claims: VerifiedClaims) -> None:
        """Take a token of an outside provider, verified by `app.security.people`, until it expires."""
        if len(self._outside) >= _CACHE_SIZE:
            self._outside.pop(next(iter(self._outside)))
        self._outside[digest] = claims

    def verify(self, authorization: str | None) -> VerifiedClaims:
        """Claims of an `Authorization` header; 401 with WWW-Authenticate otherwise (RFC 6750).

        503 while this process cannot know what was revoked.
        """
        if authorization is None or authorization[:7].lower() != "bearer ":
            raise refuse("none was sent")
        token = authorization[7:].strip()
        digest = hashlib.sha256(token.encode()).digest()
        keys = self._keys()
        if keys is not self._known_by:
            # Keys have changed: what an old one signed is looked at again.
            self._known_by = keys
            self._known.clear()
        claims = self._known.get(digest) or self._outside.get(digest)
        if claims is None:
            claims = self.check(token)
            if len(self._known) >= _CACHE_SIZE:
                self._known.pop(next(iter(self._known)))
            self._known[digest] = claims
        elif not claims.issued - _SKEW_SECONDS <= clock.now() < claims.expires:
            # A clock that was ahead may have come back: what was issued meanwhile would live too long.
            self._known.pop(digest, None)
            self._outside.pop(digest, None)
            raise refuse("it has expired")
        if not self._trusted():
            raise fhir_error(
                IssueCode.TRANSIENT,
                "The service cannot know at the moment which tokens were revoked; try again.",
                headers=(("Retry-After", "1"),),
            )
        if self._revocations.revoked(claims.client_id, claims.jti, claims.issued):
            raise refuse("it has been revoked")
        return claims

    def check(self, token: str) -> VerifiedClaims:
        """The claims of a token of ours by its signature, names and times; 401 otherwise.

        Does not ask whether it was revoked.
        """
        try:
            header = jwt.get_unverified_header(token)
            kid = header.get("kid")
            key = self._keys().public(kid) if isinstance(kid, str) else None
            if key is None or kid is None:
                raise refuse("its key is unknown")
            if header.get("typ") != _TYPE or "crit" in header:
                raise refuse("it is no access token")
            body = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=self._issuer,
                issuer=self._issuer,
                options={
                    "require_exp": True,
                    "require_iat": True,
                    "require_aud": True,
                    "require_iss": True,
                    "require_jti": True,
                    # By our own clock, below.
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
            now = clock.now()
            if float(body["exp"]) <= now or float(body.get("nbf", now)) > now + _SKEW_SECONDS:
                raise refuse("it has expired, or is not valid yet")
            if float(body["iat"]) > now + _SKEW_SECONDS:
                # Made while a clock was ahead: it would live longer than a token may.
                raise refuse("it is of the future")
            scopes = parse_scopes(body["scope"])
            own = bool(scopes.held) and all(each.level == "patient" for each in scopes.held)
            return VerifiedClaims(
                Claims(
                    client_id=body["client_id"],
                    identity=Identity(body["org"], body.get("practitioner"), body.get("patient")),
                    purpose=body["purpose_of_use"],
                    purpose_bit=purposes.purpose_bit(body["purpose_of_use"]),
                    scopes=scopes,
                    emergency_reason=body.get("emergency_reason"),
                    privacy_officer=bool(body.get("privacy_officer")),
                    # What is known of it is good no longer than the key that signed it.
                    expires=min(float(body["exp"]), self._keys().ends(kid)),
                    jti=str(body["jti"]),
                    issued=float(body["iat"]),
                    context=body.get("patient") if own else None,
                )
            )
        except (JWTError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise refuse("it is malformed, expired or not ours") from error
