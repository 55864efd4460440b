"""Denies taken away from regions, exactly and within bounds.

A deny holds where every provision on its path matches, itself included, and none of its exceptions
does: a conjunction K. Region minus K is the union, over the conditions of K, of the region with
that condition refused; an exception contributes the region with the exception matched. Each part
is a region again, so columns say most of it. Where the parts would grow past the room given, the
union is written as residual clauses instead.

Bound: where such clauses would pass `CLAUSES`, further parts are left out. That narrows the
permit, never widens it, and it takes a deny with very many unlike exceptions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from app.consent import residual as op
from app.consent.algebra import (
    Disjunction,
    Region,
    absorbed,
    clause_order,
    meet_all,
    merged,
    simplify,
    status,
    subsumes,
)
from app.consent.model import Clause
from app.consent.provision import Provision

CLAUSES: Final = 256
"""How many residual clauses one deny may add to one region."""


class Denial(NamedTuple):
    """One deny provision as the parts of its complement; a region less the deny is their union.

    parts: conjunctions of clauses. named, with_actor, emergency: which grants it is taken from.
    """

    parts: tuple[tuple[Clause, ...], ...]
    named: bool
    with_actor: bool
    emergency: bool


def denial(path: Sequence[Provision], *, trusted: bool) -> Denial:
    """The denial of the deny at the end of a path.

    trusted: the Consent is enforceable. Else its exceptions, being permits, do not count, and what
    could not be recognised on the way is taken to match.
    """
    deny = path[-1]
    parts: set[tuple[Clause, ...]] = {
        tuple((op.negate(literal),) for literal in clause)
        for provision in path
        for clause in (provision.clauses if trusted else provision.wide)
    }
    if trusted:
        parts |= {exception.clauses for exception in deny.exceptions}
    ordered = sorted(parts, key=lambda part: (len(part), str(part)))
    return Denial(tuple(ordered), deny.named, deny.actors is not None, deny.emergency)


def subtract(region: Region, denial: Denial, room: int) -> list[Region]:
    """The region less the deny, in at most `room` regions (or one), none within another."""
    for part in denial.parts:
        if len(part) == 1 and len(part[0]) == 1 and status(region, part[0][0]):
            return [region]
    found: list[Region] = []
    living: list[tuple[Clause, ...]] = []
    for part in denial.parts:
        met = meet_all(region, part)
        if met is region:
            return [region]
        if met is not None:
            found.append(met)
            living.append(part)
    if len(found) <= 1:
        return found
    found = absorbed(found)
    if len(found) <= max(room, 1):
        return found
    narrowed = meet_all(region, _distributed(region, living))
    return [] if narrowed is None else [narrowed]


def _distributed(region: Region, parts: Iterable[tuple[Clause, ...]]) -> list[Disjunction]:
    """The union of the parts over the region, in conjunctive form."""
    union: list[Disjunction] = [frozenset()]
    for part in parts:
        factors = [left for left in (simplify(region, c) for c in part) if left is not None]
        product = _pruned(merged(one | other) for one in union for other in factors)
        if len(product) <= CLAUSES:
            union = product
    return sorted(union, key=clause_order)


def _pruned(clauses: Iterable[Disjunction]) -> list[Disjunction]:
    """The clauses without those that another implies."""
    kept: list[Disjunction] = []
    for clause in sorted(set(clauses), key=len):
        if not any(subsumes(held, clause) for held in kept):
            kept.append(clause)
    return kept
