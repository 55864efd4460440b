"""The resource types of R4: their names, their stored numbers, and which of them are directory.

A type is stored in rows and in grants as a small number. The numbers are data
(`data/r4-resource-types.json`): an entry is never changed or removed, because rows hold it.

A *directory* type (docs/consent.md, "Words") describes services and knowledge, not people: with no
data subject, any caller with the scope reads it. The list, with a reason for each, is
`data/directory-types.json`. Every other type without a data subject (Binary, Observation, Task,
Group, List, Bundle …) is read by its custodian only: of whom it tells cannot be known.

Pinned: hl7.org/fhir/R4/resourcelist.html, hl7.org/fhir/R4/compartmentdefinition-patient.html.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from types import MappingProxyType
from typing import Any, Final

import orjson


def _load(name: str) -> dict[str, Any]:
    content: dict[str, Any] = orjson.loads(
        (resources.files("app.fhir_mappings") / "data" / name).read_bytes()
    )
    return content


CODES: Final[Mapping[str, int]] = MappingProxyType(_load("r4-resource-types.json"))
"""The code of each resource type, as the store keeps it."""

_NAMES: Final[Mapping[int, str]] = MappingProxyType({code: name for name, code in CODES.items()})

RESOURCE_TYPES: Final[tuple[str, ...]] = tuple(sorted(CODES))
"""All concrete resource types of R4, in alphabetical order."""

DIRECTORY_REASONS: Final[Mapping[str, str]] = MappingProxyType(_load("directory-types.json"))
"""Directory type to the reason why it may be read without consent where it has no data subject."""

DIRECTORY_TYPES: Final[frozenset[str]] = frozenset(DIRECTORY_REASONS)

PATIENT_COMPARTMENT: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {name: tuple(codes) for name, codes in _load("r4-patient-compartment.json").items()}
)
"""Resource type to the search parameters that put it in a patient's compartment."""


def is_resource_type(name: str) -> bool:
    """True for a concrete R4 resource type (exact case)."""
    return name in CODES


def type_code(name: str) -> int:
    """The stored number of a resource type (1 … 32767); KeyError where R4 has no such type."""
    return CODES[name]


def type_name(code: int) -> str:
    """The resource type of a stored number; KeyError where none has it."""
    return _NAMES[code]
