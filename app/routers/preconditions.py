"""Conditions that a client sets in headers: If-Match, If-None-Match, If-Modified-Since.

Pinned: hl7.org/fhir/R4/http.html#cread, #concurrency; RFC 9110 section 13.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from starlette.requests import Request

from app.errors import IssueCode, fhir_error
from app.routers.headers import header

_ETAG: Final = re.compile(r'(?:W/)?"([0-9]{1,9})"')


def if_match(request: Request) -> int | None:
    """The version that If-Match names; 400 where it is no ETag of ours."""
    text = header(request, b"if-match")
    if text is None:
        return None
    match = _ETAG.fullmatch(text.strip())
    if match is None:
        raise fhir_error(IssueCode.INVALID, 'If-Match must be the ETag of a version, as W/"3".')
    return int(match[1])


def unchanged(request: Request, version: int, last_updated: datetime) -> bool:
    """Whether the client has this version already, so that 304 is the answer.

    If-None-Match is compared weakly, and If-Modified-Since, to the second, only counts without it. A value
    that cannot be read is no condition.
    """
    tags = header(request, b"if-none-match")
    if tags is not None:
        return tags.strip() == "*" or str(version) in _ETAG.findall(tags)
    since = header(request, b"if-modified-since")
    if since is None:
        return False
    try:
        moment = parsedate_to_datetime(since)
    except ValueError:
        return False
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return last_updated.replace(microsecond=0) <= moment
