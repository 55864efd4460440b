"""Whether a resource is valid R4: all its faults at once.

The gate of every write. Checked: elements and their JSON types, cardinality, choice elements,
primitive formats, extensions of primitives, required bindings, references (syntax, types,
contained), contained resources, narrative, the invariants; and the profiles that are asked for
(`app.fhir_mappings.profiles`). Not checked: bindings that are
not required or cannot be expanded, the invariants that
`app.fhir_mappings.structure.invariants_not_enforced` lists, whether a referenced resource exists.

Pinned: hl7.org/fhir/R4/validation.html.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from app.errors import Issue, IssueCode
from app.fhir_mappings.faults import MAX_ISSUES, EnoughError, Walk
from app.fhir_mappings.json_text import JsonObject
from app.fhir_mappings.nested import walk_container
from app.fhir_mappings.profiles.check import profile_issues
from app.fhir_mappings.profiles.definitions import Definitions
from app.fhir_mappings.walker import walk_of

_REPEATED: Final = frozenset({IssueCode.REQUIRED, IssueCode.STRUCTURE, IssueCode.CODE_INVALID})
"""What R4 itself asks and a profile asks again is told once."""


def validate(
    resource: JsonObject,
    *,
    expected_type: str | None = None,
    warnings: bool = False,
    profiles: Iterable[str] = (),
    definitions: Definitions | None = None,
) -> list[Issue]:
    """Every fault of a resource, at most `faults.MAX_ISSUES`; empty where it is valid.

    resource: as `app.fhir_mappings.json_text.parse` returns it. expected_type: the type that the
    request's address names; another one is a fault. warnings: also tell what R4 calls best
    practice, with severity `warning`. profiles: canonical URLs of profiles that it must satisfy too,
    found in `definitions`. No diagnostics repeats a value.
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
    issues = walk.issues
    for url in profiles:
        known = definitions if definitions is not None else Definitions()
        found = profile_issues(resource, url, known, warnings=warnings)
        told = {(each.code, each.expression) for each in issues if each.code in _REPEATED}
        issues += [each for each in found if (each.code, each.expression) not in told]
    return issues[:MAX_ISSUES]
