"""What the text of a reference points at: a resource here, elsewhere, contained, or to be made.

`app.fhir_mappings.references` checks the syntax of what is written; this module reads what is
valid, for search rows, links and queries alike, so that they cannot disagree.

Pinned: hl7.org/fhir/R4/references.html#literal, hl7.org/fhir/R4/references.html#logical.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from app.fhir_mappings.registry import is_resource_type

_RESTFUL: Final = re.compile(
    r"(?:(?P<base>https?://.+?)/)?(?P<type>[A-Z][A-Za-z]+)/(?P<id>[A-Za-z0-9\-.]{1,64})"
    r"(?:/_history/(?P<version>[A-Za-z0-9\-.]{1,64}))?(?:#.*)?"
)
_CONDITIONAL: Final = re.compile(r"([A-Z][A-Za-z]+)\?.+")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")


class ReferenceKind(StrEnum):
    """Where the target of a reference is looked for."""

    LOCAL = "local"
    """`Type/id` on this server, relative or below one of its base URLs."""
    CONTAINED = "contained"
    """`#id` in the same resource."""
    ABSOLUTE = "absolute"
    """A URL of another server."""
    URN = "urn"
    """`urn:uuid:` or `urn:oid:`: another entry of the same Bundle."""
    CONDITIONAL = "conditional"
    """`Type?search`, in transactions."""
    LOGICAL = "logical"
    """No text, only an identifier or a display."""
    UNKNOWN = "unknown"
    """None of these; the validator refuses it."""


@dataclass(frozen=True, slots=True)
class ReferenceValue:
    """A reference read.

    type, id, version: as written in the last segments, also of an ABSOLUTE reference (whose id is
    of the other server); id of CONTAINED is the part after `#`. None where not stated.
    """

    kind: ReferenceKind
    type: str | None = None
    id: str | None = None
    version: str | None = None


_UNKNOWN: Final = ReferenceValue(ReferenceKind.UNKNOWN)
LOGICAL: Final = ReferenceValue(ReferenceKind.LOGICAL)


def parse_reference(text: str, base_urls: Iterable[str] = ()) -> ReferenceValue:
    """Read the text of a reference.

    base_urls: the addresses of this server without a slash at the end; an absolute reference below
    one of them is LOCAL. Never raises.
    """
    if text.startswith("#"):
        return ReferenceValue(ReferenceKind.CONTAINED, id=text[1:])
    match = _RESTFUL.fullmatch(text)
    if match and is_resource_type(match["type"]):
        base = match["base"]
        kind = ReferenceKind.LOCAL if base is None or base in base_urls else ReferenceKind.ABSOLUTE
        return ReferenceValue(kind, match["type"], match["id"], match["version"])
    if text.startswith("urn:"):
        return ReferenceValue(ReferenceKind.URN)
    if _SCHEME.match(text):
        return ReferenceValue(ReferenceKind.ABSOLUTE)
    conditional = _CONDITIONAL.fullmatch(text)
    if conditional and is_resource_type(conditional[1]):
        return ReferenceValue(ReferenceKind.CONDITIONAL, conditional[1])
    return _UNKNOWN


def target_type(reference: Mapping[str, Any], root: Mapping[str, Any]) -> str | None:
    """The type of what a Reference points at, as far as the resource itself tells.

    root: the resource in which `contained` is looked up. Read from the text, else from the
    contained resource, else from `Reference.type`; None where none of them tells. What is of the wrong
    JSON type tells nothing: the validator asks before it knows whether all is well.
    """
    text = reference.get("reference")
    if type(text) is str:
        value = parse_reference(text)
        if value.type is not None:
            return value.type
        if value.kind is ReferenceKind.CONTAINED:
            return _contained_type(value.id, root)
    stated = reference.get("type")
    return stated if isinstance(stated, str) else None


def _contained_type(local_id: str | None, root: Mapping[str, Any]) -> str | None:
    contained = root.get("contained")
    for each in contained if type(contained) is list else ():
        if type(each) is dict and each.get("id") == local_id:
            found = each.get("resourceType")
            return found if isinstance(found, str) else None
    return None
