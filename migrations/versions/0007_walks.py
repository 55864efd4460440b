"""How counts of the population find the caller's grants."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the index of grants by who holds them."""
    op.execute(Path(__file__).with_suffix(".sql").read_text())
