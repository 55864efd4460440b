"""bench/recompile.py runs on a small store and changes grants each time: no time is asserted."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from bench.recompile import CHANGED, WITHDRAWN, WRITTEN, Recompiled, measure, of


def test_changing_a_consent_is_timed_by_the_services_own_put() -> None:
    # Not pytest's own temporary folder: it is closed to the account that PostgreSQL runs as.
    with tempfile.TemporaryDirectory(prefix="tl-recompile-") as folder:
        Path(folder).chmod(0o711)
        store = Path(folder) / "store"
        found = asyncio.run(measure(store, consents=4, rows=20, others=20, times=3, durable=False))
    assert set(found.milliseconds) == {CHANGED, WITHDRAWN, WRITTEN}
    for kind, times in found.milliseconds.items():
        assert len(times) == 3
        assert all(each > 0 for each in times)
        assert kind in found.told(kind)
    assert found.grants > 4


def test_the_median_is_held_against_one_second() -> None:
    found = Recompiled({CHANGED: [300.0, 400.0, 5000.0], WITHDRAWN: [1000.0]}, 7)
    assert found.figure(CHANGED, 200, 50_000).met
    assert found.figure(CHANGED, 200, 50_000).ratio == 0.4
    assert not found.figure(WITHDRAWN, 200, 50_000).met


def test_each_change_alters_what_the_consent_permits() -> None:
    assert of(6, "p", 1)["provision"] != of(6, "p")["provision"]
    assert of(7, "p", 1)["provision"] != of(7, "p")["provision"]
    assert of(7, "p", 2)["provision"] != of(7, "p", 1)["provision"]
