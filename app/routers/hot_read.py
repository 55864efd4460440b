"""The read of one resource, past FastAPI's routing: the same function that the route calls.

Routing, dependencies and the layers around them cost as much as the read itself, and nothing of a plain
`GET /fhir/{type}/{id}` needs them. Whatever is not plain (another method, a query, a type or id that is
none, content negotiation, another page's script) goes on to the routes. The interaction is
`app.routers.instance.read`, with its decisions and its audit row, and stands in the OpenAPI document by its
route there.
Pinned: hl7.org/fhir/R4/http.html#read.
"""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from app.fhir_mappings import registry
from app.ids import is_logical_id
from app.routers import instance
from app.routers.protection import protected

_PREFIX: Final = "/fhir/"
_PLAIN: Final = frozenset({b"*/*", b"application/fhir+json", b"application/json"})
_ROUTE: Final = next(
    r for r in instance.router.routes if getattr(r, "endpoint", None) is instance.read
)


class HotRead:
    """ASGI: answers a request that `is_plain` has found to be one."""

    def __init__(self, *, https: bool) -> None:
        """https: as for `Protection`."""
        self._https = https

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer it; a fault of ours is a 500, and raised again for the server to log."""
        try:
            response = await instance.read(Request(scope, receive, send))
        except Exception:
            await self._answer(
                PlainTextResponse("Internal Server Error", 500), scope, receive, send
            )
            raise
        await self._answer(response, scope, receive, send)

    async def _answer(self, response: Response, scope: Scope, receive: Receive, send: Send) -> None:
        response.raw_headers = protected(response.raw_headers, https=self._https)
        await response(scope, receive, send)


def is_plain(scope: Scope) -> bool:
    """Whether the request is a plain read; if so, its route and path parameters are put into the scope."""
    if scope["type"] != "http" or (named := _plain_read(scope)) is None:
        return False
    scope["path_params"] = {"type": named[0], "id": named[1]}
    scope["route"] = _ROUTE
    return True


def _plain_read(scope: Scope) -> tuple[str, str] | None:
    path: str = scope["path"]
    if scope["method"] != "GET" or scope["query_string"] or not path.startswith(_PREFIX):
        return None
    type_, slash, id_ = path[len(_PREFIX) :].partition("/")
    if not slash or not registry.is_resource_type(type_) or not is_logical_id(id_):
        return None
    if type_ == "AuditEvent":  # rendered from the audit (`app.routers.audit`)
        return None
    for name, value in scope["headers"]:
        if (name == b"accept" and value not in _PLAIN) or name == b"origin":
            return None
    return type_, id_
