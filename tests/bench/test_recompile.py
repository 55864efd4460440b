"""bench/recompile.py runs on a small store and changes grants each time: no time is asserted."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from bench.recompile import measure, of


def test_changing_a_consent_is_timed_by_the_services_own_put() -> None:
    # Not pytest's own temporary folder: it is closed to the account that PostgreSQL runs as.
    with tempfile.TemporaryDirectory(prefix="tl-recompile-") as folder:
        Path(folder).chmod(0o711)
        store = Path(folder) / "store"
        found = asyncio.run(measure(store, consents=4, rows=20, others=20, times=3, durable=False))
    assert len(found.milliseconds) == 3
    assert all(each > 0 for each in found.milliseconds)
    assert found.grants > 4


def test_each_change_alters_what_the_consent_permits() -> None:
    assert of(6, "p", 1)["provision"] != of(6, "p")["provision"]
    assert of(7, "p", 1)["provision"] != of(7, "p")["provision"]
    assert of(7, "p", 2)["provision"] != of(7, "p", 1)["provision"]
