from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def state() -> Iterator[Path]:
    """A state folder; not pytest's own, which is closed to the account that PostgreSQL runs as."""
    with tempfile.TemporaryDirectory(prefix="tl-state-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder) / "state"
