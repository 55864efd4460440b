from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands.program import Served, serving


@pytest.fixture
def state() -> Iterator[Path]:
    """A state folder; not pytest's own, which is closed to the account that PostgreSQL runs as."""
    with tempfile.TemporaryDirectory(prefix="tl-state-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder) / "state"


@pytest.fixture(scope="package")
def demo() -> Iterator[tuple[Path, Served]]:
    """The demo as a process of its own: its state folder, and the service. Tests may add to it."""
    with tempfile.TemporaryDirectory(prefix="tl-demo-") as folder:
        Path(folder).chmod(0o711)
        with serving(Path(folder) / "state", "demo") as served:
            yield Path(folder) / "state", served
