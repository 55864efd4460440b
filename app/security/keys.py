"""Signing keys of this authorization server: ES384, kept in the database, replaced with an overlap.

Private parts are stored sealed (`app.security.sealing`). A new key is published at once and signs only when
every process has had time to learn of it; the one before stays published until the tokens that it signed have
expired. Neighbours: `app.storage.clients` (rows), `app.storage.notices` (tells the other processes).
Pinned: RFC 7517.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from jose import jwk

from app import clock
from app.security.sealing import Seal, lies_open
from app.storage import clients
from app.storage.clients import SigningKey
from app.storage.database import Pool

ALGORITHM: Final = "ES384"
_LEARNT_SECONDS: Final = 5.0
"""Age at which a new key begins to sign, while there is an older one."""


class SealedOtherwiseError(Exception):
    """No signing key can be opened with the secret that is set."""


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """The keys at one moment, newest first, with their private parts as far as they could be opened."""

    rows: tuple[SigningKey, ...]

    @classmethod
    def opened(cls, rows: Iterable[SigningKey], seal: Seal) -> SigningKeys:
        """The keys as stored, opened; one sealed with another secret verifies, and signs no more."""
        return cls(tuple(replace(r, private_pem=seal.open(r.private_pem) or "") for r in rows))

    @property
    def can_sign(self) -> bool:
        """Whether any private part is there."""
        return any(row.private_pem for row in self.rows)

    def public(self, kid: str, now: float | None = None) -> dict[str, Any] | None:
        """The public key of this kid; None where there is none, or its overlap has ended."""
        return next((row.public_jwk for row in self._live(now) if row.kid == kid), None)

    def ends(self, kid: str) -> float:
        """When the overlap of a key ends, in seconds since 1970; infinity where that is not known."""
        retired = next((row.retired for row in self.rows if row.kid == kid), None)
        return math.inf if retired is None else retired.timestamp()

    def _live(self, now: float | None) -> list[SigningKey]:
        moment = clock.now() if now is None else now
        return [r for r in self.rows if r.retired is None or r.retired.timestamp() > moment]

    def signing(self, now: float | None = None) -> SigningKey:
        """The key to sign with: the newest that every process knows by now."""
        moment = clock.now() if now is None else now
        ours = [row for row in self.rows if row.private_pem]
        known = [row for row in ours if row.created.timestamp() <= moment - _LEARNT_SECONDS]
        return known[0] if known else ours[-1]

    def jwks(self) -> dict[str, Any]:
        """The JWK Set to publish (RFC 7517 section 5)."""
        return {"keys": [row.public_jwk for row in self._live(None)]}


async def load_keys(pool: Pool, seal: Seal) -> SigningKeys:
    """The database's keys; the first process to ask makes one, and seals what lies open from before.

    SealedOtherwiseError where no key can be opened.
    """
    rows = await clients.signing_keys(pool)
    if not rows:
        kid, private, public = _new_key()
        await clients.add_signing_key(pool, kid, seal.seal(private), public, first=True)
        rows = await clients.signing_keys(pool)
    for row in rows:
        if lies_open(row.private_pem):
            await clients.reseal_signing_key(pool, row.kid, seal.seal(row.private_pem))
    keys = SigningKeys.opened(rows, seal)
    if not keys.can_sign:
        raise SealedOtherwiseError
    return keys


async def rotate_keys(pool: Pool, overlap_seconds: int, seal: Seal) -> str:
    """Make a new signing key; the older ones stay published for `overlap_seconds`. Its kid.

    overlap_seconds: at least the lifetime of an access token, or good tokens are refused.
    """
    kid, private, public = _new_key()
    await clients.add_signing_key(pool, kid, seal.seal(private), public, first=False)
    await clients.retire_signing_keys(pool, kid, overlap_seconds)
    return kid


def _new_key() -> tuple[str, str, dict[str, Any]]:
    private = ec.generate_private_key(ec.SECP384R1())
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    kid = secrets.token_urlsafe(12)
    public = {
        name: value.decode() if isinstance(value, bytes) else value
        for name, value in jwk.construct(pem, ALGORITHM).public_key().to_dict().items()
    }
    return kid, pem, public | {"kid": kid, "use": "sig", "alg": ALGORITHM}
