"""Labelled elements: what of a resource is shown to fewer than the rest of it."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the label masks of elements to resources, search rows and links."""
    op.execute(Path(__file__).with_suffix(".sql").read_text())
