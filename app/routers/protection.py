"""Headers that keep answers out of caches, frames and other pages, and the bound on parameters; pure ASGI.

Pinned: OWASP REST security (response headers), RFC 9111 section 5.2.2.5 (no-store).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import FhirError, IssueCode, fhir_error
from app.routers.service import error_response

_ALWAYS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
)
_NO_PAGE: Final[tuple[bytes, bytes]] = (
    b"content-security-policy",
    b"default-src 'none'; frame-ancestors 'none'",
)
_NO_STORE: Final = (b"cache-control", b"no-store")
_HSTS: Final = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")
_ALWAYS_BY_HTTPS: Final = (*_ALWAYS, _HSTS)


def protected(headers: Iterable[tuple[bytes, bytes]], *, https: bool) -> list[tuple[bytes, bytes]]:
    """The headers of an answer with those that protect it."""
    given = dict(headers)
    # A page brings its own policy: it must name the scripts that it needs.
    page = given.get(b"content-type", b"").startswith(b"text/html")
    told = [*headers, *(_ALWAYS_BY_HTTPS if https else _ALWAYS)]
    if _NO_STORE[0] not in given:
        told.append(_NO_STORE)
    if _NO_PAGE[0] not in given and not page:
        told.append(_NO_PAGE)
    return told


class Protection:
    """ASGI middleware around every route."""

    def __init__(self, app: ASGIApp, *, https: bool, max_parameters: int) -> None:
        """https: whether the public address is https, and browsers shall never use another."""
        self._app = app
        self._https = https
        self._max_parameters = max_parameters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection of any kind; only HTTP is protected."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = protected(message.get("headers", ()), https=self._https)
                message = {**message, "headers": headers}
            await send(message)

        if scope["query_string"].count(b"&") >= self._max_parameters:
            await error_response(too_many_parameters())(scope, receive, send_protected)
            return
        await self._app(scope, receive, send_protected)


def too_many_parameters() -> FhirError:
    """The refusal of a search with more parameters than the setting allows."""
    return fhir_error(
        IssueCode.TOO_COSTLY, "The request has more parameters than this server takes.", status=400
    )
