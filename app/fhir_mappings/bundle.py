"""Bundles put together from stored bytes: resources are spliced in, never parsed.

Who calls has decided what the caller may see; a Bundle carries no label of what it left out
(docs/consent.md, "Redaction"), and no element is written that would be empty.

Pinned: hl7.org/fhir/R4/bundle.html.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

import orjson

from app.fhir_mappings.json_text import dump, instant

_TOTAL_TYPES: Final = frozenset({"searchset", "history"})


@dataclass(frozen=True, slots=True)
class BundleRequest:
    """Bundle.entry.request: the HTTP method and the URL relative to the service's base."""

    method: str
    url: str


@dataclass(frozen=True, slots=True)
class BundleResponse:
    """Bundle.entry.response. status: `201 Created` or the number alone. outcome: JSON bytes."""

    status: str
    location: str | None = None
    etag: str | None = None
    last_modified: datetime | None = None
    outcome: bytes | None = None


class BundleEntry(NamedTuple):
    """One entry. resource: the stored JSON, spliced as it is. search_mode: match, include,
    outcome.
    """

    full_url: str | None = None
    resource: bytes | None = None
    search_mode: str | None = None
    request: BundleRequest | None = None
    response: BundleResponse | None = None


def render_bundle(
    type: str,  # noqa: A002 - FHIR's name
    *,
    total: int | None,
    links: Sequence[tuple[str, str]],
    entries: Iterable[BundleEntry | bytes],
    id: str | None = None,  # noqa: A002 - FHIR's name
    meta: Mapping[str, Any] | None = None,
    identifier: Mapping[str, Any] | None = None,
    timestamp: datetime | None = None,
) -> bytes:
    """A Bundle as compact JSON.

    type: Bundle.type. total: matches of the whole search or history, None where it is not told.
    links: (relation, url). entries: one of bytes is rendered already. Times must have a zone.
    ValueError for a total in another type of Bundle (bdl-1), or an entry without resource, request and
    response (bdl-5). The bytes of resources are trusted to be JSON.
    """
    if total is not None and type not in _TOTAL_TYPES:
        raise ValueError("only a searchset or a history has a total (bdl-1)")
    head: dict[str, Any] = {"resourceType": "Bundle"}
    if id is not None:
        head["id"] = id
    if meta:
        head["meta"] = meta
    if identifier:
        head["identifier"] = identifier
    head["type"] = type
    if timestamp is not None:
        head["timestamp"] = instant(timestamp)
    if total is not None:
        head["total"] = total
    if links:
        head["link"] = [{"relation": relation, "url": url} for relation, url in links]
    parts = [dump(head)[:-1]]
    rendered = b",".join(map(_entry, entries))
    if rendered:
        parts += [b',"entry":[', rendered, b"]"]
    parts.append(b"}")
    return b"".join(parts)


def plain_entries(base: str, resources: Iterable[tuple[str, bytes]]) -> list[bytes]:
    """Entries of nothing but an address and a resource, rendered: for Bundles of thousands.

    base: the address without the id. resources: (id, the stored JSON) each; an id is a logical id.
    """
    head = b'{"fullUrl":' + orjson.dumps(f"{base}/")[:-1]
    return [
        b"".join((head, id_.encode(), b'","resource":', content, b"}"))
        for id_, content in resources
    ]


def _entry(entry: BundleEntry | bytes) -> bytes:
    if isinstance(entry, bytes):
        return entry
    members = list(_members(entry))
    if entry.resource is None and entry.request is None and entry.response is None:
        raise ValueError("an entry needs a resource, a request or a response (bdl-5)")
    return b"{" + b",".join(members) + b"}"


def _members(entry: BundleEntry) -> Iterator[bytes]:
    if entry.full_url is not None:
        yield b'"fullUrl":' + orjson.dumps(entry.full_url)
    if entry.resource is not None:
        yield b'"resource":' + entry.resource
    if entry.search_mode is not None:
        yield b'"search":{"mode":' + orjson.dumps(entry.search_mode) + b"}"
    if entry.request is not None:
        request = {"method": entry.request.method, "url": entry.request.url}
        yield b'"request":' + orjson.dumps(request)
    if entry.response is not None:
        yield b'"response":' + _response(entry.response)


def _response(response: BundleResponse) -> bytes:
    members: dict[str, Any] = {"status": response.status}
    if response.location is not None:
        members["location"] = response.location
    if response.etag is not None:
        members["etag"] = response.etag
    if response.last_modified is not None:
        members["lastModified"] = instant(response.last_modified)
    if response.outcome is not None:
        members["outcome"] = orjson.Fragment(response.outcome)
    return orjson.dumps(members)
