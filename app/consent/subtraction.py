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
from functools import lru_cache, reduce
from operator import or_
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
from app.consent.model import Clause, Literal
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
    return Denial(_in_order(parts), deny.named, deny.actors is not None, deny.emergency)


_ENDS: Final = "ends"
_UNITED: Final = (
    _ENDS,
    op.ACTOR,
    op.DENY_ACTOR,
    op.LABELS,
    op.TYPES,
    op.CODES,
    op.INSTANCE,
    op.AUTHOR,
)
"""What is joined where denies differ in nothing else: their end, or the arguments of a negated literal."""


def united(denials: Iterable[Denial], at: int) -> list[Denial]:
    """The same denies from `at` on (microseconds) in fewer, in an order that does not hang on the one given.

    A region less (S and R) and less (T and R) is the region less ((S or T) and R): so the exceptions that many
    Consents share cost one step, whoever they are for and whenever they end.
    """
    settled = (_settled(each, at) for each in denials)
    found = {each.parts: each for each in settled if each is not None}
    if len(found) < 2:
        return list(found.values())
    joinable = {_joinable(part) for parts in found for part in parts}
    for operator in _UNITED:
        if operator not in joinable:
            continue
        groups: dict[tuple[tuple[Clause, ...], ...], list[Denial]] = {}
        for each in found.values():
            own = [part for part in each.parts if _joinable(part) == operator]
            rest = tuple(part for part in each.parts if part not in own)
            groups.setdefault(rest if len(own) == 1 else each.parts, []).append(each)
        joined = [_joined(rest, group, operator) for rest, group in groups.items()]
        found = {each.parts: each for each in joined}
    return sorted(found.values(), key=lambda d: (len(d.parts), [_text(part) for part in d.parts]))


def _settled(denial: Denial, at: int) -> Denial | None:
    """The denial without the times that have passed; None where it has wholly passed."""
    parts: list[tuple[Clause, ...]] = []
    for part in denial.parts:
        if len(part) == 1 and len(part[0]) == 1:
            negated, operator, args = part[0][0]
            if operator == op.VALID and not negated:
                start, end = args
                if start is not None and start <= at and end is None:
                    return None
                if end is not None and end <= at:
                    continue
        parts.append(part)
    return denial._replace(parts=tuple(parts))


def _joinable(part: tuple[Clause, ...]) -> str | None:
    """The operator of a part that is one negated literal, or `_ENDS` of one that holds from an instant on."""
    if len(part) != 1 or len(part[0]) != 1:
        return None
    negated, operator, args = part[0][0]
    if operator == op.VALID and not negated and args[1] is None:
        return _ENDS
    return operator if negated else None


def _joined(rest: tuple[tuple[Clause, ...], ...], group: list[Denial], operator: str) -> Denial:
    """One denial for those whose parts are `rest`, or `rest` and one more of this operator."""
    whole = next((each for each in group if each.parts == rest), None)
    if whole is not None:
        # What is denied whatever the set, or for ever, is denied for this set and time, too.
        return whole
    if len(group) == 1:
        return group[0]
    args = [part[0][0][2] for each in group for part in each.parts if _joinable(part) == operator]
    members = {a for each in args for a in each if a is not None}
    if operator == _ENDS:
        literal: Literal = (False, op.VALID, (max(members), None))
    elif operator == op.LABELS:
        literal = (True, operator, (reduce(or_, members),))
    else:
        literal = op.negate(op.any_of(operator, members))
    return group[0]._replace(parts=_in_order([*rest, ((literal,),)]))


def _in_order(parts: Iterable[tuple[Clause, ...]]) -> tuple[tuple[Clause, ...], ...]:
    return tuple(sorted(parts, key=lambda part: (len(part), _text(part))))


@lru_cache(maxsize=1 << 13)
def _text(part: tuple[Clause, ...]) -> str:
    """What parts are put in order by."""
    return str(part)


def bearing(region: Region, denials: Iterable[Denial], at: int) -> list[Denial]:
    """What the denies take from a region: those first that narrow it without splitting.

    What these have narrowed, the ones after them often find done. at: as for `united`, which joins again those
    that no longer differ where only this region counts.
    """
    found: list[Denial] = []
    for each in denials:
        living: list[tuple[Clause, ...]] = []
        for part in each.parts:
            known = status(region, part[0][0]) if len(part) == 1 and len(part[0]) == 1 else None
            if known:
                break
            if known is None:
                living.append(part)
        else:
            found.append(each._replace(parts=tuple(living)))
    return united(found, at)


def subtract(region: Region, denial: Denial, room: int, spare: int) -> list[Region]:
    """The region less the deny, in at most `room` regions (or one), none within another.

    spare: the same where columns do not say it all: rows with residuals are no quicker than one with a longer.
    """
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
    said = all(len(each.residual) <= len(region.residual) for each in found)
    if len(found) <= max(room if said else min(room, spare), 1):
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
