"""Signing keys of this authorization server: ES384, kept in the database, replaced with an overlap.

A new key is published at once and signs only when every process has had time to learn of it; the one before
stays published until the tokens that it signed have expired. Neighbours: `app.storage.clients` (rows),
`app.storage.notices` (tells the other processes). Pinned: RFC 7517.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from jose import jwk

from app.storage import clients
from app.storage.clients import SigningKey
from app.storage.database import Pool

ALGORITHM: Final = "ES384"
_LEARNT_SECONDS: Final = 5.0
"""Age at which a new key begins to sign, while there is an older one."""


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """The keys at one moment, newest first; at least one."""

    rows: tuple[SigningKey, ...]

    def public(self, kid: str, now: float | None = None) -> dict[str, Any] | None:
        """The public key of this kid; None where there is none, or its overlap has ended."""
        return next((row.public_jwk for row in self._live(now) if row.kid == kid), None)

    def _live(self, now: float | None) -> list[SigningKey]:
        moment = time.time() if now is None else now
        return [r for r in self.rows if r.retired is None or r.retired.timestamp() > moment]

    def signing(self, now: float | None = None) -> SigningKey:
        """The key to sign with: the newest that every process knows by now."""
        moment = time.time() if now is None else now
        known = [row for row in self.rows if row.created.timestamp() <= moment - _LEARNT_SECONDS]
        return known[0] if known else self.rows[-1]

    def jwks(self) -> dict[str, Any]:
        """The JWK Set to publish (RFC 7517 section 5)."""
        return {"keys": [row.public_jwk for row in self._live(None)]}


async def load_keys(pool: Pool) -> SigningKeys:
    """The database's keys; the first process to ask makes one."""
    rows = await clients.signing_keys(pool)
    if not rows:
        await clients.add_signing_key(pool, *_new_key(), first=True)
        rows = await clients.signing_keys(pool)
    return SigningKeys(tuple(rows))


async def rotate_keys(pool: Pool, overlap_seconds: int) -> str:
    """Make a new signing key; the older ones stay published for `overlap_seconds`. Its kid.

    overlap_seconds: at least the lifetime of an access token, or good tokens are refused.
    """
    await load_keys(pool)
    kid, private, public = _new_key()
    await clients.add_signing_key(pool, kid, private, public, first=False)
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
