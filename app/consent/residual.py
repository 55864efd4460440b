"""The operators of a residual: what a grant's columns cannot say, in conjunctive form.

A residual is a conjunction of clauses, a clause a disjunction of literals, a literal
`(negated, operator, arguments)`. Arguments are integers or None; instants are microseconds since
1970-01-01T00:00:00Z and None is unbounded. The same operators are evaluated in SQL (`tl.residual`).

| operator | arguments | true where |
|---|---|---|
| actor | rids | any is in the caller's closure |
| deny_actor | rids | any is in the caller's deny closure (partOf widens it) |
| action | mask | the action asked for is in it |
| purpose | mask | the caller's purpose is in it |
| valid | from, to | from <= now < to |
| types | type codes | the resource's type is one of them |
| labels | mask | the resource carries any of the bits |
| inside | from, to | the clinical time is known and lies wholly inside, both ends inclusive |
| codes | hashes | any is among the resource's codes and profiles |
| instance | rids | the resource is one of them |
| related | rids | the resource is one of them, or one of them references it |
| dependents | rids | the resource is one of them, or it references one of them |
| author | rids | any is among the resource's authors |

An operator on rids, codes or types with no arguments is false. The compiler writes `purpose`,
`action` and `valid` never negated, and `valid` and `inside` with one bound None wherever it can;
an evaluator must accept every form.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from app.consent import purposes
from app.consent.model import Action, CallerFacts, Clause, Literal, ResourceFacts
from app.consent.periods import micros

ACTOR: Final = "actor"
DENY_ACTOR: Final = "deny_actor"
ACTION: Final = "action"
PURPOSE: Final = "purpose"
VALID: Final = "valid"
TYPES: Final = "types"
LABELS: Final = "labels"
INSIDE: Final = "inside"
CODES: Final = "codes"
INSTANCE: Final = "instance"
RELATED: Final = "related"
DEPENDENTS: Final = "dependents"
AUTHOR: Final = "author"

OPERATORS: Final = (
    ACTOR,
    DENY_ACTOR,
    ACTION,
    PURPOSE,
    VALID,
    TYPES,
    LABELS,
    INSIDE,
    CODES,
    INSTANCE,
    RELATED,
    DEPENDENTS,
    AUTHOR,
)

SETS: Final = frozenset({ACTOR, DENY_ACTOR, TYPES, CODES, INSTANCE, RELATED, DEPENDENTS, AUTHOR})
"""Operators whose arguments are a set, any of which will do."""

MASKS: Final = frozenset({ACTION, PURPOSE, LABELS})
"""Operators whose one argument is a bit mask, any bit of which will do."""

ALL_ACTIONS: Final = int(Action.READ | Action.UPDATE)


def any_of(operator: str, members: Iterable[int]) -> Literal:
    """A positive literal of a set operator; arguments sorted, so that equal sets are equal."""
    return (False, operator, tuple(sorted(set(members))))


def negate(literal: Literal) -> Literal:
    """The literal that is true exactly where this one is not.

    `purpose`, `action` and a half-line of `valid` have a positive opposite, and it is given.
    """
    negated, operator, args = literal
    if operator == PURPOSE:
        return (negated, operator, (purposes.ALL & ~_int(args[0]),))
    if operator == ACTION:
        return (negated, operator, (ALL_ACTIONS & ~_int(args[0]),))
    if operator == VALID and not negated:
        start, end = args
        if end is None and start is not None:
            return (False, VALID, (None, start))
        if start is None and end is not None:
            return (False, VALID, (end, None))
    return (not negated, operator, args)


def _int(argument: int | None) -> int:
    if argument is None:
        raise ValueError("a residual literal lacks an argument")
    return argument


def clause_holds(
    clause: Clause, caller: CallerFacts, resource: ResourceFacts, action: Action, now: int
) -> bool:
    """True where any literal of the clause holds; `now` in microseconds.

    ValueError for an operator that we do not have.
    """
    return any(
        _test(operator, args, caller, resource, action, now) != negated
        for negated, operator, args in clause
    )


def _test(
    operator: str,
    args: tuple[int | None, ...],
    caller: CallerFacts,
    resource: ResourceFacts,
    action: Action,
    now: int,
) -> bool:
    match operator:
        case "actor":
            return not caller.closure.isdisjoint(args)
        case "deny_actor":
            return not caller.deny_closure.isdisjoint(args)
        case "action":
            return bool(int(action) & _int(args[0]))
        case "purpose":
            return bool(caller.purpose & _int(args[0]))
        case "valid":
            start, end = args
            return (start is None or start <= now) and (end is None or now < end)
        case "types":
            return resource.type_code in args
        case "labels":
            return bool(resource.labels & _int(args[0]))
        case "inside":
            return _inside(resource, args)
        case "codes":
            return not resource.codes.isdisjoint(args)
        case "instance":
            return resource.rid in args
        case "related":
            return resource.rid in args or not resource.referenced_by.isdisjoint(args)
        case "dependents":
            return resource.rid in args or not resource.references.isdisjoint(args)
        case "author":
            return not resource.authors.isdisjoint(args)
        case _:
            raise ValueError("unknown residual operator")


def _inside(resource: ResourceFacts, args: tuple[int | None, ...]) -> bool:
    if resource.clinical_from is None or resource.clinical_to is None:
        return False
    start, end = args
    return (start is None or start <= micros(resource.clinical_from)) and (
        end is None or micros(resource.clinical_to) <= end
    )
