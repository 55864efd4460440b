"""The one error of the embedded PostgreSQL."""

from __future__ import annotations


class EmbeddedPostgresError(RuntimeError):
    """The server cannot be started; the message says why and names paths, never data."""
