"""A search as one statement: consent inside, before LIMIT and COUNT (hl7.org/fhir/R4/search.html).

Every resource has an `index_token` row under the key of its type alone; a search walks those rows, or
the rows of its most telling token clause, in the order of the page, and asks the other clauses of
each. Page and count are rendered from the same text, so they can never disagree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from app.fhir_mappings import registry, search_keys
from app.fhir_mappings.search_clauses import (
    DateClause,
    DateRange,
    IdClause,
    LastUpdatedClause,
    StringClause,
    TokenClause,
)
from app.fhir_mappings.search_query import Include, SearchQuery, SortKey
from app.storage import predicate
from app.storage.database import Caller, Reader


@dataclass(slots=True)
class _Statement:
    """Text in the making; own parameters begin after the caller's."""

    arguments: list[Any] = field(default_factory=list)

    def add(self, value: Any, sql_type: str) -> str:
        self.arguments.append(value)
        return f"${predicate.QUERY_PARAMETERS + len(self.arguments)}::{sql_type}"


@dataclass(frozen=True, slots=True)
class Found:
    """One resource of a page."""

    rid: int
    type_code: int
    id: str
    content: bytes


def _range(clause: DateRange, low: str, high: str, statement: _Statement) -> str:
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
        case "ap":
            return f"({low} < {b()} AND {high} > {a()})"


def _shift(moment: datetime | None, by: timedelta) -> datetime | None:
    try:
        return None if moment is None else moment + by
    except OverflowError:
        return None


def _like(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _clause(clause: Any, statement: _Statement) -> str:
    match clause:
        case TokenClause():
            keys = statement.add(list(clause.keys), "bigint[]")
            present = (
                f"EXISTS (SELECT FROM tl.index_token k WHERE k.hash = ANY ({keys}) "
                f"AND k.rid = d.rid AND {predicate.for_query('k')})"
            )
            return f"NOT {present}" if clause.negated else present
        case StringClause(mode="exact"):
            tests = f"s.exact = ANY ({statement.add(list(clause.values), 'text[]')})"
        case StringClause():
            wrap = "%{}%" if clause.mode == "contains" else "{}%"
            patterns = [wrap.format(_like(value)) for value in clause.values]
            tests = f"s.normalized LIKE ANY ({statement.add(patterns, 'text[]')})"
        case DateClause():
            key = statement.add(clause.key, "bigint")
            tests = " OR ".join(
                _range(r, "t.low", "t.high", statement) for r in clause.alternatives
            )
            return (
                f"EXISTS (SELECT FROM tl.index_date t WHERE t.hash = {key} AND t.rid = d.rid "
                f"AND ({tests}) AND {predicate.for_query('t')})"
            )
        case LastUpdatedClause():
            end = "d.last_updated + interval '1 microsecond'"
            tests = " OR ".join(
                _range(r, "d.last_updated", end, statement) for r in clause.alternatives
            )
            return f"({tests})"
        case IdClause():
            ids = statement.add(list(clause.ids), "text[]")
            return f"EXISTS (SELECT FROM tl.resource i WHERE i.rid = d.rid AND i.id = ANY ({ids}))"
        case _:
            raise ValueError("unknown clause")
    key = statement.add(clause.key, "bigint")
    return (
        f"EXISTS (SELECT FROM tl.index_string s WHERE s.hash = {key} AND s.rid = d.rid "
        f"AND {tests} AND {predicate.for_query('s')})"
    )


def _matches(query: SearchQuery, statement: _Statement) -> str:
    """FROM and WHERE of the search: what page and count share."""
    clauses = list(query.clauses)
    driver = search_keys.parameter_key(query.resource_type, "")
    for clause in clauses:
        if isinstance(clause, TokenClause) and len(clause.keys) == 1 and not clause.negated:
            driver = clause.keys[0]
            clauses.remove(clause)
            break
    tests = [f"d.hash = {statement.add(driver, 'bigint')}", predicate.for_query("d")]
    tests += [_clause(clause, statement) for clause in clauses]
    return "FROM tl.index_token d WHERE " + " AND ".join(tests)


def _order(sort: Sequence[SortKey], statement: _Statement) -> str:
    keys = []
    for key in sort:
        direction = "DESC" if key.descending else "ASC"
        match key.type:
            case "_lastUpdated":
                value = "d.last_updated"
            case "_id":
                value = "(SELECT i.id FROM tl.resource i WHERE i.rid = d.rid)"
            case "date" | "string" as kind:
                pick = "max" if key.descending else "min"
                column = "low" if kind == "date" else "normalized"
                hash_ = statement.add(key.key, "bigint")
                value = (
                    f"(SELECT {pick}(o.{column}) FROM tl.index_{kind} o WHERE o.rid = d.rid "
                    f"AND o.hash = {hash_} AND {predicate.for_query('o')})"
                )
            case _:
                raise ValueError("unknown sort key")
        keys.append(f"{value} {direction} NULLS LAST")
    return ", ".join([*keys, "d.last_updated DESC", "d.rid DESC"])


_CONTENT = "r.rid, r.type, r.id, r.content"


async def page(database: Reader, caller: Caller, query: SearchQuery, offset: int) -> list[Found]:
    """One page and one more row, which tells that there is a next page."""
    statement = _Statement()
    matches = _matches(query, statement)
    order = _order(query.sort, statement)
    limit = statement.add(query.count + 1, "integer")
    skip = statement.add(offset, "integer")
    rows = await database.fetch(
        caller,
        f"SELECT {_CONTENT} FROM (SELECT d.rid, row_number() OVER (ORDER BY {order}) AS place "
        f"{matches} ORDER BY {order} LIMIT {limit} OFFSET {skip}) AS p "
        f"JOIN tl.resource r ON r.rid = p.rid AND {predicate.for_query('r')} ORDER BY p.place",
        *statement.arguments,
    )
    return [Found(row["rid"], row["type"], row["id"], row["content"]) for row in rows]


async def count(database: Reader, caller: Caller, query: SearchQuery) -> int:
    """How many resources match that the caller may see: exact."""
    statement = _Statement()
    rows = await database.fetch(
        caller, f"SELECT count(*) AS matches {_matches(query, statement)}", *statement.arguments
    )
    return int(rows[0]["matches"])


async def included(
    database: Reader, caller: Caller, rids: Sequence[int], include: Include, *, reverse: bool
) -> list[Found]:
    """What a page's resources reference (`_include`) or are referenced by (`_revinclude`)."""
    near, far = ("target", "source") if reverse else ("source", "target")
    statement = _Statement()
    sources = statement.add(list(rids), "bigint[]")
    key = statement.add(include.key, "bigint")
    tests = [
        f"l.{near} = ANY ({sources})",
        f"l.parameter = {key}",
        "NOT r.deleted",
        f"r.rid <> ALL ({sources})",
        predicate.for_query("r"),
    ]
    kind = include.source_type if reverse else include.target_type
    if kind is not None:
        tests.append(f"r.type = {statement.add(registry.type_code(kind), 'smallint')}")
    rows = await database.fetch(
        caller,
        f"SELECT DISTINCT ON (r.rid) {_CONTENT} FROM tl.link l "
        f"JOIN tl.resource r ON r.rid = l.{far} WHERE {' AND '.join(tests)} ORDER BY r.rid",
        *statement.arguments,
    )
    return [Found(row["rid"], row["type"], row["id"], row["content"]) for row in rows]
