"""Regions: grants while they are being compiled, and the exact algebra on them.

A `Region` is a grant whose instants are integers and whose residual is a set of clauses, those of
one literal apart. A condition is met with a region by narrowing a column where a column can say it
exactly, else by a residual clause; a condition that the columns already decide is dropped, and a
region that has become empty is None.
Neighbours: `app.consent.subtraction` (denies), `app.consent.compile`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import lru_cache
from typing import Final, NamedTuple

from app.consent import labels, purposes
from app.consent import residual as op
from app.consent.model import ANYONE, Literal

Disjunction = frozenset[Literal]
"""A clause without order, so that equal clauses are equal."""


class Region(NamedTuple):
    """A grant being compiled; see `app.consent.model.Grant` for the meaning of the columns.

    Instants are microseconds since the epoch. valid_from is never before the time of compiling:
    no statement will be judged at an earlier one. held, residual: together the grant's residual; held are
    the clauses that are one literal.
    """

    grantee: int
    valid_from: int
    actions: int = op.ALL_ACTIONS
    purposes: int = purposes.ALL
    valid_to: int | None = None
    excluded: frozenset[int] = frozenset()
    custodian: int | None = None
    types: frozenset[int] | None = None
    not_types: frozenset[int] = frozenset()
    forbidden: int = 0
    any_of: int = 0
    data_from: int | None = None
    data_to: int | None = None
    held: frozenset[Literal] = frozenset()
    residual: frozenset[Disjunction] = frozenset()


def status(region: Region, literal: Literal) -> bool | None:
    """Whether the literal is true, or false, all over the region; None where it depends."""
    negated, operator, args = literal
    positive = _positive(region, operator, args)
    if positive is None:
        return _by_held(region, literal) if region.held and operator in op.SETS else None
    return positive != negated


def _positive(region: Region, operator: str, args: tuple[int | None, ...]) -> bool | None:
    # Nothing else is asked as often: the operators that most denies are made of come first.
    match operator:
        case op.VALID:
            return _valid(region, args)
        case op.ACTOR | op.DENY_ACTOR:
            if not args or region.excluded.issuperset(args):
                return False
            # The deny closure holds the closure, so a grantee's own caller is in both.
            return True if region.grantee in args else None
        case op.LABELS:
            return _labels(region, args[0] or 0)
        case op.PURPOSE | op.ACTION:
            held = region.purposes if operator == op.PURPOSE else region.actions
            inside = held & (args[0] or 0)
            return True if inside == held else None if inside else False
        case op.INSIDE:
            return _inside(region, args)
        case op.TYPES:
            return _types(region, args)
        case _:
            return None if args else False


def _labels(region: Region, mask: int) -> bool | None:
    allowed = mask & ~region.forbidden
    if not allowed:
        return False
    if region.any_of and not region.any_of & ~mask:
        return True
    # A resource carries exactly one confidentiality bit.
    return None if labels.ALL_CONFIDENTIALITY & ~region.forbidden & ~mask else True


def _types(region: Region, args: tuple[int | None, ...]) -> bool | None:
    if region.types is not None:
        shared = region.types.intersection(a for a in args if a is not None)
        return True if len(shared) == len(region.types) else None if shared else False
    return False if region.not_types.issuperset(args) else None


def _valid(region: Region, args: tuple[int | None, ...]) -> bool | None:
    start, end = args
    if (start is None or start <= region.valid_from) and (
        end is None or (region.valid_to is not None and region.valid_to <= end)
    ):
        return True
    after = start is not None and region.valid_to is not None and region.valid_to <= start
    before = end is not None and end <= region.valid_from
    return False if after or before else None


def _inside(region: Region, args: tuple[int | None, ...]) -> bool | None:
    start, end = args
    if region.data_from is None and region.data_to is None:
        return None
    if (start is None or (region.data_from is not None and region.data_from >= start)) and (
        end is None or (region.data_to is not None and region.data_to <= end)
    ):
        return True
    after = start is not None and region.data_to is not None and region.data_to < start
    before = end is not None and region.data_from is not None and region.data_from > end
    return False if after or before else None


def _by_held(region: Region, literal: Literal) -> bool | None:
    """What the literals that must hold say about a literal on a set."""
    opposite = op.negate(literal)
    for held in region.held:
        if implies(held, literal):
            return True
        if implies(held, opposite):
            return False
    return None


def implies(one: Literal, other: Literal) -> bool:
    """True where `one` can be seen to imply `other`: the same operator, a smaller set or mask."""
    if one == other:
        return True
    if one[0] != other[0] or one[1] != other[1]:
        return False
    narrow, wide = (other, one) if one[0] else (one, other)
    if one[1] in op.SETS:
        return set(narrow[2]) <= set(wide[2])
    if one[1] in op.MASKS:
        return not (narrow[2][0] or 0) & ~(wide[2][0] or 0)
    return False


def subsumes(one: Disjunction, other: Disjunction) -> bool:
    """True where clause `one` can be seen to imply clause `other`."""
    # Most pairs differ in what they speak of at all.
    return _heads(one) <= _heads(other) and _subsumes(one, other)


@lru_cache(maxsize=1 << 13)
def _subsumes(one: Disjunction, other: Disjunction) -> bool:
    return all(any(implies(a, b) for b in other) for a in one)


@lru_cache(maxsize=1 << 13)
def _heads(clause: Disjunction) -> frozenset[tuple[bool, str]]:
    return frozenset((negated, operator) for negated, operator, _ in clause)


def meet(region: Region, literal: Literal) -> Region | None:
    """The region where the literal holds too; the same object where it held already."""
    known = status(region, literal)
    if known is not None:
        return region if known else None
    negated, operator, args = literal
    match operator:
        case op.PURPOSE if not negated:
            return region._replace(purposes=region.purposes & (args[0] or 0))
        case op.ACTION if not negated:
            return region._replace(actions=region.actions & (args[0] or 0))
        case op.LABELS:
            return _meet_labels(region, literal)
        case op.TYPES:
            members = frozenset(a for a in args if a is not None)
            if negated and region.types is None:
                return region._replace(not_types=region.not_types | members)
            held = region.types if region.types is not None else members
            kept = held - members if negated else (held & members) - region.not_types
            return region._replace(types=kept, not_types=frozenset())
        case op.DENY_ACTOR if negated:
            return region._replace(excluded=region.excluded.union(a for a in args if a is not None))
        case op.ACTOR if not negated and region.grantee == ANYONE and len(args) == 1:
            return region._replace(grantee=args[0] or 0)
        case op.VALID if not negated:
            return _meet_valid(region, args)
        case op.INSIDE if not negated and args != (None, None):
            return _meet_inside(region, args)
        case _:
            return region._replace(held=region.held | {literal})


def may_be_said(literal: Literal) -> bool:
    """False where no column can carry the literal, whatever the region: `meet` adds to what is held."""
    negated, operator, _ = literal
    if negated:
        return operator in {op.LABELS, op.TYPES, op.DENY_ACTOR}
    return operator in {op.PURPOSE, op.ACTION, op.LABELS, op.TYPES, op.ACTOR, op.VALID, op.INSIDE}


def _meet_labels(region: Region, literal: Literal) -> Region:
    negated, _, args = literal
    mask = args[0] or 0
    if negated:
        # status() has seen to it that any_of keeps a bit and that a confidentiality is left.
        return region._replace(forbidden=region.forbidden | mask, any_of=region.any_of & ~mask)
    wanted = mask & ~region.forbidden
    if not region.any_of or not wanted & ~region.any_of:
        return region._replace(any_of=wanted)
    held: Literal = (False, op.LABELS, (wanted,))
    return region._replace(held=region.held | {held})


def _meet_valid(region: Region, args: tuple[int | None, ...]) -> Region | None:
    start, end = args
    valid_from = region.valid_from if start is None else max(region.valid_from, start)
    ends = [e for e in (region.valid_to, end) if e is not None]
    valid_to = min(ends) if ends else None
    if valid_to is not None and valid_to <= valid_from:
        return None
    return region._replace(valid_from=valid_from, valid_to=valid_to)


def _meet_inside(region: Region, args: tuple[int | None, ...]) -> Region | None:
    starts = [s for s in (region.data_from, args[0]) if s is not None]
    ends = [e for e in (region.data_to, args[1]) if e is not None]
    data_from = max(starts) if starts else None
    data_to = min(ends) if ends else None
    if data_from is not None and data_to is not None and data_to < data_from:
        return None
    return region._replace(data_from=data_from, data_to=data_to)


def simplify(region: Region, clause: Iterable[Literal]) -> Disjunction | None:
    """What is left of a clause over the region: None if it holds all over, empty if nowhere."""
    left: list[Literal] = []
    for literal in clause:
        known = status(region, literal)
        if known:
            return None
        if known is None:
            left.append(literal)
    return merged(left)


def meet_clause(region: Region, clause: Collection[Literal]) -> Region | None:
    """The region where one literal of the clause holds too."""
    if len(clause) == 1:
        (only,) = clause
        return meet(region, only)
    left = simplify(region, clause)
    if left is None:
        return region
    if not left:
        return None
    if len(left) == 1:
        (literal,) = left
        return meet(region, literal)
    if left in region.residual or _implied(region.held, left):
        return region
    if any(subsumes(held, left) for held in region.residual):
        return region
    implied = [held for held in region.residual if subsumes(left, held)]
    return region._replace(residual=region.residual.difference(implied) | {left})


def meet_all(region: Region, clauses: Iterable[Collection[Literal]]) -> Region | None:
    """The region where every clause holds too; the same object where all held already."""
    met: Region | None = region
    for clause in clauses:
        if met is None:
            return None
        met = meet_clause(met, clause)
    return met


def merged(literals: Iterable[Literal]) -> Disjunction:
    """A clause with the positive literals of one operator joined into one."""
    sets: dict[str, set[int]] = {}
    masks: dict[str, int] = {}
    clause: set[Literal] = set()
    for literal in literals:
        negated, operator, args = literal
        if negated or operator not in _JOINED:
            clause.add(literal)
        elif operator in op.SETS:
            sets.setdefault(operator, set()).update(a for a in args if a is not None)
        else:
            masks[operator] = masks.get(operator, 0) | (args[0] or 0)
    clause |= {op.any_of(operator, members) for operator, members in sets.items()}
    clause |= {(False, operator, (mask,)) for operator, mask in masks.items()}
    return frozenset(clause)


_JOINED: Final = op.SETS | op.MASKS


def tidy(region: Region) -> Region | None:
    """The region with its residual simplified by the final columns: no clause that these or another imply."""
    settled = region._replace(held=frozenset(), residual=frozenset())
    clauses = pruned(region.residual)
    if not region.held and all(
        status(settled, literal) is None for clause in clauses for literal in clause
    ):
        return region._replace(residual=frozenset(clauses))
    single: list[Disjunction] = [frozenset({literal}) for literal in region.held]
    ordered = sorted(single, key=clause_order) + sorted(clauses, key=clause_order)
    return meet_all(settled, ordered)


def pruned(clauses: Iterable[Disjunction]) -> list[Disjunction]:
    """The clauses without those that another implies."""
    kept: dict[frozenset[tuple[bool, str]], list[Disjunction]] = {}
    for clause in sorted(set(clauses), key=len):
        # Most pairs differ in what they speak of at all.
        heads = _heads(clause)
        if not any(
            _subsumes(held, clause)
            for other, group in kept.items()
            if other <= heads
            for held in group
        ):
            kept.setdefault(heads, []).append(clause)
    return [clause for group in kept.values() for clause in group]


@lru_cache(maxsize=1 << 13)
def clause_order(clause: Disjunction) -> tuple[tuple[bool, str, str], ...]:
    """A key that puts clauses in the same order every time."""
    return tuple(sorted((negated, operator, str(args)) for negated, operator, args in clause))


def unsaid(region: Region) -> list[Disjunction]:
    """What the columns of a region do not say, in the same order every time."""
    single = (frozenset({literal}) for literal in region.held)
    return sorted([*single, *region.residual], key=clause_order)


def covers(wide: Region, narrow: Region) -> bool:
    """True where `narrow` can be seen to lie within `wide`."""
    return (
        wide.grantee == narrow.grantee
        and not narrow.actions & ~wide.actions
        and not narrow.purposes & ~wide.purposes
        and not wide.forbidden & ~narrow.forbidden
        and wide.valid_from <= narrow.valid_from
        and _valid(narrow, (None, wide.valid_to)) is True
        and (wide.custodian is None or wide.custodian == narrow.custodian)
        and wide.excluded <= narrow.excluded
        and (not wide.any_of or _labels(narrow, wide.any_of) is True)
        and (wide.types is None or (narrow.types is not None and narrow.types <= wide.types))
        and (not wide.not_types or _types(narrow, tuple(wide.not_types)) is False)
        and _covers_data(wide, narrow)
        and all(_holds(narrow, frozenset({literal})) for literal in wide.held - narrow.held)
        and all(_holds(narrow, clause) for clause in wide.residual - narrow.residual)
    )


def _covers_data(wide: Region, narrow: Region) -> bool:
    if wide.data_from is None and wide.data_to is None:
        return True
    return _inside(narrow, (wide.data_from, wide.data_to)) is True


def _holds(region: Region, clause: Disjunction) -> bool:
    return (
        _implied(region.held, clause)
        or any(subsumes(held, clause) for held in region.residual)
        or any(status(region, literal) for literal in clause)
    )


def _implied(held: Iterable[Literal], clause: Disjunction) -> bool:
    return any(implies(each, literal) for each in held for literal in clause)


def absorbed(regions: Iterable[Region]) -> list[Region]:
    """The regions without those that lie within another; the first of equals stays."""
    kept: list[Region] = []
    for region in regions:
        if any(covers(other, region) for other in kept):
            continue
        kept = [other for other in kept if not covers(region, other)]
        kept.append(region)
    return kept
