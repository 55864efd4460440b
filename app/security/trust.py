"""What a process knows of keys and revocations, kept true while it runs.

Neighbours: `app.storage.notices` (hears of changes), `app.security.tokens` (asks at each request).
"""

from __future__ import annotations

from app.security.keys import SigningKeys, load_keys
from app.security.rate import RateLimit
from app.security.revocations import Revocations
from app.security.sealing import Seal
from app.security.tokens import TokenVerifier
from app.storage import clients
from app.storage.database import Connection, Pool
from app.storage.notices import Notices


class Trust:
    """Keys and revocations of one process; `open` before use, `close` at the end."""

    def __init__(self, url: str, keys: SigningKeys, seal: Seal) -> None:
        self.keys = keys
        self._seal = seal
        self.revocations = Revocations()
        self.notices = Notices(url, self.revocations.heard, self._reload)

    @classmethod
    async def open(cls, url: str, pool: Pool, seal: Seal) -> Trust:
        """Read keys and revocations, and listen for more. url: of the service's own role."""
        trust = cls(url, await load_keys(pool, seal), seal)
        await trust.notices.start()
        return trust

    async def close(self) -> None:
        """Stop listening."""
        await self.notices.stop()

    def verifier(self, issuer: str, rate: RateLimit) -> TokenVerifier:
        """A verifier of this server's access tokens, by what is known at each moment."""
        return TokenVerifier(
            lambda: self.keys, issuer, self.revocations, lambda: self.notices.current, rate
        )

    async def _reload(self, connection: Connection) -> None:
        self.keys = SigningKeys.opened(await clients.signing_keys(connection), self._seal)
        await self.revocations.load(connection)
