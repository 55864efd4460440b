"""kill -9 in the midst of writing: what was acknowledged is there afterwards, whole and written down."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psycopg
import pytest
from alembic import command
from alembic.config import Config

import migrations
from tests.chaos.load import PATIENCE, Acknowledged, check_everything, client, postmaster, token
from tests.commands.program import PROGRAM, Served, environment, serving, throughline
from tests.conftest import Cluster


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


@pytest.fixture
def second_schema(cluster: Cluster) -> Iterator[str]:
    """The owner's URL of a database whose schema is that of migration 0002."""
    name = f"tl_interrupted_{cluster.worker}"
    cluster.create(name, "template0")
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__path__[0])))
    config.attributes["url"] = cluster.admin_url(name)
    command.upgrade(config, "0002")
    yield cluster.admin_url(name)
    cluster.drop(name)


def test_a_migration_killed_in_its_midst_leaves_the_schema_of_before(
    cluster: Cluster, second_schema: str, state: Path
) -> None:
    settings = {
        "TL_DATABASE_URL": second_schema,
        "TL_SERVICE_ROLE": f"tl_service_{cluster.worker}",
    }
    new_column = (
        "SELECT count(*) FROM pg_attribute WHERE attrelid = 'tl.resource'::regclass "
        "AND attname = 'inline_masks' AND NOT attisdropped"
    )
    others = (
        "SELECT count(*) FILTER (WHERE wait_event_type = 'Lock'), count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> ALL (%s)"
    )
    with (
        psycopg.connect(second_schema) as reader,
        psycopg.connect(second_schema, autocommit=True) as owner,
    ):
        # 0003 adds columns to tl.resource first and comes to tl.index_text later: there it waits.
        reader.execute("LOCK TABLE tl.index_text IN ACCESS SHARE MODE")
        ours = [reader.info.backend_pid, owner.info.backend_pid]
        process = subprocess.Popen(
            [PROGRAM, "migrate"], env=environment(state, **settings), stderr=subprocess.DEVNULL
        )
        try:
            _until(lambda: owner.execute(others, (ours,)).fetchone()[0] == 1)  # type: ignore[index]
        finally:
            process.kill()
            process.wait()
        reader.rollback()
        _until(lambda: owner.execute(others, (ours,)).fetchone()[1] == 0)  # type: ignore[index]
        assert owner.execute(new_column).fetchone() == (0,), "half of a migration stayed"
        done = throughline(state, "migrate", **settings)
        assert done.returncode == 0, done.stderr
        assert owner.execute(new_column).fetchone() == (1,)


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)
