"""Keys of clients and providers, and the assertions that clients sign with them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from jose import jwk, jwt

TOKEN_URL = "http://127.0.0.1:8000/oauth/token"


@dataclass
class KeyPair:
    """A key of a client or a provider, private and as it is published."""

    algorithm: str
    kid: str = field(default_factory=lambda: uuid4().hex)
    pem: str = ""
    public: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        private = (
            rsa.generate_private_key(65537, 2048)
            if self.algorithm.startswith("RS")
            else ec.generate_private_key(
                ec.SECP256R1() if self.algorithm == "ES256" else ec.SECP384R1()
            )
        )
        self.pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        made = jwk.construct(self.pem, self.algorithm).public_key().to_dict()
        self.public = {k: v.decode() if isinstance(v, bytes) else v for k, v in made.items()}
        self.public |= {"kid": self.kid}

    def assertion(
        self, client_id: str, *, headers: dict[str, Any] | None = None, **more: Any
    ) -> str:
        now = int(time.time())
        claims = {
            "iss": client_id,
            "sub": client_id,
            "aud": TOKEN_URL,
            "exp": now + 240,
            "jti": uuid4().hex,
        } | more
        signed: str = jwt.encode(
            {k: v for k, v in claims.items() if v is not None},
            self.pem,
            algorithm=self.algorithm,
            headers={"kid": self.kid} | (headers or {}),
        )
        return signed
