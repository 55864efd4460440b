"""The text of a Reference: its syntax, the type that it names, and the contained resource it needs.

Whether the target exists elsewhere is asked of storage, not here.

Pinned: hl7.org/fhir/R4/references.html#literal, hl7.org/fhir/R4/http.html#trules.
"""

from __future__ import annotations

import re
from typing import Final

from app.errors import IssueCode
from app.fhir_mappings.faults import Path, Walk
from app.fhir_mappings.registry import is_resource_type

_ID: Final = r"[A-Za-z0-9\-.]{1,64}"
_RELATIVE: Final = re.compile(rf"([A-Z][A-Za-z]+)/{_ID}(?:/_history/{_ID})?")
_URN: Final = re.compile(
    r"urn:uuid:[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
    r"|urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+"
)
_ABSOLUTE: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:\S+")
_CONDITIONAL: Final = re.compile(r"([A-Z][A-Za-z]+)\?\S+")


def check_reference(text: str, targets: frozenset[str], path: Path, walk: Walk) -> None:
    """Record what is wrong with `Reference.reference`.

    targets: types that the element allows, empty for any. path: of the Reference. An absolute URL
    names a type only where its end has the form of a RESTful address; elsewhere any target is
    accepted.
    """
    relative = _RELATIVE.fullmatch(text)
    if relative:
        _check_type(relative[1], targets, path, walk)
    elif text.startswith("#"):
        _check_local(text, targets, path, walk)
    elif text.startswith("urn:"):
        if text.startswith(("urn:uuid:", "urn:oid:")) and not _URN.fullmatch(text):
            _fault("must be a whole UUID or OID after urn:uuid: or urn:oid:", path, walk)
    elif _ABSOLUTE.fullmatch(text):
        _check_address(text, targets, path, walk)
    elif walk.conditional and (conditional := _CONDITIONAL.fullmatch(text)):
        _check_type(conditional[1], targets, path, walk)
    else:
        _fault(
            "must be Type/id, Type/id/_history/version, #id, an absolute URL, a UUID or OID URN",
            path,
            walk,
        )


def _check_type(name: str, targets: frozenset[str], path: Path, walk: Walk) -> None:
    if name in targets or (not targets and is_resource_type(name)):
        return
    if not is_resource_type(name):
        _fault("must name an R4 resource type before the id", path, walk)
    else:
        allowed = ", ".join(sorted(targets))
        walk.fault(IssueCode.VALUE, f"Refer to one of the types allowed here: {allowed}.", path)


def _check_local(text: str, targets: frozenset[str], path: Path, walk: Walk) -> None:
    walk.local(text)
    if text == "#":
        if walk.container.inside is None:
            _fault("may be # only inside a contained resource", path, walk)
        return
    name = walk.container.contained.get(text[1:])
    if name is None:
        _fault("must name the id of a contained resource after #", path, walk)
    else:
        _check_type(name, targets, path, walk)


def _check_address(text: str, targets: frozenset[str], path: Path, walk: Walk) -> None:
    if not text.startswith(("http://", "https://")):
        return
    parts = text.partition("#")[0].split("/")
    if len(parts) > 5 and parts[-2] == "_history":
        parts = parts[:-2]
    if len(parts) > 4 and is_resource_type(parts[-2]) and re.fullmatch(_ID, parts[-1]):
        _check_type(parts[-2], targets, path, walk)


def _fault(what: str, path: Path, walk: Walk) -> None:
    walk.fault(IssueCode.VALUE, f"The reference {what}.", (path, "reference", None))
