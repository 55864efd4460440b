"""The operations that the application offers, read from its routes, for the CapabilityStatement.

Only those that R4 itself defines are told, by the canonical URL of their definition; an operation of
our own is told once its OperationDefinition is published.

Pinned: hl7.org/fhir/R4/operationslist.html.
"""

from __future__ import annotations

import re
from typing import Final

from fastapi import FastAPI

from app.fhir_mappings.capability import OperationCapability

_PATH: Final = re.compile(
    r"/fhir/(?P<type>\{type\}|[A-Z][A-Za-z]+)(?:/\{id\})?/\$(?P<name>[a-z-]+)"
)
_DEFINITION: Final = "http://hl7.org/fhir/OperationDefinition/"
_DEFINED: Final = frozenset(
    {
        "CodeSystem-lookup", "CodeSystem-subsumes", "CodeSystem-validate-code", "ConceptMap-translate",
        "Composition-document", "Encounter-everything", "Group-everything", "List-find",
        "Measure-evaluate-measure", "Observation-lastn", "Observation-stats", "Patient-everything",
        "Patient-match", "PlanDefinition-apply", "Resource-convert", "Resource-graph",
        "Resource-meta", "Resource-meta-add", "Resource-meta-delete", "Resource-validate",
        "ValueSet-expand", "ValueSet-validate-code",
    }
)  # fmt: skip
"""R4's own operations that a route here may have."""


def registered_operations(application: FastAPI) -> dict[str | None, list[OperationCapability]]:
    """Resource type to its operations, in alphabetical order; None: those of every type."""
    found: dict[str | None, dict[str, str]] = {}
    for path in application.openapi()["paths"]:
        match = _PATH.fullmatch(path)
        if match is None:
            continue
        type_ = None if match["type"] == "{type}" else match["type"]
        identity = f"{type_ or 'Resource'}-{match['name']}"
        if identity in _DEFINED:
            found.setdefault(type_, {})[match["name"]] = _DEFINITION + identity
    return {
        type_: [OperationCapability(name, names[name]) for name in sorted(names)]
        for type_, names in found.items()
    }
