"""FHIR answers over HTTP (hl7.org/fhir/R4/http.html#general): media type, ETag, Last-Modified, no-store."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

from app.errors import FhirError, IssueCode, fhir_error
from app.fhir_mappings import json_patch, json_text, xml_form
from app.fhir_mappings.fhirpath_patch import fhirpath_patch
from app.fhir_mappings.validate import validate
from app.interactions.bundle_entry import Change

MEDIA_TYPE: Final = "application/fhir+json"
_CHARSET: Final = re.compile(r';\s*charset="?([^\s;"]+)', re.IGNORECASE)
_JSON: Final = (MEDIA_TYPE, "application/json", "application/json+fhir")
_XML: Final = ("application/fhir+xml", "application/xml", "application/xml+fhir", "text/xml")


_ALWAYS: Final = (
    (b"content-type", f"{MEDIA_TYPE}; charset=utf-8".encode()),
    (b"cache-control", b"no-store"),
)
_TWO: Final = [f"{number:02d}" for number in range(60)]
_DAYS: Final = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
_MONTHS: Final = [
    "Jan",
    "Feb",
    "Mar",
    "Apr",
    "May",
    "Jun",
    "Jul",
    "Aug",
    "Sep",
    "Oct",
    "Nov",
    "Dec",
]


class _FhirResponse(Response):
    """Starlette's own making of headers takes as long as the rest of a read's answer."""

    def __init__(self, body: bytes, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """headers: but for the length, names in lower case; it becomes the answer's own."""
        self.status_code, self.body, self.background = status, body, None
        if status not in (204, 304):
            headers.append((b"content-length", b"%d" % len(body)))
        self.raw_headers = headers


def fhir_response(
    body: bytes, *, status: int = 200, headers: Iterable[tuple[str, str]] = ()
) -> Response:
    """A FHIR JSON answer that no cache may keep."""
    raw = [(n.lower().encode("latin-1"), v.encode("latin-1")) for n, v in headers]
    given = {name for name, _ in raw}
    raw.extend([each for each in _ALWAYS if each[0] not in given])
    return _FhirResponse(body, status, raw)


def version_response(body: bytes, version: int, last_updated: datetime) -> Response:
    """One version as it is stored: `fhir_response` with its `version_headers`, in one step."""
    etag, modified = b'W/"%d"' % version, http_date(last_updated).encode()
    return _FhirResponse(body, 200, [(b"etag", etag), (b"last-modified", modified), *_ALWAYS])


def version_headers(version: int, last_updated: datetime) -> list[tuple[str, str]]:
    """ETag and Last-Modified of one version."""
    return [
        ("ETag", f'W/"{version}"'),
        ("Last-Modified", http_date(last_updated)),
    ]


def media_type(request: Request) -> str:
    """The media type of the body, in lower case and without parameters; empty where none is told."""
    return request.headers.get("content-type", "").split(";")[0].strip().lower()


def http_date(moment: datetime) -> str:
    """A UTC instant as HTTP writes it (RFC 9110 section 5.6.7); whatever the process's locale."""
    at = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    # Not by isoformat, which looks for the zone's offset first and takes three times as long.
    # And by a table of numbers, which takes half the time of a format.
    time = f"{_TWO[at.hour]}:{_TWO[at.minute]}:{_TWO[at.second]}"
    return f"{_http_day(at.toordinal())}{time} GMT"


@lru_cache(maxsize=4096)
def _http_day(ordinal: int) -> str:
    """The part of a date that is the same all day, up to its time; ordinal: as `date.toordinal`."""
    at = date.fromordinal(ordinal)
    return f"{_DAYS[at.weekday()]}, {at.day:02d} {_MONTHS[at.month - 1]} {at.year:04d} "


async def read_body(request: Request, limit: int) -> bytes:
    """The request's body; 413 as soon as it passes `limit` bytes, 415 for another media type or charset."""
    charset = _CHARSET.search(request.headers.get("content-type", ""))
    if charset and charset[1].lower() not in ("utf-8", "utf8"):
        raise fhir_error(IssueCode.NOT_SUPPORTED, "Send the resource in UTF-8.", status=415)
    if media_type(request) not in (*_JSON, *_XML, ""):
        raise fhir_error(
            IssueCode.NOT_SUPPORTED,
            f"Send the resource as {MEDIA_TYPE} or application/fhir+xml.",
            status=415,
        )
    return await _read(request, limit)


async def read_patch(request: Request, limit: int, max_depth: int) -> Change:
    """The change that the body asks for; 415, naming what is accepted, for another media type."""
    if media_type(request) == json_patch.MEDIA_TYPE:
        return json_patch.json_patch(await _read(request, limit), max_depth=max_depth)
    if media_type(request) in _JSON:
        parameters = json_text.parse(await _read(request, limit), max_depth=max_depth)
        issues = validate(parameters, expected_type="Parameters")
        if any(issue.severity in ("error", "fatal") for issue in issues):
            raise FhirError(issues)
        return fhirpath_patch(parameters)
    raise fhir_error(
        IssueCode.NOT_SUPPORTED,
        f"Send the patch as {json_patch.MEDIA_TYPE}, or as Parameters in {MEDIA_TYPE}.",
        status=415,
        headers=(("Accept-Patch", f"{json_patch.MEDIA_TYPE}, {MEDIA_TYPE}"),),
    )


async def _read(request: Request, limit: int) -> bytes:
    """The body, kept with the request, because a work that meets a stale closure runs again."""
    kept: bytes | None = getattr(request.state, "body", None)
    if kept is not None:
        return kept
    too_long = fhir_error(
        IssueCode.TOO_LONG, f"The body is longer than the {limit} bytes this server takes."
    )
    if int(request.headers.get("content-length") or 0) > limit:
        raise too_long
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise too_long
        chunks.append(chunk)
    body = b"".join(chunks)
    request.state.body = body
    return body


async def read_form(request: Request, limit: int) -> list[tuple[str, str]]:
    """A form body as parameters in their order; 415 for another media type, 413 past `limit`."""
    if media_type(request) not in ("application/x-www-form-urlencoded", ""):
        raise fhir_error(
            IssueCode.NOT_SUPPORTED,
            "Send the search as application/x-www-form-urlencoded.",
            status=415,
        )
    body = await _read(request, limit)
    if body.count(b"&") >= request.app.state.service.settings.max_parameters:
        raise fhir_error(
            IssueCode.TOO_COSTLY,
            "The request has more parameters than this server takes.",
            status=400,
        )
    form = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
    request.state.form = form
    return form


async def read_resource(request: Request, limit: int, max_depth: int) -> json_text.JsonObject:
    """The body as a resource, not yet validated."""
    body = await read_body(request, limit)
    if media_type(request) in _XML:
        body = xml_form.to_json(body, max_depth=max_depth)
    return json_text.parse(body, max_depth=max_depth)
