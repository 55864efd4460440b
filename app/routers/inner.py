"""A request made inside another one: the entries of a batch, and the reads of a transaction.

An entry goes through the same routes as a request of its own, so that scopes, consent, conditions, status
and headers are the same, whatever is registered. What differs travels in the ASGI scope: which connection
reads, and where audit rows gather until the answer leaves.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, Final
from urllib.parse import unquote

from starlette.requests import Request
from starlette.types import Message, Scope

from app.errors import IssueCode, fhir_error
from app.fhir_mappings import json_text
from app.interactions.patching import binary_patch
from app.storage.audit import AuditRow
from app.storage.database import Reader

KEY: Final = "throughline.inner"
_PREFIX: Final = "/fhir"
_CONDITIONS: Final = {
    "ifMatch": b"if-match",
    "ifNoneMatch": b"if-none-match",
    "ifNoneExist": b"if-none-exist",
}
_PASSED_ON: Final = frozenset({b"authorization", b"prefer", b"host"})


@dataclass(slots=True)
class Inner:
    """What an inner request takes from the outer one. reader: None for the service's pool."""

    reader: Reader | None = None
    audit: list[AuditRow] = field(default_factory=list)


@dataclass(slots=True)
class Answer:
    """What an inner request was answered."""

    status: int = 500
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


def inner_of(request: Request) -> Inner | None:
    """The outer request's side, where this is an inner request."""
    found = request.scope.get(KEY)
    return found if isinstance(found, Inner) else None


async def ask(
    outer: Request,
    inner: Inner,
    url: str,
    request: dict[str, Any],
    resource: json_text.JsonObject | None,
    where: str,
) -> Answer:
    """Make one entry's request. url: relative to the base. request: Bundle.entry.request.

    FhirError 400 for a url that is none of an entry's: another batch, or a path that climbs.
    """
    path, _, query = url.partition("?")
    segments = [unquote(each) for each in path.split("/")]
    if (not path and not query) or any(each in ("", ".", "..") for each in segments[1:]):
        raise fhir_error(
            IssueCode.NOT_SUPPORTED,
            "Give an address below the service's base; a Bundle cannot be in a Bundle's entry.",
            f"{where}.request.url",
        )
    if not path and request["method"] not in ("GET", "HEAD"):
        raise fhir_error(
            IssueCode.NOT_SUPPORTED,
            "A Bundle cannot be in a Bundle's entry.",
            f"{where}.request.url",
        )
    headers = [(n, v) for n, v in outer.scope["headers"] if n in _PASSED_ON]
    headers.append((b"accept", b"application/fhir+json"))
    body, media = _body(resource, request["method"])
    if media:
        headers += [(b"content-type", media), (b"content-length", str(len(body)).encode())]
    for name, header in _CONDITIONS.items():
        if name in request:
            headers.append((header, str(request[name]).encode("latin-1", "replace")))
    if "ifModifiedSince" in request:
        moment = datetime.fromisoformat(request["ifModifiedSince"])
        text = format_datetime(moment.astimezone(UTC), usegmt=True)
        headers.append((b"if-modified-since", text.encode()))
    full = f"{_PREFIX}/{path}" if path else _PREFIX
    scope: Scope = {
        "type": "http",
        "asgi": outer.scope.get("asgi", {"version": "3.0"}),
        "http_version": "1.1",
        "method": request["method"],
        "scheme": outer.scope.get("scheme", "http"),
        "path": unquote(full),
        "raw_path": full.encode("latin-1", "replace"),
        "query_string": query.encode("latin-1", "replace"),
        "root_path": outer.scope.get("root_path", ""),
        "headers": headers,
        "client": outer.scope.get("client"),
        "server": outer.scope.get("server"),
        "state": {},
        KEY: inner,
    }
    return await _run(outer, scope, body)


def _body(resource: json_text.JsonObject | None, method: str) -> tuple[bytes, bytes]:
    if resource is None:
        return b"", b""
    body, media = json_text.dump(resource), b"application/fhir+json"
    if method == "PATCH" and resource.get("resourceType") == "Binary":
        return binary_patch(resource)
    return body, media


async def _run(outer: Request, scope: Scope, body: bytes) -> Answer:
    answer = Answer()
    sent = False

    async def receive() -> Message:
        nonlocal sent
        if sent:
            return {"type": "http.disconnect"}
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {n.decode(): v.decode("latin-1") for n, v in message["headers"]}
        elif message["type"] == "http.response.body":
            answer.body += message.get("body", b"")

    await outer.app(scope, receive, send)
    return answer
