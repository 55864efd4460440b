"""The tour against a real server on a real port: every expectation holds, and again the second time."""

from __future__ import annotations

import asyncio
import io
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from rich.console import Console

from app.demo.telling import Telling
from app.demo.tour import run
from app.main import create_app
from app.settings import Settings
from tests.conftest import Database
from tests.demo.conftest import Demo, loaded

CLIENTS = ("river-clinic", "harbor-psychiatry", "open-door-shelter", "bridge-legal-aid")


class _Server(uvicorn.Server):
    """Says when it has started."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


@asynccontextmanager
async def _served(demo: Demo, listener: socket.socket) -> AsyncIterator[None]:
    application = create_app(demo.settings, demo.made.service_url)
    server = _Server(uvicorn.Config(application, log_level="error", access_log=False))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await asyncio.wait_for(server.ready.wait(), timeout=30)
        yield
    finally:
        server.should_exit = True
        await serving


async def test_the_tour_holds_and_can_be_repeated(
    database: Callable[[], Database], tmp_path: Path
) -> None:
    # The protocol is named because asyncio turns Nagle's delay off only where it is.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        settings = Settings(state_dir=tmp_path, port=port)
        async with loaded(database(), settings) as demo, _served(demo, listener):
            tokens = {client: await demo.token(client, "COC") for client in CLIENTS}
            for _ in range(2):
                told = io.StringIO()
                code = await asyncio.to_thread(
                    run,
                    f"http://127.0.0.1:{port}",
                    lambda client, purpose: tokens[client],
                    Console(file=told, width=120),
                )
                assert code == 0, told.getvalue()
                assert "expectations held" in told.getvalue()


def test_the_tour_says_how_to_start_the_service_when_nothing_answers() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        told = io.StringIO()
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
        assert run(address, lambda client, purpose: "", Console(file=told, width=120)) == 1
    assert "throughline demo" in told.getvalue()


def test_a_failed_expectation_fails_the_tour() -> None:
    told = io.StringIO()
    telling = Telling(Console(file=told, width=120))
    telling.expect("the shelter gets a 404", 200, 404)
    telling.expect("the clinic reads", 200, 200)
    assert telling.close() == 1
    assert "expected 404, got 200" in told.getvalue()
