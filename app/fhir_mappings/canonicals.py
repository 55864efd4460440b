"""Which parameters name definitions by canonical URL, and which types canonicals may name.

A canonical names whatever has its URL (and its version, where it tells one) when it is asked, not when it was
written: no link is stored. Instead both sides have rows that tell the URL (`app.fhir_mappings.search_keys`,
`canonical_key`), and chains, `_has` and includes join these. A canonical without version means any version.

Pinned: hl7.org/fhir/R4/references.html#canonical. Neighbours: `app.fhir_mappings.row_writers` and
`app.fhir_mappings.index_rows` (the rows), `app.storage.search_clause_sql` (the join).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from app.fhir_mappings.registry import RESOURCE_TYPES
from app.fhir_mappings.search_keys import canonical_key
from app.fhir_mappings.search_parameters import SearchParameter, parameters
from app.fhir_mappings.structure import definition


@cache
def is_canonical(resource_type: str) -> bool:
    """Whether canonicals may name resources of the type: those that have a `url` of their own."""
    slot = definition(resource_type).slots.get("url")
    return slot is not None and slot.type == "uri"


def named(types: Iterable[str] = RESOURCE_TYPES) -> tuple[int, ...]:
    """Keys of what resources of these types are called."""
    return tuple(canonical_key(each, "") for each in types if is_canonical(each))


def naming(resource_type: str, of: SearchParameter) -> tuple[int, ...]:
    """The key of what a parameter's canonicals name; () where the parameter looks at no canonical."""
    if of.type != "reference":
        return ()
    looked_at = {track.type for track in of.path(resource_type).tracks}
    return (canonical_key(resource_type, of.code),) if looked_at & {"canonical", "uri"} else ()


def all_naming(types: Iterable[str]) -> tuple[int, ...]:
    """The keys of all parameters of these types that name definitions."""
    return tuple(
        key for each in types for of in parameters(each).values() for key in naming(each, of)
    )
