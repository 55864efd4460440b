"""An index of the rows that are about several people."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Find what is also about a survivor without walking the store."""
    op.execute(Path(__file__).with_suffix(".sql").read_text())
