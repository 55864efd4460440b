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

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache, reduce
from operator import or_
from typing import Final, NamedTuple

from app.consent import residual as op
from app.consent.algebra import (
    Disjunction,
    Region,
    absorbed,
    clause_order,
    may_be_said,
    meet_all,
    merged,
    pruned,
    simplify,
    status,
)
from app.consent.model import Clause, Literal
from app.consent.provision import Provision

CLAUSES: Final = 256
"""How many residual clauses one deny may add to one region."""


Parts = tuple[tuple[Clause, ...], ...]
"""Conjunctions of clauses, which together are their union."""


class Denial(NamedTuple):
    """One deny provision as the parts of its complement; a region less the deny is their union.

    parts: conjunctions of clauses. named, with_actor, emergency: which grants it is taken from.
    """

    parts: Parts
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
    return _joined_up(each for each in settled if each is not None)


def _joined_up(denials: Iterable[Denial]) -> list[Denial]:
    found = {each.parts: each for each in denials}
    choices: list[tuple[Denial, Mapping[str, Parts]]] = []
    for operator in _UNITED:
        choices = choices or [(each, _rests(each.parts)) for each in found.values()]
        if not any(operator in rests for _, rests in choices):
            continue
        groups: dict[Parts, list[Denial]] = {}
        for each, rests in choices:
            groups.setdefault(rests.get(operator, each.parts), []).append(each)
        if len(groups) < len(found):
            joined = [_joined(rest, group, operator) for rest, group in groups.items()]
            found = {each.parts: each for each in joined}
            choices = []
    return sorted(found.values(), key=lambda each: _order(each.parts))


@lru_cache(maxsize=1 << 12)
def _rests(parts: Parts) -> Mapping[str, Parts]:
    """By operator what is left of the parts without the one that can be joined by it, where one alone can."""
    operators = [_joinable(part) for part in parts]
    return {
        operator: parts[:place] + parts[place + 1 :]
        for place, operator in enumerate(operators)
        if operator is not None and operators.count(operator) == 1
    }


@lru_cache(maxsize=1 << 12)
def _order(parts: Parts) -> tuple[int, list[str]]:
    return len(parts), [_text(part) for part in parts]


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


def _joined(rest: Parts, group: list[Denial], operator: str) -> Denial:
    """One denial for those whose parts are `rest`, or `rest` and one more of this operator."""
    if len(group) == 1:
        return group[0]
    whole = next((each for each in group if each.parts == rest), None)
    if whole is not None:
        # What is denied whatever the set, or for ever, is denied for this set and time, too.
        return whole
    args = [part[0][0][2] for each in group for part in each.parts if _joinable(part) == operator]
    members = {a for each in args for a in each if a is not None}
    if operator == _ENDS:
        literal: Literal = (False, op.VALID, (max(members), None))
    elif operator == op.LABELS:
        literal = (True, operator, (reduce(or_, members),))
    else:
        literal = op.negate(op.any_of(operator, members))
    return group[0]._replace(parts=_in_order([*rest, ((literal,),)]))


def _in_order(parts: Iterable[tuple[Clause, ...]]) -> Parts:
    return tuple(sorted(parts, key=lambda part: (len(part), _text(part))))


@lru_cache(maxsize=1 << 13)
def _text(part: tuple[Clause, ...]) -> str:
    """What parts are put in order by."""
    return str(part)


def bearing(region: Region, denials: Iterable[Denial]) -> list[Denial]:
    """What the denies take from a region: those first that narrow it without splitting.

    What these have narrowed, the ones after them often find done. Those that no longer differ where only this
    region counts are joined again.
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
            narrowed = len(living) < len(each.parts)
            found.append(each._replace(parts=tuple(living)) if narrowed else each)
    return _joined_up(found)


def subtract(region: Region, denial: Denial, room: int, spare: int) -> list[Region]:
    """The region less the deny, in at most `room` regions (or one), none within another.

    spare: the same where columns do not say it all: rows with residuals are no quicker than one with a longer.
    """
    undecided: list[tuple[Clause, ...]] = []
    for part in denial.parts:
        known = status(region, part[0][0]) if len(part) == 1 and len(part[0]) == 1 else None
        if known:
            return [region]
        if known is None:
            undecided.append(part)
    if len(undecided) > max(min(room, spare), 1):
        clause = _apart(undecided)
        if clause is not None:
            # What another clause implies is left out at the end, once for all (`tidy`).
            return [region._replace(residual=region.residual | {clause})]
    found: list[Region] = []
    living: list[tuple[Clause, ...]] = []
    for part in undecided:
        met = meet_all(region, part)
        if met is region:
            return [region]
        if met is not None:
            found.append(met)
            living.append(part)
    if len(found) <= 1:
        return found
    found = absorbed(found)
    said = all(
        len(each.held) + len(each.residual) <= len(region.held) + len(region.residual)
        for each in found
    )
    if len(found) <= max(room if said else min(room, spare), 1):
        return found
    narrowed = meet_all(region, _distributed(region, living))
    return [] if narrowed is None else [narrowed]


def _apart(parts: Iterable[tuple[Clause, ...]]) -> Disjunction | None:
    """The union of the parts as one clause, where it is plain that a region less the deny is nothing simpler.

    That is where each part is one literal, no two of one kind, so that none lies within another, and where at
    least one of them is what no column can say.
    """
    literals: list[Literal] = []
    kinds: set[str] = set()
    for part in parts:
        if len(part) != 1 or len(part[0]) != 1:
            return None
        literal = part[0][0]
        literals.append(literal)
        # What excludes somebody decides whether they are the caller.
        kinds.add(op.ACTOR if literal[1] == op.DENY_ACTOR else literal[1])
    if len(kinds) < len(literals) or all(map(may_be_said, literals)):
        return None
    return frozenset(literals)


def _distributed(region: Region, parts: Iterable[tuple[Clause, ...]]) -> list[Disjunction]:
    """The union of the parts over the region, in conjunctive form."""
    union: list[Disjunction] = [frozenset()]
    for part in parts:
        factors = [left for left in (simplify(region, c) for c in part) if left is not None]
        product = pruned(merged(one | other) for one in union for other in factors)
        if len(product) <= CLAUSES:
            union = product
    return sorted(union, key=clause_order)
