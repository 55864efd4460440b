"""The index that pages and counts walk, with the masks of codes."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Make it, and take the one before away."""
    op.execute(Path(__file__).with_suffix(".sql").read_text())
