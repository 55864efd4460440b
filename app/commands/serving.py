"""Serve the application: one process or several, on one socket that is bound before anything starts.

A process that serves ends with the process that started it, and so does an embedded database: nothing
outlives a `kill -9`. Neighbours: `app.main` (the application), `app.commands.databases` (its database).
"""

from __future__ import annotations

import ctypes
import functools
import gc
import http.client
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

import psycopg
import uvicorn
from starlette.types import ASGIApp
from uvicorn.supervisors import Multiprocess

from app import logs, metrics, tracing
from app.commands import exposure
from app.commands.databases import Announce, Reached, database, quiet
from app.commands.errors import CommandError
from app.commands.measuring import measured
from app.embedded.launch import PR_SET_PDEATHSIG
from app.main import create_app
from app.settings import Settings
from app.storage import health

SERVER: Final[dict[str, Any]] = {
    "loop": "uvloop",
    "http": "httptools",
    "ws": "none",
    "access_log": False,
    "server_header": False,
}
"""How uvicorn serves; bench/serve.py measures on the same."""

_BACKLOG: Final = 2048
_DRAIN_SECONDS: Final = 20
_WORKER_SECONDS: Final = 60
"""After which a worker that says nothing is replaced; by default 5, in which a busy machine starts none."""
_ENDINGS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Ended(BaseException):
    """A signal asked for the end; not an Exception, so that nothing on the way takes it for a fault."""


def run(
    settings: Settings,
    *,
    announce: Announce = quiet,
    prepare: Callable[[Reached], None] | None = None,
    when_ready: Callable[[Reached], None] | None = None,
) -> None:
    """Serve until SIGINT, SIGTERM or SIGHUP; then drain, and stop what was started here.

    prepare: run on the migrated database before anything is served. when_ready: told, in a thread,
    as soon as the service answers. CommandError where the port or the database cannot be had.
    """
    if settings.traces and not tracing.installed():
        raise CommandError(
            "TL_TRACES is set, and OpenTelemetry is not installed: pip install 'throughline[otel]'."
        )
    try:
        with (
            _ending_by_signal(),
            listening(settings) as listener,
            measured(settings),
            database(settings, serving=True, announce=announce) as reached,
        ):
            refuse_unsafe(settings, reached)
            if prepare is not None:
                prepare(reached)
            if when_ready is not None:
                threading.Thread(
                    target=_await_ready, args=(settings, reached, when_ready), daemon=True
                ).start()
            _serve(settings, reached, listener)
    except _Ended:
        announce("Stopped")


def refuse_unsafe(settings: Settings, reached: Reached) -> None:
    """CommandError where the settings or the database would let somebody see what they may not.

    The checks are those of `throughline doctor`; these are the ones without which nothing is served.
    """
    wanted = health.Wanted(settings.service_role, settings.workers * settings.pool_max)
    faults = [each for each in exposure.checks(settings) if each.fault is not None]
    if faults:
        raise CommandError(f"The settings are not safe to serve with. {_told(faults)}")
    with psycopg.connect(reached.url, connect_timeout=10, autocommit=True) as connection:
        faults = health.unsafe(connection, wanted)
        of_clients = (
            exposure.keys(connection, settings),
            exposure.strangers(connection, settings),
        )
    faults += [each for each in of_clients if each.fault is not None and each.unsafe]
    if faults:
        raise CommandError(f"The database is not safe to serve. {_told(faults)}")


def _told(faults: list[health.Check]) -> str:
    return "; ".join(f"{each.name}: {each.fault}. {each.remedy}" for each in faults)


@contextmanager
def listening(settings: Settings) -> Iterator[socket.socket]:
    """The socket that the settings ask for; CommandError where it cannot be had."""
    wanted = f"{settings.host}, port {settings.port},"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise CommandError(f"TL_HOST cannot be used: {error.strerror or error}.") from error
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(_BACKLOG)
        except OSError as error:
            raise CommandError(
                f"{wanted} cannot be listened on: {error.strerror}. Set TL_PORT to a free one, or end "
                "what listens there."
            ) from error
        listener.set_inheritable(True)
        yield listener


@contextmanager
def _ending_by_signal() -> Iterator[None]:
    def end(number: int, frame: FrameType | None) -> None:
        for each in _ENDINGS:  # a second one must not break off the tidying up
            signal.signal(each, signal.SIG_IGN)
        raise _Ended

    before = {number: signal.signal(number, end) for number in _ENDINGS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _serve(settings: Settings, reached: Reached, listener: socket.socket) -> None:
    config = uvicorn.Config(
        functools.partial(application, settings, reached.url, os.getpid()),
        factory=True,
        workers=settings.workers,
        log_config=None,
        lifespan="on",
        **SERVER,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
        timeout_worker_healthcheck=_WORKER_SECONDS,
    )
    logs.configure(settings.log_level)
    if settings.workers == 1:
        uvicorn.Server(config).run([listener])
        return
    supervisor = _Supervisor(config, [listener])
    # A terminal that goes away ends the service; uvicorn would take it as a wish for new workers.
    signal.signal(signal.SIGHUP, lambda *_: supervisor.signal_queue.append(signal.SIGTERM))
    supervisor.run()


class _Supervisor(Multiprocess):
    def terminate_all(self) -> None:
        """Let the workers drain, and take no connection that nobody would serve any more."""
        for each in self.sockets:
            each.close()
        super().terminate_all()


def application(settings: Settings, database_url: str, parent: int) -> ASGIApp:
    """What one process serves. parent: the process that started it, this one where it is the only one."""
    if os.getpid() != parent:
        end_with(parent)
        logs.configure(settings.log_level)
    observe = None if settings.metrics_port is None else metrics.observe_request
    served: ASGIApp = create_app(settings, database_url)
    if settings.traces:
        served = tracing.Traced(served, tracing.start())
    keep_what_start_up_made()
    return logs.RequestLog(served, observe)


def end_with(parent: int) -> None:
    """Be asked to end (SIGTERM) when the process that started this one has ended."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM))
    if os.getppid() != parent:  # it ended before the request was made
        os.kill(os.getpid(), signal.SIGTERM)


def keep_what_start_up_made() -> None:
    """Spare the collector of garbage what stays anyhow: to look through it took a tenth of a read's time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def _await_ready(
    settings: Settings, reached: Reached, when_ready: Callable[[Reached], None]
) -> None:
    while not _answers(settings):
        time.sleep(0.1)
    when_ready(reached)


def _answers(settings: Settings) -> bool:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104
    connection = http.client.HTTPConnection(host, settings.port, timeout=10)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
