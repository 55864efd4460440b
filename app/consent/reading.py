"""Typed reading of plain FHIR JSON: what is absent or of another shape reads as absent.

The structural gate (`app.fhir_mappings`) has judged the resource before; these readers exist so
that the type checker follows, and so that consent never raises on a malformed stored document.
Pinned: hl7.org/fhir/R4/json.html.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

Json = Mapping[str, object]
"""A JSON object of a FHIR resource or element."""


def one(parent: Json, name: str) -> Json | None:
    """The object at `name`, or None."""
    value = parent.get(name)
    return value if isinstance(value, Mapping) else None


def many(parent: Json, name: str) -> tuple[Json, ...]:
    """The objects of the list at `name`; empty where there is none."""
    value = parent.get(name)
    # Most elements are absent: nothing else is asked about those.
    if value is None or not isinstance(value, list | tuple):
        return ()
    return tuple(item for item in value if isinstance(item, Mapping))


def text(parent: Json, name: str) -> str | None:
    """The string at `name`, or None; an empty string is none."""
    value = parent.get(name)
    return value if isinstance(value, str) and value else None


def coded(coding: Json) -> tuple[str, str]:
    """(system, code) of a Coding; an absent half is the empty string."""
    return text(coding, "system") or "", text(coding, "code") or ""


def packaged(name: str) -> Any:
    """The JSON document `data/<name>` of this package."""
    return json.loads((files("app.consent") / "data" / name).read_text("utf-8"))
