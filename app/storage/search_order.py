"""The order of a page, and where a page begins: keysets instead of offsets.

A row's *place* is its sort values and, so that no two rows share one, its last update and rid. A page
begins after a place (or ends before one), so that rows inserted meanwhile shift nothing. A missing value
comes last, ascending or descending; a page that begins among the missing stays there.

Pinned: hl7.org/fhir/R4/search.html#sort, hl7.org/fhir/R4/http.html#paging.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from app.fhir_mappings.search_query import SortKey
from app.storage import elements, predicate
from app.storage.search_clause_sql import Statement

Place: TypeAlias = tuple[Any, ...]
"""Values of one row in the order of `OrderKey`s: JSON values, instants as text."""

_VALUES: Final = {
    "date": ("index_date", "low", "high", "timestamptz"),
    "string": ("index_string", "normalized", "exact", "text"),
    "number": ("index_number", "low", "high", "float8"),
}
"""Of a kind of sort key: its table, the column that sorts, one that tells equals apart, and its type."""


@dataclass(frozen=True, slots=True)
class OrderKey:
    """One key of the order. column: what it is called in the inner select."""

    column: str
    sql: str
    sql_type: str
    descending: bool
    missing: bool


@dataclass(frozen=True, slots=True)
class Order:
    """joins: LATERAL joins that make the sort values. keys: ending in a unique one."""

    joins: str
    keys: tuple[OrderKey, ...]

    def by(self, *, backward: bool, outer: bool = False) -> str:
        """ORDER BY; backward: the page before. outer: over the columns of the inner select."""
        return ", ".join(
            f"{key.column if outer else key.sql} {'DESC' if key.descending != backward else 'ASC'}"
            + (f" NULLS {'FIRST' if backward else 'LAST'}" if key.missing else "")
            for key in self.keys
        )

    def columns(self) -> str:
        """The keys as columns of the inner select."""
        return ", ".join(f"{key.sql} AS {key.column}" for key in self.keys)

    def beyond(self, place: Place, *, backward: bool, statement: Statement) -> str:
        """The rows after a place, or before it. ValueError where the place is of another order."""
        if len(place) != len(self.keys):
            raise ValueError("the place is of another order")
        return _beyond(self.keys, place, backward, statement)

    def place(self, row: Any) -> Place:
        """The place of a row that has the columns."""
        return tuple(_plain(row[key.column]) for key in self.keys)


def order_of(sort: Sequence[SortKey], row: str, statement: Statement) -> Order:
    """The order of a search, over table alias `row`."""
    keys: list[OrderKey] = []
    joins: list[str] = []
    for key in sort:
        column = f"o{len(keys)}"
        match key.type:
            case "_lastUpdated":
                keys.append(
                    OrderKey(column, f"{row}.last_updated", "timestamptz", key.descending, False)
                )
                # Whatever follows sorts nothing but rows of the same instant; rid does that.
                break
            case "_id":
                alias = statement.alias()
                joins.append(f" JOIN tl.resource {alias} ON {alias}.rid = {row}.rid")
                keys.append(OrderKey(column, f"{alias}.id", "text", key.descending, False))
            case _:
                joins.append(_value(key, row, statement, column))
                sql_type = "text" if key.type == "reference" else _VALUES[key.type][3]
                keys.append(OrderKey(column, f"{column}.v", sql_type, key.descending, True))
    last = keys[-1] if keys else None
    if last is None or last.sql != f"{row}.last_updated":
        keys.append(OrderKey("o_updated", f"{row}.last_updated", "timestamptz", True, False))
        last = keys[-1]
    keys.append(OrderKey("o_rid", f"{row}.rid", "bigint", last.descending, False))
    return Order("".join(joins), tuple(keys))


def _value(key: SortKey, row: str, statement: Statement, column: str) -> str:
    # Ascending by the least value, descending by the greatest (search.html#sort); hidden ones are none.
    pick = "max" if key.descending else "min"
    hashes = statement.add(list(key.keys), "bigint[]")
    if key.type == "reference":
        return (
            f" CROSS JOIN LATERAL (SELECT {pick}(t.id) AS v FROM tl.link a JOIN tl.resource t "
            f"ON t.rid = a.target WHERE a.source = {row}.rid AND a.parameter = ANY ({hashes}) "
            f"AND {elements.followed('a')} AND NOT t.deleted AND {predicate.for_query('t')}) AS {column}"
        )
    table, value, _, _ = _VALUES[key.type]
    return (
        f" CROSS JOIN LATERAL (SELECT {pick}(a.{value}) AS v FROM tl.{table} a "
        f"WHERE a.rid = {row}.rid AND a.hash = ANY ({hashes}) "
        f"AND {predicate.for_query('a')}) AS {column}"
    )


def _beyond(keys: Sequence[OrderKey], place: Place, backward: bool, statement: Statement) -> str:
    def parameter(key: OrderKey, value: Any) -> str:
        return statement.add(_typed(value, key.sql_type), key.sql_type)

    key, value = keys[0], place[0]
    operator = "<" if key.descending != backward else ">"
    if len(keys) == 2 and not any(each.missing for each in keys):
        # Both columns of the index in one comparison, which the index can begin at.
        values = ", ".join(parameter(*pair) for pair in zip(keys, place, strict=True))
        return f"({keys[0].sql}, {keys[1].sql}) {operator} ({values})"
    if len(keys) == 1:
        return f"{key.sql} {operator} {parameter(key, value)}"
    rest = _beyond(keys[1:], place[1:], backward, statement)
    if value is None:
        first = f"{key.sql} IS NOT NULL OR " if backward else ""
        return f"({first}({key.sql} IS NULL AND {rest}))"
    held = parameter(key, value)
    missing = f" OR {key.sql} IS NULL" if key.missing and not backward else ""
    return f"({key.sql} {operator} {held}{missing} OR ({key.sql} = {held} AND {rest}))"


def _plain(value: Any) -> Any:
    # JSON has no infinity; `float` reads it from its text.
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value.isoformat() if isinstance(value, datetime) else value


def _typed(value: Any, sql_type: str) -> Any:
    if sql_type == "float8":
        return float(value)
    if sql_type != "timestamptz":
        return value
    moment = datetime.fromisoformat(value)
    # asyncpg reads and writes infinities, a Period without an end, as the two moments that have no zone.
    return moment if moment.tzinfo is None else moment.astimezone(UTC)
