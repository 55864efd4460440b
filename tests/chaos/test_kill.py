"""kill -9 in the midst of writing: what was acknowledged is there afterwards, whole and written down."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.chaos.load import PATIENCE, Acknowledged, check_everything, client, postmaster, token
from tests.commands.program import PROGRAM, Served, environment, serving, throughline


@pytest.fixture(scope="module")
def state() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tl-chaos-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder) / "state"


async def _until_the_blow(served: Served, bearer: str, blow: Callable[[], None]) -> Acknowledged:
    acknowledged, due = Acknowledged(), asyncio.Event()

    async def strike() -> None:
        await due.wait()
        blow()

    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(strike(), acknowledged.gather(served.base, bearer, due))
    return acknowledged


def _kill_the_service(served: Served) -> None:
    served.process.kill()


def _kill_postgresql(served: Served) -> None:
    os.kill(postmaster(served.process), signal.SIGKILL)


async def test_every_acknowledged_write_and_read_is_there_after_a_kill(state: Path) -> None:
    with serving(state, "serve", TL_TOKEN_LIFETIME_SECONDS=str(4 * PATIENCE)) as served:
        secret = client(state, served)
        bearer = token(served, secret)
        first = await _until_the_blow(served, bearer, lambda: _kill_the_service(served))
        served.process.wait(30)
    with serving(state, "serve", **served.settings) as again:
        await check_everything(state, first)
        second = await _until_the_blow(again, bearer, lambda: _kill_postgresql(again))
        again.process.wait(60)
    with serving(state, "serve", **served.settings) as last:
        await check_everything(state, first)
        await check_everything(state, second)
        headers = {"Authorization": f"Bearer {bearer}"}
        async with httpx.AsyncClient(base_url=last.base, headers=headers) as http:
            for id_ in [*first.made.values()][-3:] + [*second.made.values()][-3:]:
                assert (await http.get(f"/Patient/{id_}")).status_code == 200
        assert last.end() == 0


def test_an_interrupted_migration_is_taken_up_again() -> None:
    with tempfile.TemporaryDirectory(prefix="tl-chaos-") as folder:
        Path(folder).chmod(0o711)
        state = Path(folder) / "state"
        for seconds in (0.8, 1.8):
            process = subprocess.Popen(
                [PROGRAM, "migrate"],
                env=environment(state),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        done = throughline(state, "migrate")
        assert done.returncode == 0, done.stderr
        sound = throughline(state, "doctor")
        assert sound.returncode == 0, sound.stderr
