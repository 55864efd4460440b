"""What a search asks, as typed clauses: a small language between parameters and SQL.

Keys are those of `app.fhir_mappings.search_keys`, so that a clause holds no name of a parameter, and a
value only where rows hold it (strings, dates, numbers). A clause over several resource types is
the clause of each with the keys of all (`merged`): a row of one type never has a key of another.

`app.fhir_mappings.search_reading` makes them of parameters, `app.fhir_mappings.search_filter` of
`_filter`; `app.storage.search_clause_sql` renders them.
Pinned: hl7.org/fhir/R4/search.html#ptypes, #modifiers, #prefix, #chaining, #has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, TypeAlias

Prefix: TypeAlias = Literal["eq", "ne", "gt", "ge", "lt", "le", "sa", "eb", "ap"]
StringMode: TypeAlias = Literal["starts", "exact", "contains", "ends", "below"]
TextColumn: TypeAlias = Literal["narrative", "content"]


@dataclass(frozen=True, slots=True)
class TokenClause:
    """A token row with any of `keys` exists; where `negated`, none does.

    For token, reference and uri parameters, and for presence (`:missing`) of every type: then
    `missing` is what was asked and `negated` is the same.
    patient: every alternative references a Patient, or may; such a clause drives a search.
    """

    keys: tuple[int, ...]
    negated: bool = False
    missing: bool | None = None
    patient: bool = False


@dataclass(frozen=True, slots=True)
class StringClause:
    """A string row under any of `keys` matches any of `values`.

    starts, contains, ends: values are normalized, to be held against the normalized column. exact:
    values are as `app.fhir_mappings.string_rows.exact` makes them, for the exact column. below: rows
    are URIs, and one is a value or continues it after a slash.
    """

    keys: tuple[int, ...]
    mode: StringMode
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DateRange:
    """A prefix and the range of the date as written: low inclusive, high exclusive, UTC.

    None is unbounded (a date at the end of the calendar). `ap` carries the range as written; how
    much wider it is taken depends on the present time, which is not known here. `po`, of `_filter` alone,
    asks for any overlap.
    """

    prefix: Prefix | Literal["po"]
    low: datetime | None
    high: datetime | None


@dataclass(frozen=True, slots=True)
class DateClause:
    """A date row under any of `keys` satisfies any of `alternatives`."""

    keys: tuple[int, ...]
    alternatives: tuple[DateRange, ...]


@dataclass(frozen=True, slots=True)
class NumberRange:
    """A prefix and a number: `value` as written, [low, high) as wide as its precision.

    keys: of the rows that can be compared, which for a quantity depend on its unit.
    """

    keys: tuple[int, ...]
    prefix: Prefix
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class NumberClause:
    """A number row satisfies any of `alternatives`."""

    alternatives: tuple[NumberRange, ...]


@dataclass(frozen=True, slots=True)
class LastUpdatedClause:
    """`last_updated` satisfies any of `alternatives`."""

    alternatives: tuple[DateRange, ...]


@dataclass(frozen=True, slots=True)
class IdClause:
    """The logical id is one of `ids`."""

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CompositeClause:
    """One element of the resource satisfies every component of an alternative.

    alternatives: each the clauses of its components, all held by rows of the same item.
    """

    alternatives: tuple[tuple[Clause, ...], ...]


@dataclass(frozen=True, slots=True)
class ChainClause:
    """A resource referenced by this one (forward), or referencing it (reverse, `_has`), matches.

    keys: of the reference parameter. types: codes of the types that the other resource may have,
    () for any. The other resource must itself be visible to the caller. naming, named: where the
    parameter is of canonicals, the keys of `app.fhir_mappings.canonicals` on its side and on the other.
    """

    keys: tuple[int, ...]
    types: tuple[int, ...]
    clauses: tuple[Clause, ...]
    reverse: bool = False
    naming: tuple[int, ...] = ()
    named: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class TextClause:
    """The text index of the resource matches; query: words, "phrases", or, -not."""

    column: TextColumn
    query: str


@dataclass(frozen=True, slots=True)
class NearClause:
    """Within a distance of a place on earth: degrees, and kilometres."""

    latitude_key: int
    longitude_key: int
    latitude: float
    longitude: float
    kilometres: float


@dataclass(frozen=True, slots=True)
class TerminologyClause:
    """A token row whose code lies in a value set, or above or below a code; not yet expanded.

    modifier: in, not-in, above, below. system: of the code for above and below. value: the value
    set's URL or `ValueSet/id`, or the code. pairs: (resource type, parameter) whose tokens are asked.
    """

    modifier: Literal["in", "not-in", "above", "below"]
    system: str
    value: str
    pairs: tuple[tuple[str, str], ...]
    name: str


@dataclass(frozen=True, slots=True)
class HierarchyClause:
    """A reference leads to a resource in the hierarchy of another (`:above`, `:below`).

    keys: of the reference parameter. climb_keys: of the parameter by which a target names what is above
    it. types, ids: where the hierarchy begins.
    """

    keys: tuple[int, ...]
    climb_keys: tuple[int, ...]
    type: int
    id: str
    below: bool


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Any of the clauses holds."""

    clauses: tuple[Clause, ...]


@dataclass(frozen=True, slots=True)
class AllOf:
    """All of the clauses hold."""

    clauses: tuple[Clause, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The clause does not hold."""

    clause: Clause


Clause: TypeAlias = (
    TokenClause
    | StringClause
    | DateClause
    | NumberClause
    | LastUpdatedClause
    | IdClause
    | CompositeClause
    | ChainClause
    | TextClause
    | NearClause
    | TerminologyClause
    | HierarchyClause
    | AnyOf
    | AllOf
    | Not
)


def merged(clauses: Sequence[Clause]) -> Clause:
    """One clause that holds where the clause of the resource's own type does.

    clauses: the same parameter read for each type. Where their shapes differ, any of them.
    """
    first = clauses[0]
    if len(clauses) == 1 or all(each == first for each in clauses):
        return first
    shape = _bare(first)
    if shape is not None and all(_bare(each) == shape for each in clauses):
        keys = tuple(dict.fromkeys(key for each in clauses for key in getattr(each, "keys", ())))
        return replace(shape, keys=keys)  # type: ignore[arg-type]
    negated = [
        each
        for each in clauses
        if isinstance(each, Not) or (isinstance(each, TokenClause) and each.negated)
    ]
    # A negation over several types holds only where each does: the keys of other types never match.
    return AllOf(tuple(clauses)) if len(negated) == len(clauses) else AnyOf(tuple(clauses))


def _bare(clause: Clause) -> Clause | None:
    match clause:
        case TokenClause() | StringClause() | DateClause():
            return replace(clause, keys=())
        case ChainClause() if not clause.reverse:
            return replace(clause, keys=())
        case _:
            return None


def rewritten(clause: Clause, change: Callable[[Clause], Clause]) -> Clause:
    """The clause with `change` applied to every clause within it, innermost first."""
    match clause:
        case AnyOf(inner):
            clause = AnyOf(_each(inner, change))
        case AllOf(inner):
            clause = AllOf(_each(inner, change))
        case Not(inner_clause):
            clause = Not(rewritten(inner_clause, change))
        case ChainClause():
            clause = replace(clause, clauses=_each(clause.clauses, change))
        case CompositeClause(alternatives):
            clause = CompositeClause(tuple(_each(each, change) for each in alternatives))
    return change(clause)


def _each(clauses: Iterable[Clause], change: Callable[[Clause], Clause]) -> tuple[Clause, ...]:
    return tuple(rewritten(each, change) for each in clauses)
