"""Parameters of operations: from the URL, or from a Parameters resource (hl7.org/fhir/R4/operations.html)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request


def flag(request: Request, name: str) -> bool:
    """A boolean of the URL; anything but `true` is false."""
    return request.query_params.get(name) == "true"


def parameter(body: Mapping[str, Any], name: str) -> str | None:
    """The reference or string of one parameter of a Parameters resource; None without."""
    for each in body.get("parameter", ()):
        if each.get("name") == name:
            text = each.get("valueReference", {}).get("reference", each.get("valueString"))
            return text if isinstance(text, str) else None
    return None
