"""When an invariant cannot fail: elements without which an expression is never false.

Most invariants are about an element that most instances do not have. `alternatives` reads from the
tree which absences make the result true or empty, so that the walker pays a set operation and not
an evaluation. Where it cannot tell it says nothing, and the expression is evaluated.

Neighbour: `app.fhir_mappings.invariants` turns the names into JSON properties.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from app.fhir_mappings.fhirpath.syntax import (
    Call,
    Indexer,
    Member,
    Node,
    Operation,
    TypeOperation,
)

Alternatives: TypeAlias = tuple[frozenset[str], ...]
"""Sets of element names; where all of one set are absent, the statement holds."""

_COMPARISONS: Final = frozenset({"=", "!=", "<", "<=", ">", ">=", "in"})
# Functions that give empty, or nothing, of nothing.
_EMPTY_OF_EMPTY: Final = frozenset(
    {"where", "select", "first", "last", "tail", "ofType", "as", "matches", "startsWith", "endsWith",
     "contains", "toInteger", "toDecimal", "toString", "substring", "length", "resolve", "distinct",
     "trace", "lower", "upper", "replaceMatches", "extension", "is"}
)  # fmt: skip
_MOST: Final = 8


def never_false(node: Node) -> Alternatives:
    """Absences that make the result true or empty."""
    match node:
        case Operation("or", left, right):
            return _either(never_false(left), never_false(right))
        case Operation("and", left, right):
            return _both(never_false(left), never_false(right))
        case Operation("implies", left, right):
            return _either(never_true(left), never_false(right))
        case Call(of, "not", ()) if of is not None:
            return never_true(of)
        case Call(of, "empty" | "isDistinct" | "all", _) if of is not None:
            return _empty(of)
    return _empty(node)


def never_true(node: Node) -> Alternatives:
    """Absences that make the result false or empty."""
    match node:
        case Operation("and", left, right):
            return _either(never_true(left), never_true(right))
        case Operation("or", left, right):
            return _both(never_true(left), never_true(right))
        case Call(of, "not", ()) if of is not None:
            return never_false(of)
        case Call(of, "exists" | "hasValue" | "hasExtension", _) if of is not None:
            return _empty(of)
    return _empty(node)


def _empty(node: Node) -> Alternatives:
    """Absences that make the result empty."""
    match node:
        case Member(None, name) if not name[:1].isupper():
            return (frozenset({name}),)
        case Member(of, _) if of is not None:
            return _empty(of)
        case Indexer(of, _) | TypeOperation(_, of, _):
            return _empty(of)
        case Call(None, "where", (criterion,)):
            return never_true(criterion)
        case Call(of, name, _) if of is not None and name in _EMPTY_OF_EMPTY:
            return _empty(of)
        case Operation(operator, left, right) if operator in _COMPARISONS:
            # `in` is empty of an empty left side; false for an empty right one.
            return _empty(left) if operator == "in" else _either(_empty(left), _empty(right))
    return ()


def _either(left: Alternatives, right: Alternatives) -> Alternatives:
    return (left + right)[:_MOST]


def _both(left: Alternatives, right: Alternatives) -> Alternatives:
    return tuple(a | b for a in left for b in right)[:_MOST]
