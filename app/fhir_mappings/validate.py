"""Whether a resource is valid R4: all its faults at once.

The gate of every write. Checked: elements and their JSON types, cardinality, choice elements,
primitive formats, extensions of primitives, required bindings, references (syntax, types,
contained), contained resources, narrative, the invariants. Not checked: profiles, bindings that are
not required or cannot be expanded, the invariants that
`app.fhir_mappings.structure.invariants_not_enforced` lists, whether a referenced resource exists.

Pinned: hl7.org/fhir/R4/validation.html.
"""

from __future__ import annotations

from contextlib import suppress

from app.errors import Issue, IssueCode
from app.fhir_mappings.faults import EnoughError, Walk
from app.fhir_mappings.json_text import JsonObject
from app.fhir_mappings.nested import walk_container
from app.fhir_mappings.walker import walk_of


def validate(
    resource: JsonObject, *, expected_type: str | None = None, warnings: bool = False
) -> list[Issue]:
    """Every fault of a resource, at most `faults.MAX_ISSUES`; empty where it is valid.

    resource: as `app.fhir_mappings.json_text.parse` returns it. expected_type: the type that the
    request's address names; another one is a fault. warnings: also tell what R4 calls best
    practice, with severity `warning`. No diagnostics repeats a value.
    """
    name = resource.get("resourceType")
    if expected_type is not None and name != expected_type:
        return [
            Issue(
                IssueCode.STRUCTURE,
                f"Send a {expected_type}: this address takes no other type.",
                ("resourceType",),
            )
        ]
    walk = Walk(warnings=warnings)
    root = (None, name if isinstance(name, str) else "Resource", None)
    with suppress(EnoughError):
        walk_container(resource, root, walk, walk_of)
    return walk.issues
