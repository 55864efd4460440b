"""In which form the answer is given: media type, pretty or not, whole or shortened.

Read from the URL (`_format`, `_pretty`, `_summary`, `_elements`) and the Accept header before anything is
done, and applied to the finished answer, so that every route has all of them.

Pinned: hl7.org/fhir/R4/http.html#mime-type, #parameters; hl7.org/fhir/R4/search.html#summary, #elements;
RFC 9110 section 12.5.1. Neighbours: `app.fhir_mappings.summary`, `app.fhir_mappings.xml_form`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

from starlette.datastructures import ImmutableMultiDict
from starlette.requests import Request
from starlette.responses import Response

from app.errors import FhirError, IssueCode, fhir_error
from app.fhir_mappings import json_text, operation_outcome, xml_form
from app.fhir_mappings.json_text import JsonObject
from app.fhir_mappings.summary import Form, summarized, with_elements
from app.routers.answer import fhir_response
from app.routers.headers import header

Media: TypeAlias = Literal["json", "xml"]

FHIR_JSON: Final = "application/fhir+json"
FHIR_XML: Final = "application/fhir+xml"
_MEDIA: Final[dict[str, Media]] = {
    FHIR_JSON: "json",
    "application/json": "json",
    "application/json+fhir": "json",
    "text/json": "json",
    "json": "json",
    FHIR_XML: "xml",
    "application/xml": "xml",
    "application/xml+fhir": "xml",
    "text/xml": "xml",
    "xml": "xml",
}
"""Media types and `_format` codes, and the form in which they are written."""

OFFERED: Final = tuple(name for name in _MEDIA if name in ("json", "xml") or "fhir+" in name)
"""What the CapabilityStatement says."""

_ANY: Final = frozenset({"*/*", "application/*", ""})
_ELEMENT: Final = re.compile(r"(?:[A-Z][A-Za-z]+\.)?[a-z][A-Za-z0-9]*")
_FORMS: Final[dict[str, Form | None]] = {
    "true": "true",
    "text": "text",
    "data": "data",
    "false": None,
    "count": None,
}
_SHAPED: Final = ("read", "vread", "search", "history", "everything", "compartment")
_REFUSED_IN_XML: Final = (*_SHAPED, "capabilities", "validate")
"""Interactions that change nothing."""
_ENVELOPES: Final = ("search", "history", "everything", "compartment")
"""Interactions whose Bundle is the envelope: what it holds is shortened, not the Bundle itself."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The form that a client asks for. content_type: what the answer is called."""

    media: Media = "json"
    content_type: str = FHIR_JSON
    pretty: bool = False
    summary: Form | None = None
    elements: tuple[str, ...] = ()

    @property
    def plain(self) -> bool:
        """Whether the answer is as it is stored."""
        return self is PLAIN or self == PLAIN

    def inside(self) -> Wanted:
        """The same for an entry of a Bundle, which has the Bundle's own form."""
        return replace(self, media="json", content_type=FHIR_JSON, pretty=False)


PLAIN: Final = Wanted()


def negotiate(request: Request) -> Wanted:
    """What the request wants; asked once more where a form has been read.

    FhirError 406 where none of it is offered, 400 for a value that is none.
    """
    form: list[tuple[str, str]] = request.scope.get("state", {}).get("form", [])
    accept = header(request, b"accept") or "*/*"
    if not request.scope["query_string"] and not form and accept in (FHIR_JSON, "*/*"):
        return PLAIN
    query = ImmutableMultiDict([*request.query_params.multi_items(), *form])
    asked = query.get("_format")
    media, content_type = _by_format(asked) if asked is not None else _by_accept(accept)
    summary = _summary(query.get("_summary"))
    elements = _elements(query.getlist("_elements"))
    if summary is not None and elements:
        raise fhir_error(IssueCode.INVALID, "Give _summary or _elements, not both.", "_elements")
    return Wanted(media, content_type, _boolean(query.get("_pretty")), summary, elements)


def _by_format(text: str) -> tuple[Media, str]:
    name = text.partition(";")[0].strip().lower().replace(" ", "+")
    if name not in _MEDIA:
        raise _not_acceptable("_format")
    media = _MEDIA[name]
    return media, name if "/" in name else FHIR_XML if media == "xml" else FHIR_JSON


def _by_accept(header: str) -> tuple[Media, str]:
    """The best offer: the highest q, the first of equals."""
    best: tuple[float, Media, str] | None = None
    media: Media
    for each in header.split(","):
        name, *parameters = [part.strip().lower() for part in each.split(";")]
        values = dict(p.partition("=")[::2] for p in parameters)
        if name in _ANY:
            media, content_type = "json", FHIR_JSON
        elif name in _MEDIA and "/" in name:
            media, content_type = _MEDIA[name], name
        else:
            continue
        if values.get("fhirversion", "4.0").strip('"') not in ("4.0", "4.0.1"):
            continue
        quality = _quality(values.get("q"))
        if quality > 0 and (best is None or quality > best[0]):
            best = (quality, media, content_type)
    if best is None:
        raise _not_acceptable()
    return best[1], best[2]


def _quality(text: str | None) -> float:
    try:
        return 1.0 if text is None else float(text)
    except ValueError:
        return 0.0


def _not_acceptable(*expression: str) -> FhirError:
    offered = ", ".join(sorted({name for name in _MEDIA if name.startswith("application/fhir+")}))
    return fhir_error(
        IssueCode.NOT_SUPPORTED,
        f"None of the forms asked for is offered; ask for one of: {offered} (FHIR 4.0).",
        *expression,
        status=406,
    )


def _boolean(text: str | None) -> bool:
    if text in (None, "true", "false"):
        return text == "true"
    raise fhir_error(IssueCode.INVALID, "Give true or false.", "_pretty")


def _summary(text: str | None) -> Form | None:
    if text is None:
        return None
    if text not in _FORMS:
        raise fhir_error(IssueCode.INVALID, "Give true, text, data, count or false.", "_summary")
    return _FORMS[text]


def _elements(given: list[str]) -> tuple[str, ...]:
    names = tuple(name for text in given for name in text.split(","))
    if not all(_ELEMENT.fullmatch(name) for name in names):
        raise fhir_error(
            IssueCode.INVALID, "Give names of elements, separated by commas.", "_elements"
        )
    return names


def shape(response: Response, wanted: Wanted, interaction: str) -> Response:
    """The answer in the form asked for; the same object where nothing is to be done.

    XML is made of what the JSON answer would have been, and only where it carries that unaltered. Otherwise a
    read is answered 406; what has changed something is told in JSON, because it has been done.
    """
    if wanted.plain or not response.body:
        return response
    body = bytes(response.body)
    shortened = (
        (wanted.summary is not None or wanted.elements)
        and response.status_code == 200
        and interaction.startswith(_SHAPED)
    )
    if shortened or wanted.pretty:
        resource = json_text.parse(body, max_depth=json_text.MAX_DEPTH_LIMIT)
        if shortened:
            resource = _shortened(resource, wanted, interaction)
        body = json_text.dump(resource, indent=wanted.pretty)
    if wanted.media == "xml":
        try:
            body = xml_form.to_xml(json_text.parse(body, max_depth=json_text.MAX_DEPTH_LIMIT))
        except FhirError as error:
            wanted = replace(wanted, content_type=FHIR_JSON)
            if interaction.startswith(_REFUSED_IN_XML):
                body = operation_outcome.render(error.issues)
                response = fhir_response(body, status=error.status)
    response.body = body
    response.headers["content-length"] = str(len(body))
    response.headers["content-type"] = f"{wanted.content_type}; charset=utf-8"
    return response


def _shortened(resource: JsonObject, wanted: Wanted, interaction: str) -> JsonObject:
    if not interaction.startswith(_ENVELOPES):
        return _short(resource, wanted)
    entries = [
        each | {"resource": _short(each["resource"], wanted)}
        if "resource" in each and each.get("search", {}).get("mode") != "outcome"
        else each
        for each in resource.get("entry", ())
    ]
    return resource | ({"entry": entries} if entries else {})


def _short(resource: JsonObject, wanted: Wanted) -> JsonObject:
    if wanted.summary is not None:
        return summarized(resource, wanted.summary)
    return with_elements(resource, wanted.elements)
