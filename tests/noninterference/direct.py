"""Ask an ASGI application without a client between: what is asked is made ready once for both worlds.

The headers are those of httpx with their values, so that a request takes the way that it takes over a socket.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode

import httpx
from starlette.types import ASGIApp, Message

_USUAL = (
    (b"host", b"test"),
    (b"accept", b"*/*"),
    (b"accept-encoding", b"gzip, deflate"),
    (b"connection", b"keep-alive"),
    (b"user-agent", b"twins"),
)


@dataclass(frozen=True, slots=True)
class Answer:
    """status, headers as they came (names in lower case), body."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()


@dataclass(frozen=True, slots=True)
class Ready:
    """A request made ready, to be asked of any world. path: beneath `/fhir`, with its query, as it is asked."""

    method: str
    path: str
    query: bytes
    raw_path: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes


@lru_cache(maxsize=16_384)
def _address(path: str) -> tuple[str, bytes, bytes]:
    """(decoded path, path, query) of what is asked for beneath `/fhir`."""
    url = httpx.URL(f"http://test/fhir{path}")
    return url.path, url.raw_path.partition(b"?")[0], url.query


def ready(
    method: str,
    path: str,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
    *,
    form: bool = False,
) -> Ready:
    """Make a request ready. body: JSON, or with `form` the fields of a form; None for none."""
    decoded, raw_path, query = _address(path)
    given = {k.lower().encode(): v.encode() for k, v in (headers or {}).items()}
    content = b""
    if form:
        content = urlencode(body).encode()
        given.setdefault(b"content-type", b"application/x-www-form-urlencoded")
    elif body is not None:
        content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        given.setdefault(b"content-type", b"application/json")
    if content or method in ("POST", "PUT", "PATCH"):
        given[b"content-length"] = str(len(content)).encode()
    usual = [each for each in _USUAL if each[0] not in given]
    return Ready(method, decoded, query, raw_path, [*usual, *given.items()], content)


async def ask(application: ASGIApp, request: Ready, bearer: bytes) -> Answer:
    """The whole answer of the application; raises what the application raises."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": request.path,
        "raw_path": request.raw_path,
        "query_string": request.query,
        "root_path": "",
        "headers": [*request.headers, (b"authorization", bearer)],
        "client": ("127.0.0.1", 123),
        "server": ("test", None),
    }
    status, headers, parts, read = 0, [], [], False

    async def receive() -> Message:
        nonlocal read
        if read:  # the caller stays until it has its answer
            await asyncio.Future()
        read = True
        return {"type": "http.request", "body": request.body, "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status, headers
        if message["type"] == "http.response.start":
            status, headers = message["status"], list(message.get("headers", ()))
        elif message["type"] == "http.response.body":
            parts.append(message.get("body", b""))

    await application(scope, receive, send)
    return Answer(status, headers, b"".join(parts))
