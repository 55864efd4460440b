"""R4's invariants that look at values, compiled from FHIRPath and checked where the walker stands.

Rules on which elements are present are in `rules`, at the cost of a set operation; here is what is
left. Faults of structure may stand in the same tree: a value of the wrong kind gives an empty
result, and what is empty or cannot be decided (a reference elsewhere, dates of different precision)
is no fault.

Pinned: hl7.org/fhir/R4/conformance-rules.html#constraints.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.errors import IssueCode
from app.fhir_mappings.faults import Path, Walk, WalkObject
from app.fhir_mappings.fhirpath.compiler import Expression, compile_fhirpath
from app.fhir_mappings.fhirpath.environment import Environment
from app.fhir_mappings.fhirpath.items import Item, properties
from app.fhir_mappings.structure import Invariant, definition, invariants


@dataclass(frozen=True, slots=True)
class _Compiled:
    """guards: sets of JSON properties; where an object has none of one, the invariant holds."""

    expression: Expression
    guards: tuple[frozenset[str], ...]
    sentence: str
    severity: str


def compiled_invariants(path: str, type_name: str | None = None) -> WalkObject | None:
    """The check of the invariants of a type or of an element's path; None where there are none.

    type_name: of the values, where the path is not itself a type.
    """
    name = type_name or path
    compiled = tuple(_compile(each, name) for each in invariants(path))
    errors = tuple(each for each in compiled if each.severity == "error")
    if not compiled:
        return None

    def check(node: Any, at: Path, walk: Walk) -> None:
        environment: Environment | None = None
        for each in compiled if walk.warnings else errors:
            for guard in each.guards:
                if guard.isdisjoint(node):
                    break
            else:
                if environment is None:
                    environment = Environment(walk.resource, walk.root, Item(node, name))
                if each.expression.holds(environment) is False:
                    walk.fault(IssueCode.INVARIANT, each.sentence, at, each.severity)

    return check


def _compile(invariant: Invariant, type_name: str) -> _Compiled:
    expression = compile_fhirpath(invariant.expression)
    known = properties(type_name)
    guards = [
        frozenset(
            key
            for element in elements
            for each in known.get(element, ())
            for key in (each.key, "_" + each.key)
        )
        for elements in expression.unless_absent
    ]
    if definition(type_name).kind == "primitive":
        guards = []  # its value is no object, and always there
    return _Compiled(expression, tuple(guards), sentence(invariant), invariant.severity)


def sentence(invariant: Invariant) -> str:
    """What the sender is told: R4's own words, and the key to look up."""
    return f"{invariant.human.rstrip('. ')} ({invariant.key})."
