"""Log lines as JSON objects, one a line, that tell what the service did and nothing about anybody.

A line names the route (`/fhir/{type}/{id}`), never the path, the query or the body. Of an exception it
gives the types and the places in the code: its text may repeat a value of a record. Messages of other
libraries are given without their arguments, for the same reason.
Neighbours: `app.commands.serving` (wraps the application in `RequestLog`), `app.storage.audit` (who saw what).
The request id follows hl7.org/fhir/R4/http.html#custom.
"""

from __future__ import annotations

import json
import logging
import random
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final, TextIO

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LOG: Final = logging.getLogger(__name__)
_OURS: Final = ("app", "throughline", "uvicorn")
"""Loggers whose messages are known to hold no value of a record, arguments included."""

_RANDOM: Final = random.Random()  # noqa: S311 - see _new_id
_UUID: Final = re.compile(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_FHIR: Final = "/fhir"
_ECHOED: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_RANDOM_BITS: Final = (1 << 128) - 1 ^ 0xF << 76 ^ 0xC << 60
_VERSION_4: Final = 0x4 << 76 | 0x8 << 60
"""The version and the variant of a random UUID in its bits (RFC 9562, section 5.4)."""

_request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


def request_id() -> str:
    """The id of the request being served, a UUID as text; outside of one, a new id."""
    return _request_id.get() or _new_id()


def configure(level: str, stream: TextIO | None = None) -> None:
    """Send every logger's lines to `stream` (standard error) as JSON, from `level` (a name) up.

    Replaces handlers and levels that stand there: uvicorn's own, and those of an earlier call.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.setLevel(logging.NOTSET)
        logger.propagate = True
    # Its lines hold paths and queries; `RequestLog` writes ours.
    logging.getLogger("uvicorn.access").disabled = True


class JsonFormatter(logging.Formatter):
    """One JSON object a record: time, level, logger, message, request_id, and the `fields` given as extra."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line of JSON."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
        }
        current = _request_id.get()
        if current is not None:
            line["request_id"] = current
        line |= getattr(record, "fields", {})
        if record.exc_info is not None and record.exc_info[1] is not None:
            line["errors"] = [type(error).__name__ for error in _chain(record.exc_info[1])]
            line["places"] = [
                f"{frame.filename}:{frame.lineno} {frame.name}"
                for frame in traceback.extract_tb(record.exc_info[2])
            ]
        return json.dumps(line, ensure_ascii=False, default=str)


def _message(record: logging.LogRecord) -> str:
    if record.name.partition(".")[0] in _OURS:
        return record.getMessage()
    first, *_ = str(record.msg).splitlines() or [""]
    return first


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _new_id() -> str:
    """A random UUID that is no secret: the system's own randomness would be a call into the kernel each time.

    As text, which is all that is done with it; to make a `uuid.UUID` and its text takes four times as long.
    """
    text = f"{_RANDOM.getrandbits(128) & _RANDOM_BITS | _VERSION_4:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _named(given: bytes) -> tuple[str, list[tuple[bytes, bytes]]]:
    """The id of a request that names one, and the headers that tell it."""
    if _UUID.fullmatch(given):
        return given.decode().lower(), [(b"x-request-id", given)]
    identity = _new_id()
    headers = [(b"x-request-id", identity.encode())]
    if _ECHOED.fullmatch(given):
        headers.append((b"x-correlation-id", given))
    return identity, headers


class RequestLog:
    """ASGI: gives each request an id, told in X-Request-Id, and logs its end.

    A client's own id is used where it is a UUID. Another one is echoed as X-Correlation-Id and never
    logged: it may say anything. A request that fails inside (500 and up) is logged as an error, every
    other one at debug: who read what is the audit's to tell, and a line costs 25 µs.
    """

    def __init__(
        self, application: ASGIApp, observe: Callable[[Scope, int, float], None] | None = None
    ) -> None:
        """observe: told the scope, status and seconds of each request (`app.metrics.observe_request`)."""
        self._application = application
        self._observe = observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection of any kind; only HTTP is logged."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        for name, given in scope["headers"]:
            if name == b"x-request-id":
                identity, headers = _named(given)
                break
        else:
            identity = _new_id()
            headers = [(b"x-request-id", identity.encode())]
        status = 500
        begun = time.perf_counter()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message.get("headers", ()), *headers]}
            await send(message)

        token = _request_id.set(identity)
        try:
            await self._application(scope, receive, send_with_id)
        finally:
            seconds = time.perf_counter() - begun
            if self._observe is not None:
                self._observe(scope, status, seconds)
            level = logging.ERROR if status >= 500 else logging.DEBUG
            if _LOG.isEnabledFor(level):
                fields = {
                    "method": scope["method"],
                    "route": route_template(scope),
                    "status": status,
                    "milliseconds": round(seconds * 1000, 2),
                }
                _LOG.log(level, "request", extra={"fields": fields})
            _request_id.reset(token)


def route_template(scope: Scope) -> str:
    """The template of the route that served, such as `/fhir/{type}/{id}`; `unrouted` where none did.

    Never the path itself: it names people.
    """
    template = getattr(scope.get("route"), "path", None)
    if not isinstance(template, str):
        mounted = scope.get("root_path")
        return mounted if isinstance(mounted, str) and mounted else "unrouted"
    # A route knows its path within its router; all routers of FHIR stand below one prefix.
    below = scope["path"].startswith(_FHIR) and not template.startswith(_FHIR)
    return _FHIR + template if below else template
