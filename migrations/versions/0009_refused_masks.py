"""Which codes a grant refuses, in a bit each."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add the masks of grants."""
    op.execute(Path(__file__).with_suffix(".sql").read_text())
