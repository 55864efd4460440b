"""Which codes a row may have, in a bit each."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the masks of rows."""
    op.execute(Path(__file__).with_suffix(".sql").read_text())
