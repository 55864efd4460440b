"""What a client would rather have: the Prefer header (hl7.org/fhir/R4/http.html#return, #parameters)."""

from __future__ import annotations

from enum import StrEnum

from starlette.requests import Request


class Preference(StrEnum):
    """Prefer: return=… after a write."""

    MINIMAL = "minimal"
    REPRESENTATION = "representation"
    OUTCOME = "OperationOutcome"


def _wishes(request: Request) -> dict[str, str]:
    """The preferences of all Prefer headers; of one that is given twice the first counts (RFC 7240)."""
    found: dict[str, str] = {}
    for header in request.headers.getlist("prefer"):
        for each in header.replace(";", ",").split(","):
            name, _, value = each.partition("=")
            found.setdefault(name.strip().lower(), value.strip().strip('"'))
    return found


def preference(request: Request) -> Preference:
    """What to return after a write: the resource, unless something else is wished; unknown wishes are none."""
    wish = _wishes(request).get("return", "")
    return next((each for each in Preference if each == wish), Preference.REPRESENTATION)


def strict(request: Request) -> bool:
    """False where unknown search parameters may be ignored: only by an explicit handling=lenient."""
    return _wishes(request).get("handling") != "lenient"
