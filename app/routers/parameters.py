"""Parameters of operations: from the URL, or from a Parameters resource (hl7.org/fhir/R4/operations.html)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from app.errors import IssueCode, fhir_error
from app.routers.answer import read_resource


def flag(request: Request, name: str) -> bool:
    """A boolean of the URL; anything but `true` is false."""
    return request.query_params.get(name) == "true"


def storing(request: Request) -> bool:
    """Whether `store` asks to keep what is made; FhirError `invalid` for a GET, which stores nothing."""
    store = flag(request, "store")
    if store and request.method != "POST":
        raise fhir_error(IssueCode.INVALID, "A GET stores nothing: use POST.", "store")
    return store


async def subject_of(request: Request, limit: int, max_depth: int) -> str:
    """The `subject`, of the URL or of a POST's Parameters; FhirError `required` without.

    limit, max_depth: the largest body, in bytes, and its deepest nesting.
    """
    subject = request.query_params.get("subject")
    if request.method == "POST" and subject is None:
        subject = parameter(await read_resource(request, limit, max_depth), "subject")
    if not subject:
        raise fhir_error(IssueCode.REQUIRED, "Name the subject: a Patient.", "subject")
    return subject


def parameter(body: Mapping[str, Any], name: str) -> str | None:
    """The reference or string of one parameter of a Parameters resource; None without."""
    for each in body.get("parameter", ()):
        if each.get("name") == name:
            text = each.get("valueReference", {}).get("reference", each.get("valueString"))
            return text if isinstance(text, str) else None
    return None
