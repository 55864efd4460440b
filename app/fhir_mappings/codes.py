"""The codes of a resource, as consent asks for them: every Coding at any depth, and the profiles.

A provision's `code` and `class` are matched against `codes(resource)`, kept beside the row. The
consent compiler files them under the same keys through `Terms.hash64`, without this module
(neither floor imports the other); `tests/fhir_mappings/test_codes.py` holds the two together.

A Coding without a system is filed under the empty system: it is equal to no coding that has one.
Elements of type `code` (`Patient.gender`) are not codings and are left out.

Pinned: hl7.org/fhir/R4/consent.html (provision.code, provision.class),
hl7.org/fhir/R4/datatypes.html#Coding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from app.fhir_mappings.hashing import hash64
from app.fhir_mappings.registry import is_resource_type
from app.fhir_mappings.structure import TypeDefinition, definition


def code_key(system: str, code: str) -> int:
    """The key of a coding; system is "" where it has none."""
    return hash64("code", system, code)


def profile_key(url: str) -> int:
    """The key of a canonical in `meta.profile`, as it is written there."""
    return hash64("profile", url)


def codings(resource: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Every Coding that has a code: system ("" if absent), code, FHIRPath, in document order.

    Contained resources, extensions and the entries of a stored Bundle are included, and so are
    `meta.security` and `meta.tag`.
    """
    name = str(resource["resourceType"])
    return list(_codings(resource, definition(name), name))


def codes(resource: Mapping[str, Any]) -> list[int]:
    """The distinct keys of all codings and of `meta.profile`, ascending."""
    keys = {code_key(system, code) for system, code, _ in codings(resource)}
    meta = resource.get("meta")
    if type(meta) is dict:
        keys.update(profile_key(url) for url in meta.get("profile", ()) if type(url) is str)
    return sorted(keys)


def _codings(
    node: Mapping[str, Any], shape: TypeDefinition, path: str
) -> Iterator[tuple[str, str, str]]:
    if shape.name == "Coding" and type(code := node.get("code")) is str:
        system = node.get("system")
        yield system if type(system) is str else "", code, path
    for key, value in node.items():
        slot = shape.slots.get(key.removeprefix("_"))
        if slot is None or type(value) not in (dict, list):
            continue
        # `_birthDate` holds the extensions of the primitive `birthDate`.
        type_name = "Element" if key.startswith("_") else slot.type
        many = type(value) is list
        for position, each in enumerate(value if many else (value,)):
            if type(each) is not dict:
                continue
            where = f"{path}.{slot.element}[{position}]" if many else f"{path}.{slot.element}"
            inner = str(each.get("resourceType", "")) if type_name == "Resource" else type_name
            if type_name != "Resource" or is_resource_type(inner):
                yield from _codings(each, definition(inner), where)
