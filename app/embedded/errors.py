"""The errors of the embedded PostgreSQL."""

from __future__ import annotations


class EmbeddedPostgresError(RuntimeError):
    """The server cannot be started; the message says why and names paths, never data."""


class FolderInUseError(EmbeddedPostgresError):
    """Another process has the folder: it runs the database there, or is about to."""
