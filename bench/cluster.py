"""The embedded PostgreSQL of the measurements, in a folder of its own that a second run finds again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.embedded import EmbeddedPostgres
from app.storage.migrate import upgrade

SERVICE_ROLE: Final = "throughline_service"
_DATABASE: Final = "postgres"


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running server. owner_url: a superuser, whom no policy binds; service_url: the service's role."""

    owner_url: str
    service_url: str


@contextmanager
def cluster(folder: Path, *, durable: bool = True) -> Iterator[Cluster]:
    """Start the server in `folder`, bring its schema to this release, stop it at the end.

    durable=False is for loading only: what is measured afterwards commits to disk.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with EmbeddedPostgres(folder / "postgres", durable=durable) as server:
        owner = server.url_for("throughline", _DATABASE)
        upgrade(owner, SERVICE_ROLE, "bench")
        yield Cluster(owner, server.url_for(SERVICE_ROLE, _DATABASE))
