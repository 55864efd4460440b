"""The tables of the spine."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create schema `tl` with its tables."""
    op.execute(Path(__file__).with_suffix(".sql").read_text())
