"""Transaction Bundles: writes of many resources, all or nothing (hl7.org/fhir/R4/http.html#transaction).

POST, PUT and DELETE entries; references between entries by their fullUrl (urn:uuid). Entries that read,
conditional entries and batch are refused as not supported, never ignored.
"""

from __future__ import annotations

import re
from typing import Any, Final

from app.errors import IssueCode, fhir_error
from app.fhir_mappings import registry
from app.interactions.writing import Operation

_ETAG: Final = re.compile(r'(?:W/)?"([0-9]{1,9})"')
_CONDITIONAL: Final = ("ifNoneMatch", "ifModifiedSince", "ifNoneExist")


def operations(bundle: dict[str, Any], limit: int) -> list[Operation]:
    """The operations of a transaction, in the Bundle's order.

    FhirError: `too-costly` past `limit` entries, `invalid` for an entry that does not say what to do,
    `duplicate` where two entries write the same resource, `not-supported` as above.
    """
    if bundle.get("type") != "transaction":
        raise fhir_error(
            IssueCode.NOT_SUPPORTED,
            "Only a Bundle of type transaction is taken here.",
            "Bundle.type",
        )
    entries = bundle.get("entry", [])
    if len(entries) > limit:
        raise fhir_error(
            IssueCode.TOO_COSTLY,
            f"The Bundle has more than the {limit} entries this server takes; split it.",
            "Bundle.entry",
            status=413,
        )
    found = [_operation(entry, f"Bundle.entry[{i}]") for i, entry in enumerate(entries)]
    seen: set[object] = set()
    for index, operation in enumerate(found):
        keys: list[object] = [(operation.type, operation.id)] if operation.id else []
        keys += [operation.full_url] if operation.full_url else []
        if not seen.isdisjoint(keys):
            raise fhir_error(
                IssueCode.DUPLICATE,
                "Two entries write the same resource; keep one of them.",
                f"Bundle.entry[{index}]",
            )
        seen.update(keys)
    return found


def _operation(entry: dict[str, Any], where: str) -> Operation:
    request = entry.get("request")
    if not isinstance(request, dict):
        raise fhir_error(IssueCode.REQUIRED, "The entry lacks its request.", f"{where}.request")
    method, url, resource = request.get("method"), request.get("url", ""), entry.get("resource")
    for name in _CONDITIONAL:
        if name in request:
            raise fhir_error(
                IssueCode.NOT_SUPPORTED,
                "Conditional entries are not served.",
                f"{where}.request.{name}",
            )
    parts = url.split("/")
    if "?" in url or not registry.is_resource_type(parts[0]):
        raise fhir_error(
            IssueCode.NOT_SUPPORTED,
            "The entry's url must be a type (POST) or Type/id (PUT, DELETE).",
            f"{where}.request.url",
        )
    match (method, len(parts)):
        case ("POST", 1):
            id_ = None
        case ("PUT" | "DELETE", 2):
            id_ = parts[1]
        case _:
            raise fhir_error(
                IssueCode.NOT_SUPPORTED,
                "The entry must be a POST to a type, or a PUT or DELETE of Type/id.",
                f"{where}.request",
            )
    if (method == "DELETE") != (resource is None):
        raise fhir_error(
            IssueCode.INVALID, "POST and PUT need a resource; DELETE has none.", f"{where}.resource"
        )
    if method == "PUT" and (resource or {}).get("id") != id_:
        raise fhir_error(
            IssueCode.INVALID,
            "The resource's id must be the id in the url.",
            f"{where}.resource.id",
        )
    etag = _ETAG.fullmatch(request.get("ifMatch", "") or "")
    if "ifMatch" in request and etag is None:
        raise fhir_error(
            IssueCode.INVALID, 'ifMatch must be an ETag, as W/"3".', f"{where}.request.ifMatch"
        )
    return Operation(
        type=parts[0],
        id=id_,
        resource=resource,
        if_match=int(etag[1]) if etag else None,
        full_url=entry.get("fullUrl"),
        where=f"{where}.resource",
    )
