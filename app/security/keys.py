"""Signing keys of this authorization server: ES384, made at the first start, kept in the database."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from jose import jwk

from app.storage import clients
from app.storage.database import Pool

ALGORITHM = "ES384"


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """The signing key and all published public keys by kid."""

    kid: str
    private_pem: str
    public: dict[str, dict[str, Any]]

    def jwks(self) -> dict[str, Any]:
        """The JWK Set to publish (RFC 7517 section 5)."""
        return {"keys": list(self.public.values())}


async def load_keys(pool: Pool) -> SigningKeys:
    """The database's keys; the first process to ask makes one."""
    rows = await clients.signing_keys(pool)
    if not rows:
        private = ec.generate_private_key(ec.SECP384R1())
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        kid = secrets.token_urlsafe(12)
        public = {
            name: value.decode() if isinstance(value, bytes) else value
            for name, value in jwk.construct(pem, ALGORITHM).public_key().to_dict().items()
        }
        public |= {"kid": kid, "use": "sig", "alg": ALGORITHM}
        await clients.add_signing_key(pool, kid, pem, public)
        rows = await clients.signing_keys(pool)
    return SigningKeys(rows[0][0], rows[0][1], {kid: public for kid, _, public in rows})
