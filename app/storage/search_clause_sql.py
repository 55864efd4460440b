"""Clauses of a search as SQL conditions on a row of resources, consent inside every one of them.

Each condition asks of `row.rid` whether rows of the index exist. Every row that is looked at on the way,
and every resource that a chain passes, is held against the caller's predicate by itself
(docs/consent.md, attack 5), so that nothing hidden can make a condition true or false.

Ranges are compared with operators that are leakproof, so that they use their index under row-level
security: text by `~>=~` and `~<~`, numbers as double precision.
Neighbours: `app.fhir_mappings.search_clauses` (what is rendered), `app.storage.search_sql`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Final

from app.errors import IssueCode, fhir_error
from app.fhir_mappings.search_clauses import (
    AllOf,
    AnyOf,
    ChainClause,
    Clause,
    CompositeClause,
    DateClause,
    DateRange,
    HierarchyClause,
    IdClause,
    LastUpdatedClause,
    NearClause,
    Not,
    NumberClause,
    NumberRange,
    StringClause,
    TerminologyClause,
    TextClause,
    TokenClause,
)
from app.storage import elements, predicate

_EARTH_KM: Final = 6371.0088
_DEGREE_KM: Final = _EARTH_KM * math.pi / 180


@dataclass(slots=True)
class Statement:
    """Text in the making; own parameters begin after the caller's.

    probing: ask each condition of one row after the other, where what is walked is narrow. Otherwise the
    planner may turn a condition round and begin with the rows that satisfy it.
    """

    probing: bool = False
    arguments: list[Any] = field(default_factory=list)
    names: count[int] = field(default_factory=lambda: count(1))

    def add(self, value: Any, sql_type: str) -> str:
        """A statement parameter for a value."""
        self.arguments.append(value)
        return f"${predicate.QUERY_PARAMETERS + len(self.arguments)}::{sql_type}"

    def exists(self, rows: str) -> str:
        """True where `rows` (FROM and WHERE) are any. The form with LIMIT is never made a join."""
        if self.probing:
            return f"coalesce((SELECT true FROM {rows} LIMIT 1), false)"
        return f"EXISTS (SELECT FROM {rows})"

    def alias(self) -> str:
        """A table alias that is used once."""
        return f"x{next(self.names)}"


def condition(clause: Clause, row: str, statement: Statement) -> str:
    """SQL that is true where the resource of table alias `row` satisfies the clause.

    row: a table with the columns rid, last_updated and those of the predicate. FhirError
    (not-supported) for a clause about terminology that was not expanded before.
    """
    match clause:
        case TokenClause(keys=keys, negated=negated):
            present = _exists("index_token", "", row, _in("{a}.hash", keys, statement), statement)
            return f"NOT {present}" if negated else present
        case StringClause() | DateClause() | NumberClause():
            return _typed(clause, row, "", statement)
        case CompositeClause(alternatives):
            return _any([_composite(each, row, statement) for each in alternatives])
        case LastUpdatedClause(alternatives):
            end = f"({row}.last_updated + interval '1 microsecond')"
            return _any(
                [_dates(each, f"{row}.last_updated", end, statement) for each in alternatives]
            )
        case IdClause(ids):
            alias = statement.alias()
            wanted = statement.add(list(ids), "text[]")
            return statement.exists(
                f"tl.resource {alias} WHERE {alias}.rid = {row}.rid AND {alias}.id = ANY ({wanted})"
            )
        case ChainClause():
            return _chain(clause, row, statement)
        case TextClause(column, query):
            alias = statement.alias()
            words = statement.add(query, "text")
            # All rows of a resource that may be seen together: a word may stand in an element of its own.
            return (
                f"coalesce((SELECT tl.words({alias}.{column}) FROM tl.index_text {alias} "
                f"WHERE {alias}.rid = {row}.rid AND {predicate.for_query(alias)}) "
                f"@@ websearch_to_tsquery('simple', {words}), false)"
            )
        case NearClause():
            return _near(clause, row, statement)
        case HierarchyClause():
            return _hierarchy(clause, row, statement)
        case AnyOf(clauses):
            return _any([condition(each, row, statement) for each in clauses])
        case AllOf(clauses):
            return _all([condition(each, row, statement) for each in clauses])
        case Not(inner):
            return f"NOT coalesce({condition(inner, row, statement)}, false)"
        case TerminologyClause(name=name):
            raise fhir_error(
                IssueCode.NOT_SUPPORTED, "Value sets and hierarchies cannot be used here.", name
            )


def _any(tests: Sequence[str]) -> str:
    return f"({' OR '.join(tests)})" if tests else "false"


def _all(tests: Sequence[str]) -> str:
    return f"({' AND '.join(tests)})" if tests else "true"


def _in(column: str, keys: Sequence[int], statement: Statement) -> str:
    # One key is compared by itself: its own statistics tell how many rows it has.
    if len(keys) == 1:
        return f"{column} = {statement.add(keys[0], 'bigint')}"
    return f"{column} = ANY ({statement.add(list(keys), 'bigint[]')})"


def _exists(table: str, item: str, row: str, tests: str, statement: Statement) -> str:
    alias = statement.alias()
    same_item = f"AND {alias}.item = {item} " if item else ""
    return statement.exists(
        f"tl.{table} {alias} WHERE {alias}.rid = {row}.rid {same_item}"
        f"AND {tests.replace('{a}', alias)} AND {predicate.for_query(alias)}"
    )


def _typed(
    clause: StringClause | DateClause | NumberClause, row: str, item: str, statement: Statement
) -> str:
    match clause:
        case StringClause(keys, mode, values):
            if mode in ("starts", "below", "exact") and len(values) > 1:
                one = [StringClause(keys, mode, (each,)) for each in values]
                return _any([_typed(each, row, item, statement) for each in one])
            tests = f"{_in('{a}.hash', keys, statement)} AND {_strings(clause, statement)}"
            return _exists("index_string", item, row, tests, statement)
        case DateClause(keys, dates):
            found = _any([_dates(each, "{a}.low", "{a}.high", statement) for each in dates])
            tests = f"{_in('{a}.hash', keys, statement)} AND {found}"
            return _exists("index_date", item, row, tests, statement)
        case NumberClause(numbers):
            each = [
                _exists("index_number", item, row, _number(test, statement), statement)
                for test in numbers
            ]
            return _any(each)


def _strings(clause: StringClause, statement: Statement) -> str:
    values = clause.values
    match clause.mode:
        case "exact":
            return f"{{a}}.exact = {statement.add(values[0], 'text')}"
        case "starts":
            return _prefix(values[0], statement)
        case "below":
            whole = statement.add(values[0], "text")
            return f"({{a}}.normalized = {whole} OR {_prefix(_folder(values[0]), statement)})"
        case "contains" | "ends":
            begin = "%" if clause.mode == "contains" else ""
            patterns = [f"%{_like(value)}{begin}" for value in values]
            return f"{{a}}.normalized LIKE ANY ({statement.add(patterns, 'text[]')})"


def _folder(uri: str) -> str:
    return uri if uri.endswith("/") else f"{uri}/"


def _prefix(value: str, statement: Statement) -> str:
    low = f"{{a}}.normalized ~>=~ {statement.add(value, 'text')}"
    beyond = _successor(value)
    return (
        low
        if beyond is None
        else f"({low} AND {{a}}.normalized ~<~ {statement.add(beyond, 'text')})"
    )


def _successor(text: str) -> str | None:
    """The first text, by code points, after all that begin with this one; None where there is none."""
    for length in range(len(text), 0, -1):
        point = ord(text[length - 1])
        if point < 0x10FFFF:
            # Surrogates are no characters: what follows U+D7FF is U+E000.
            after = 0xE000 if point == 0xD7FF else point + 1
            return text[: length - 1] + chr(after)
    return None


def _like(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _dates(clause: DateRange, low: str, high: str, statement: Statement) -> str:
    # The parameter's range [a, b) against the row's [low, high); hl7.org/fhir/R4/search.html#prefix.
    first, last = clause.low, clause.high
    if clause.prefix == "ap":
        now = datetime.now(UTC)
        margin = abs(now - (first or last or now)) / 10
        first, last = _shift(first, -margin), _shift(last, margin)

    def bound(moment: datetime | None, unbounded: str) -> str:
        return statement.add(moment, "timestamptz") if moment else f"'{unbounded}'::timestamptz"

    def a() -> str:
        return bound(first, "-infinity")

    def b() -> str:
        return bound(last, "infinity")

    match clause.prefix:
        case "eq":
            return f"({low} >= {a()} AND {high} <= {b()})"
        case "ne":
            return f"NOT ({low} >= {a()} AND {high} <= {b()})"
        case "gt":
            return f"{high} > {b()}"
        case "ge":
            return f"({high} > {b()} OR ({low} >= {a()} AND {high} <= {b()}))"
        case "lt":
            return f"{low} < {a()}"
        case "le":
            return f"({low} < {a()} OR ({low} >= {a()} AND {high} <= {b()}))"
        case "sa":
            return f"{low} >= {b()}"
        case "eb":
            return f"{high} <= {a()}"
        case "ap" | "po":
            return f"({low} < {b()} AND {high} > {a()})"


def _shift(moment: datetime | None, by: timedelta) -> datetime | None:
    try:
        return None if moment is None else moment + by
    except OverflowError:
        return None


def _number(test: NumberRange, statement: Statement) -> str:
    # The row's closed range [low, high] against the number; with a prefix its precision is ignored.
    def number(value: float) -> str:
        return statement.add(value, "float8")

    match test.prefix:
        case "eq":
            found = f"({{a}}.low >= {number(test.low)} AND {{a}}.high < {number(test.high)})"
        case "ne":
            found = f"NOT ({{a}}.low >= {number(test.low)} AND {{a}}.high < {number(test.high)})"
        case "gt":
            found = f"{{a}}.high > {number(test.value)}"
        case "ge":
            found = f"{{a}}.high >= {number(test.value)}"
        case "lt":
            found = f"{{a}}.low < {number(test.value)}"
        case "le":
            found = f"{{a}}.low <= {number(test.value)}"
        case "sa":
            found = f"{{a}}.low > {number(test.value)}"
        case "eb":
            found = f"{{a}}.high < {number(test.value)}"
        case "ap":
            found = f"({{a}}.low <= {number(test.high)} AND {{a}}.high >= {number(test.low)})"
    return f"{_in('{a}.hash', test.keys, statement)} AND {found}"


def _composite(clauses: Sequence[Clause], row: str, statement: Statement) -> str:
    """All components by rows of one item: the first component's row says which."""
    first, *others = clauses
    alias = statement.alias()
    tests = [_component(each, row, f"{alias}.item", statement) for each in others]
    if not isinstance(first, TokenClause):
        raise TypeError("a composite begins with a token")
    return statement.exists(
        f"tl.index_token {alias} WHERE {alias}.rid = {row}.rid "
        f"AND {_in(f'{alias}.hash', first.keys, statement)} AND {predicate.for_query(alias)} "
        f"AND {_all(tests)}"
    )


def _component(clause: Clause, row: str, item: str, statement: Statement) -> str:
    match clause:
        case TokenClause(keys=keys):
            return _exists("index_token", item, row, _in("{a}.hash", keys, statement), statement)
        case StringClause() | DateClause() | NumberClause():
            return _typed(clause, row, item, statement)
        case _:
            raise TypeError("a component is a token, a string, a date, a number or a reference")


def _chain(clause: ChainClause, row: str, statement: Statement) -> str:
    link, other = statement.alias(), statement.alias()
    near, far = ("target", "source") if clause.reverse else ("source", "target")
    tests = [f"NOT {other}.deleted", predicate.for_query(other)]
    if clause.types:
        types = statement.add(list(clause.types), "smallint[]")
        tests.append(f"{other}.type = ANY ({types})")
    ids = [each for each in clause.clauses if isinstance(each, IdClause)]
    tests += [f"{other}.id = ANY ({statement.add(list(each.ids), 'text[]')})" for each in ids]
    tests += [
        condition(each, other, statement)
        for each in clause.clauses
        if not isinstance(each, IdClause)
    ]
    meets = " AND ".join(tests)
    linked = statement.exists(
        f"tl.link {link} JOIN tl.resource {other} ON {other}.rid = {link}.{far} "
        f"WHERE {link}.{near} = {row}.rid AND {_in(f'{link}.parameter', clause.keys, statement)} "
        f"AND {elements.followed(link)} AND {meets}"
    )
    if not clause.named:
        return linked
    # Definitions are named by URL: who names (a) and what is called so (b) are joined when asked.
    a, b = statement.alias(), statement.alias()
    near, far = (b, a) if clause.reverse else (a, b)
    called = statement.exists(
        f"tl.index_string {a} JOIN tl.index_string {b} ON {same_name(a, b)} "
        f"AND {_in(f'{b}.hash', clause.named, statement)} "
        f"JOIN tl.resource {other} ON {other}.rid = {far}.rid "
        f"WHERE {near}.rid = {row}.rid AND {_in(f'{a}.hash', clause.naming, statement)} "
        f"AND {predicate.for_query(a)} AND {predicate.for_query(b)} AND {meets}"
    )
    return f"({linked} OR {called})"


def same_name(naming: str, named: str) -> str:
    """SQL: that a row of what canonicals name names the resource of a row of what resources are called."""
    return (
        f"{named}.normalized = {naming}.normalized "
        f"AND ({naming}.exact = '' OR {naming}.exact = {named}.exact)"
    )


def _near(clause: NearClause, row: str, statement: Statement) -> str:
    """Latitude by its index, longitude and distance (haversine) beside it; both of the same position."""
    a, b = statement.alias(), statement.alias()
    latitude = statement.add(clause.latitude, "float8")
    longitude = statement.add(clause.longitude, "float8")
    margin = statement.add(clause.kilometres / _DEGREE_KM, "float8")
    reach = statement.add(clause.kilometres, "float8")
    distance = (
        f"{2 * _EARTH_KM} * asin(least(1, sqrt(power(sind(({a}.low - {latitude}) / 2), 2) "
        f"+ cosd({latitude}) * cosd({a}.low) * power(sind(({b}.low - {longitude}) / 2), 2))))"
    )
    return (
        f"EXISTS (SELECT FROM tl.index_number {a} JOIN tl.index_number {b} "
        f"ON {b}.rid = {a}.rid AND {b}.item = {a}.item "
        f"WHERE {a}.rid = {row}.rid AND {_in(f'{a}.hash', (clause.latitude_key,), statement)} "
        f"AND {_in(f'{b}.hash', (clause.longitude_key,), statement)} "
        f"AND {a}.low BETWEEN {latitude} - {margin} AND {latitude} + {margin} "
        f"AND {distance} <= {reach} AND {predicate.for_query(a)} AND {predicate.for_query(b)})"
    )


def _hierarchy(clause: HierarchyClause, row: str, statement: Statement) -> str:
    """References to the resource named or to what lies below (above) it; each step is itself visible."""
    tree, start, link, other, last = (statement.alias() for _ in range(5))
    near, far = ("target", "source") if clause.below else ("source", "target")
    type_ = statement.add(clause.type, "smallint")
    climbs = _in(f"{link}.parameter", clause.climb_keys, statement)
    return (
        f"EXISTS (WITH RECURSIVE {tree}(rid) AS (SELECT {start}.rid FROM tl.resource {start} "
        f"WHERE {start}.type = {type_} AND {start}.id = {statement.add(clause.id, 'text')} "
        f"AND NOT {start}.deleted AND {predicate.for_query(start)} "
        f"UNION SELECT {other}.rid FROM {tree} JOIN tl.link {link} ON {link}.{near} = {tree}.rid "
        f"AND {climbs} AND {elements.followed(link)} JOIN tl.resource {other} ON {other}.rid = {link}.{far} "
        f"AND NOT {other}.deleted AND {predicate.for_query(other)}) "
        f"SELECT FROM {tree} JOIN tl.link {last} ON {last}.target = {tree}.rid "
        f"WHERE {last}.source = {row}.rid AND {_in(f'{last}.parameter', clause.keys, statement)} "
        f"AND {elements.followed(last)})"
    )
