"""The functions of FHIRPath that evaluate an argument for each item, or not always.

Neighbours: `compiler` hands them the compiled arguments; `functions` has those of plain values.

Pinned: hl7.org/fhirpath/N1/#filtering-and-projection.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from app.fhir_mappings.fhirpath import comparison
from app.fhir_mappings.fhirpath.environment import Environment, Evaluate
from app.fhir_mappings.fhirpath.items import Collection, Item, boolean


def _each(criterion: Evaluate, focus: Collection, e: Environment) -> list[tuple[Item, Collection]]:
    return [(item, criterion([item], e)) for item in focus]


def _where(criterion: Evaluate) -> Evaluate:
    return lambda focus, e: [
        item for item, found in _each(criterion, focus, e) if comparison.is_true(found)
    ]


def _select(projection: Evaluate) -> Evaluate:
    return lambda focus, e: [each for _, found in _each(projection, focus, e) for each in found]


def _all(criterion: Evaluate) -> Evaluate:
    return lambda focus, e: boolean(
        all(comparison.is_true(found) for _, found in _each(criterion, focus, e))
    )


def _exists(*criterion: Evaluate) -> Evaluate:
    if not criterion:
        return lambda focus, _environment: boolean(bool(focus))
    where = _where(criterion[0])
    return lambda focus, e: boolean(bool(where(focus, e)))


def _iif(criterion: Evaluate, then: Evaluate, otherwise: Evaluate | None = None) -> Evaluate:
    def evaluate(focus: Collection, environment: Environment) -> Collection:
        if comparison.is_true(criterion(focus, environment)):
            return then(focus, environment)
        return otherwise(focus, environment) if otherwise is not None else []

    return evaluate


def _repeat(projection: Evaluate) -> Evaluate:
    def evaluate(focus: Collection, environment: Environment) -> Collection:
        found: Collection = []
        seen = set()
        queue = focus
        while queue:
            fresh = []
            for each in _select(projection)(queue, environment):
                key = comparison.identity(each)
                if key not in seen:
                    seen.add(key)
                    fresh.append(each)
            found.extend(fresh)
            queue = fresh
        return found

    return evaluate


def _trace(*_arguments: Evaluate) -> Evaluate:
    """Writes nothing: what stands in a record is not for a log."""
    return lambda focus, _environment: focus


ITERATING: Final[dict[str, tuple[int, int, Callable[..., Evaluate]]]] = {
    "where": (1, 1, _where),
    "select": (1, 1, _select),
    "all": (1, 1, _all),
    "exists": (0, 1, _exists),
    "iif": (2, 3, _iif),
    "repeat": (1, 1, _repeat),
    "trace": (1, 2, _trace),
}
"""Function to the fewest and the most arguments, and what makes it."""

OVER_ITEMS: Final = frozenset({"where", "select", "all", "exists", "repeat"})
"""Those of them that make each item `$this`."""
