"""One header of a request, by a mapping made once: Starlette's own looks through all of them each time."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request

_KEY: Final = "throughline.headers"
"""Where the mapping is kept in the ASGI scope."""


def header(request: Request, name: bytes) -> str | None:
    """The first header of that name, in lower case as ASGI gives it; None where there is none."""
    scope = request.scope
    known: dict[bytes, bytes] | None = scope.get(_KEY)
    if known is None:
        known = scope[_KEY] = dict(reversed(scope["headers"]))
    value = known.get(name)
    return None if value is None else value.decode("latin-1")
