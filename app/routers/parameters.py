"""Parameters of operations: from the URL, or from a Parameters resource (hl7.org/fhir/R4/operations.html)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from app.errors import IssueCode, fhir_error
from app.fhir_mappings import json_text
from app.fhir_mappings.operation_input import check_frame
from app.routers.answer import read_body


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
    return subject_in(request, await body_of(request, limit, max_depth))


async def body_of(request: Request, limit: int, max_depth: int) -> json_text.JsonObject:
    """The Parameters of a POST; {} for a GET and for a POST that says nothing.

    FhirError (422) with all their faults.
    """
    if request.method != "POST":
        return {}
    content = await read_body(request, limit)
    # What a client sends that has all its parameters in the URL.
    if content.strip() in (b"", b"{}"):
        return {}
    body = json_text.parse(content, max_depth=max_depth)
    check_frame(body)
    return body


def contexts_in(body: Mapping[str, Any]) -> dict[str, str]:
    """SDC's `context` parameters: name to "Type/id" of its content."""
    found = {}
    for each in body.get("parameter", ()):
        if each.get("name") == "context":
            parts = {part.get("name"): part for part in each.get("part", ())}
            name = parts.get("name", {}).get("valueString")
            content = parts.get("content", {}).get("valueReference", {}).get("reference")
            if not isinstance(name, str) or not isinstance(content, str):
                raise fhir_error(
                    IssueCode.INVALID,
                    "A context has a name and a reference as its content.",
                    "context",
                )
            found[name] = content
    return found


def subject_in(request: Request, body: Mapping[str, Any]) -> str:
    """The `subject` of the URL or of the body; FhirError `required` without."""
    subject = request.query_params.get("subject") or parameter(body, "subject")
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
