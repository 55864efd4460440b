"""A database that is slow, or silent: answers come late, or a 503 says when to come back; nothing hangs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

import httpx
import pytest

from app.main import create_app
from tests.conftest import Database
from tests.spine.conftest import AGENCIES, World, new_patient

RIVER = AGENCIES[0]


class Wire:
    """Between the service and its database: passes everything on, later or not at all."""

    def __init__(self, beyond: str) -> None:
        self._beyond = beyond
        self._tasks: set[asyncio.Task[None]] = set()
        self.delay = 0.0
        self.open = asyncio.Event()
        self.open.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(self._beyond)
        for source, sink in ((reader, back), (there, writer)):
            task = asyncio.create_task(self._pass(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(65_536):
                await asyncio.sleep(self.delay)
                await self.open.wait()
                sink.write(data)
                await sink.drain()
        sink.close()

    async def end(self) -> None:
        for task in [*self._tasks]:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _through(url: str, folder: Path) -> tuple[str, str]:
    """The database's own socket, and the URL that leads to one in the folder instead."""
    parts = urlsplit(url)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    socket = f"{query['host']}/.s.PGSQL.{query.get('port', '5432')}"
    led = query | {"host": str(folder)}
    return socket, urlunsplit(parts._replace(query=urlencode(led)))


@pytest.fixture
async def wired(
    world: World, tmp_path: Path, database: Callable[[], Database]
) -> AsyncIterator[tuple[Wire, httpx.AsyncClient]]:
    if "host=" not in world.database.service_url:
        pytest.skip("the test's database is not reached by a socket of this machine")
    socket, url = _through(world.database.service_url, tmp_path)
    wire = Wire(socket)
    server = await asyncio.start_unix_server(wire.serve, tmp_path / Path(socket).name)
    settings = world.service.settings.model_copy(update={"request_timeout_ms": 1500})
    application = create_app(settings, url)
    async with (
        application.router.lifespan_context(application),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app=application), base_url="http://test"
        ) as http,
    ):
        yield wire, http
        wire.open.set()
        wire.delay = 0.0
    await wire.end()
    server.close()


async def test_a_slow_database_is_answered_from_and_a_silent_one_is_not_waited_for(
    world: World, wired: tuple[Wire, httpx.AsyncClient]
) -> None:
    wire, http = wired
    path = f"/fhir/Patient/{await new_patient(world[RIVER])}"

    async def ask() -> httpx.Response:
        return await http.get(path, headers=world[RIVER].headers)

    async def until_it_answers() -> None:
        deadline = time.monotonic() + 30
        while (await ask()).status_code != 200:
            assert time.monotonic() < deadline, "it did not recover"
            await asyncio.sleep(0.1)

    await until_it_answers()
    wire.delay = 0.05
    slow = await ask()
    assert slow.status_code == 200

    wire.delay = 0.0
    wire.open.clear()
    begun = time.monotonic()
    answers = await asyncio.gather(*(ask() for _ in range(40)))
    assert time.monotonic() - begun < 15, "a request waited longer than a request may"
    assert {answer.status_code for answer in answers} == {503}
    assert all(int(answer.headers["retry-after"]) > 0 for answer in answers)
    assert (await http.get("/healthz")).status_code == 200
    assert not any("Sample" in answer.text for answer in answers)

    wire.open.set()
    await until_it_answers()
    assert {a.status_code for a in await asyncio.gather(*(ask() for _ in range(40)))} == {200}
