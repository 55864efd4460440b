"""Apps that people sign in to at an OpenID provider."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Say of a client which provider issues its tokens."""
    op.execute(Path(__file__).with_suffix(".sql").read_text())
