"""When permits end: what is to be looked at once a Consent has run out."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the ends of permits, and note those of the grants that stand."""
    op.execute(Path(__file__).with_suffix(".sql").read_text())
