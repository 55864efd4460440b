"""What an entry of a batch or transaction asks for (hl7.org/fhir/R4/bundle.html#request).

Pure reading of `Bundle.entry`: which interaction on what, with which conditions. Neighbours:
`app.interactions.transaction` carries entries out together, `app.routers.bundle` a batch's one by one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, cast
from urllib.parse import unquote

from app.errors import FhirError, IssueCode, fhir_error
from app.fhir_mappings import registry
from app.ids import is_logical_id
from app.interactions.operation import Operation
from app.interactions.write_plan import Json

Method: TypeAlias = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
Change: TypeAlias = Callable[[Json], Json]

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
_ETAG: Final = re.compile(r'(?:W/)?"([0-9]{1,9})"')
_CRITERIA: Final = frozenset({"PUT", "PATCH", "DELETE"})
"""Methods whose url may be a search in the place of an id."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry read.

    url: relative to the service's base, without a slash before it. type, id, criteria: of a write;
    criteria is the search of a conditional one (`ifNoneExist`, or what follows `?`). change: what a
    PATCH does. where: `Bundle.entry[n]`, empty for an interaction outside of a Bundle.
    """

    method: Method
    url: str
    type: str = ""
    id: str | None = None
    criteria: str | None = None
    resource: Json | None = None
    change: Change | None = None
    if_match: int | None = None
    full_url: str | None = None
    where: str = ""

    @property
    def reads(self) -> bool:
        """Whether it is a GET or HEAD."""
        return self.method in ("GET", "HEAD")

    @property
    def place(self) -> str:
        """The FHIRPath of its resource in the Bundle."""
        return f"{self.where}.resource" if self.where else ""

    def operation(self, id_: str | None) -> Operation:
        """The write on the resource that has been found for it, None to create."""
        return Operation(
            type=self.type,
            id=id_,
            resource=self.resource,
            if_match=self.if_match,
            full_url=self.full_url,
            where=self.place,
            change=self.change,
        )


def limited(bundle: Json, limit: int) -> list[Json]:
    """The raw entries of a Bundle; `too-costly` (413) past `limit` of them."""
    entries: list[Json] = bundle.get("entry", [])
    if len(entries) > limit:
        raise fhir_error(
            IssueCode.TOO_COSTLY,
            f"The Bundle has more than the {limit} entries this server takes; split it.",
            "Bundle.entry",
            status=413,
        )
    return entries


def relative_url(url: str, base_url: str) -> str:
    """An entry's url relative to the base; what is not below the base is returned as it is."""
    return url.removeprefix(base_url).lstrip("/")


def read_entry(raw: Json, where: str, base_url: str, patch: Callable[[Json, str], Change]) -> Entry:
    """One entry of a transaction.

    raw: of a Bundle that is valid. patch: makes the change of a PATCH from its resource and where that is.
    FhirError: `required` without a request, `invalid` or `not-supported` for one that cannot be meant.
    """
    request = raw.get("request")
    if not isinstance(request, dict):
        raise fhir_error(IssueCode.REQUIRED, "The entry lacks its request.", f"{where}.request")
    method = cast("Method", request.get("method"))
    url = relative_url(request.get("url", ""), base_url)
    resource = raw.get("resource")
    if method in ("GET", "HEAD"):
        if resource is not None:
            raise _misplaced(where)
        return Entry(method, url, where=where)
    path, question, query = url.partition("?")
    parts = [unquote(each) for each in path.split("/")]
    type_, id_ = parts[0], parts[1] if len(parts) == 2 else None
    if not registry.is_resource_type(type_) or len(parts) > 2 or (id_ and not is_logical_id(id_)):
        raise _unknown_url(where)
    criteria = _criteria(method, id_, query if question else None, request, where)
    if (method == "DELETE") != (resource is None):
        raise _misplaced(where)
    change = None
    if method != "PATCH" and resource is not None and resource.get("resourceType") != type_:
        raise fhir_error(
            IssueCode.STRUCTURE,
            f"Send a {type_}: this address takes no other type.",
            f"{where}.resource",
        )
    if method == "PATCH" and resource is not None:
        change, resource = patch(resource, f"{where}.resource"), None
    if method == "PUT" and id_ is not None and (resource or {}).get("id") != id_:
        raise fhir_error(
            IssueCode.INVALID,
            "The resource's id must be the id in the url.",
            f"{where}.resource.id",
        )
    return Entry(
        method,
        url,
        type=type_,
        id=id_,
        criteria=criteria,
        resource=resource,
        change=change,
        if_match=_version(request, where),
        full_url=raw.get("fullUrl"),
        where=where,
    )


def _criteria(
    method: Method, id_: str | None, query: str | None, request: dict[str, Any], where: str
) -> str | None:
    """The search of a conditional write; FhirError where the url and the method do not go together."""
    for name in ("ifNoneMatch", "ifModifiedSince"):
        if name in request:
            raise fhir_error(
                IssueCode.NOT_SUPPORTED,
                "This condition belongs to an entry that reads.",
                f"{where}.request.{name}",
            )
    none_exist = request.get("ifNoneExist")
    if method == "POST":
        if id_ is not None or query is not None:
            raise _unknown_url(where)
        return none_exist
    if none_exist is not None:
        raise fhir_error(
            IssueCode.INVALID,
            "ifNoneExist belongs to an entry that creates (POST).",
            f"{where}.request.ifNoneExist",
        )
    if (id_ is None) == (query is None) or (id_ is None and method not in _CRITERIA):
        raise _unknown_url(where)
    return query


def _version(request: dict[str, Any], where: str) -> int | None:
    if "ifMatch" not in request:
        return None
    etag = _ETAG.fullmatch(request["ifMatch"])
    if etag is None:
        raise fhir_error(
            IssueCode.INVALID, 'ifMatch must be an ETag, as W/"3".', f"{where}.request.ifMatch"
        )
    return int(etag[1])


def _misplaced(where: str) -> FhirError:
    return fhir_error(
        IssueCode.INVALID,
        "POST, PUT and PATCH need a resource; GET, HEAD and DELETE have none.",
        f"{where}.resource",
    )


def _unknown_url(where: str) -> FhirError:
    return fhir_error(
        IssueCode.NOT_SUPPORTED,
        "The entry's url must be a type (POST), or Type/id or Type?search (PUT, PATCH, DELETE).",
        f"{where}.request.url",
    )
