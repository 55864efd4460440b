"""A PostgreSQL of the service's own, for demonstrations, tests and small installations.

Neighbours: `app.settings` (a database URL set there makes this needless), `app.cli`.
"""

from __future__ import annotations

from app.embedded.errors import EmbeddedPostgresError, FolderInUseError
from app.embedded.server import EmbeddedPostgres

__all__ = ["EmbeddedPostgres", "EmbeddedPostgresError", "FolderInUseError"]
