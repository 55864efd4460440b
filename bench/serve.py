"""The two servers of `bench.read_path`, each in a process of its own, on the settings of `throughline serve`.

    python -m bench.serve service|ceiling PORT DATABASE_URL

`ceiling` is the least that could serve the same bytes: a bare ASGI app that does one asyncpg select by type and
id, with nobody asking who, for what purpose, and nothing written down.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import asyncpg
import uvicorn

from app.commands.serving import SERVER, application
from app.fhir_mappings import registry
from app.settings import Settings

_SELECT = "SELECT content FROM tl.resource WHERE type = $1 AND id = $2"


class Ceiling:
    """GET /fhir/{type}/{id} by one select. database_url: of a role that no policy binds."""

    def __init__(self, database_url: str, settings: Settings) -> None:
        self._url = database_url
        self._settings = settings
        self._pool: asyncpg.Pool | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one read."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        _, _, type_, id_ = scope["path"].split("/")
        content = await self._pool.fetchval(_SELECT, registry.type_code(type_), id_)  # type: ignore[union-attr]
        headers = [
            (b"content-type", b"application/fhir+json; charset=utf-8"),
            (b"content-length", str(len(content)).encode()),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    async def _lifespan(self, receive: Any, send: Any) -> None:
        while True:
            match (await receive())["type"]:
                case "lifespan.startup":
                    self._pool = await asyncpg.create_pool(
                        self._url,
                        min_size=self._settings.pool_min,
                        max_size=self._settings.pool_max,
                        reset=_no_reset,
                    )
                    await send({"type": "lifespan.startup.complete"})
                case "lifespan.shutdown":
                    if self._pool is not None:
                        await self._pool.close()
                    await send({"type": "lifespan.shutdown.complete"})
                    return


async def _no_reset(_: asyncpg.Connection) -> None:
    return None


def settings(port: int) -> Settings:
    """The settings of both servers: the defaults."""
    return Settings(port=port, log_level="error")


def main() -> None:
    kind, port, url = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    of = settings(port)
    served: Any = application(of, url, os.getpid()) if kind == "service" else Ceiling(url, of)
    uvicorn.run(served, host="127.0.0.1", port=port, log_config=None, **SERVER)


if __name__ == "__main__":
    main()
