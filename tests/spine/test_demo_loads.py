"""The demonstration is written under the rules that hold for everybody, and only once."""

from __future__ import annotations

from collections.abc import Callable

from app.commands import demonstration
from app.storage.database import Database as Opened
from tests.conftest import Database


async def test_demo_loads_whole_and_only_once(
    database: Callable[[], Database],
) -> None:
    opened = await Opened.open(
        database().service_url, minimum=1, maximum=2, statement_timeout_ms=60_000
    )
    written: list[str] = []
    try:
        await demonstration.load_demo(opened, lambda _done, _of, name: written.append(name))
        first = len(written)
        await demonstration.load_demo(opened, lambda _done, _of, name: written.append(name))
    finally:
        await opened.close()
    assert first > 20
    assert len(written) == first
