"""The count of requests that the processes of one database share."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the windows of the rate limit."""
    op.execute(Path(__file__).with_suffix(".sql").read_text())
