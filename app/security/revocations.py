"""Which tokens are no longer good before they expire: revoked ones, and those of revoked clients.

Held in memory, because every request asks; `app.storage.notices` keeps it true. Pinned: RFC 7009.
"""

from __future__ import annotations

import json
from typing import Final

from app import clock
from app.storage import clients
from app.storage.database import Connection

_MANY: Final = 10_000


class Revocations:
    """Revoked token ids, and for each client the moment up to which its tokens are void."""

    def __init__(self) -> None:
        self._tokens: dict[str, float] = {}
        self._clients: dict[str, float] = {}

    async def load(self, connection: Connection) -> None:
        """Read everything that is revoked and not yet expired."""
        tokens, voids = await clients.revocations(connection)
        self._tokens, self._clients = tokens, voids

    def heard(self, payload: str) -> None:
        """Take in one notice: {"jti", "until"} or {"client", "void"}, instants in seconds since 1970."""
        notice = json.loads(payload)
        if "jti" in notice:
            self.revoke(notice["jti"], notice["until"])
        elif "client" in notice:
            self._clients[notice["client"]] = notice["void"]

    def revoke(self, jti: str, until: float) -> None:
        """Void one token here; until: when it would have expired, in seconds since 1970."""
        if len(self._tokens) > _MANY:
            now = clock.now()
            self._tokens = {each: end for each, end in self._tokens.items() if end > now}
        self._tokens[jti] = until

    def revoked(self, client_id: str, jti: str, issued: float) -> bool:
        """True where this token must be refused. issued: seconds since 1970."""
        return jti in self._tokens or issued <= self._clients.get(client_id, 0.0)
