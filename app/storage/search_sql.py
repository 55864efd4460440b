"""A search as one statement: consent inside, before LIMIT and COUNT (hl7.org/fhir/R4/search.html).

One clause *drives*: its rows are walked in the order of the page, and the other clauses are asked of
each. A patient drives before anything else, so that a search in one record never walks a type. Every resource
has an `index_token` row under the key of its type alone, which drives where nothing narrower does.
Page and count are rendered from the same text, so they can never disagree.

Neighbours: `app.storage.search_clause_sql`, `app.storage.search_order`, `app.storage.search_include`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import asyncpg

from app.fhir_mappings import registry, search_keys
from app.fhir_mappings.search_clauses import AllOf, Clause, IdClause, TokenClause
from app.fhir_mappings.search_query import SearchQuery
from app.storage import elements, predicate
from app.storage.database import Caller, Reader
from app.storage.search_clause_sql import Statement, condition
from app.storage.search_order import Order, Place, order_of


@dataclass(frozen=True, slots=True)
class Found:
    """One resource of a page. place: where it stands in the order of the search."""

    rid: int
    type_code: int
    id: str
    content: bytes
    place: Place = ()


CONTENT: Final = f"r.rid, r.type, r.id, {elements.content('r')}"


def found(row: asyncpg.Record, order: Order | None = None) -> Found:
    """A row that has the columns of `CONTENT`, and those of an order."""
    return Found(
        row["rid"], row["type"], row["id"], elements.shown(row), order.place(row) if order else ()
    )


@dataclass(frozen=True, slots=True)
class _Driver:
    """What is walked. keys: token keys, or none where ids say which resources. narrow: few rows."""

    narrow: bool
    keys: tuple[int, ...]
    ids: tuple[str, ...]
    clauses: tuple[Clause, ...]


def _driver(query: SearchQuery) -> _Driver:
    clauses: list[Clause] = []
    for each in query.clauses:
        clauses.extend(each.clauses if isinstance(each, AllOf) else (each,))
    best = min(range(len(clauses)), key=lambda at: _rank(clauses[at]), default=None)
    if best is not None and _rank(clauses[best]) < _TYPE:
        chosen = clauses.pop(best)
        match chosen:
            case IdClause(ids):
                return _Driver(True, (), ids, tuple(clauses))
            case TokenClause(keys=keys, patient=narrow):
                return _Driver(narrow, keys, (), tuple(clauses))
    keys = tuple(search_keys.parameter_key(each, "") for each in query.types)
    return _Driver(False, keys, (), tuple(clauses))


_TYPE: Final = 4
"""Rank of the type as a driver."""


def _rank(clause: Clause) -> int:
    """How narrow a clause is as a driver, the narrowest first; as far as its form tells."""
    match clause:
        case IdClause():
            return 0
        case TokenClause(negated=False, patient=True):
            return 1
        case TokenClause(negated=False, missing=None, keys=keys) if len(keys) == 1:
            return 2
        case TokenClause(negated=False, missing=None, keys=keys) if 1 < len(keys) <= 16:
            return 3
        case _:
            return 9


@dataclass(frozen=True, slots=True)
class _Walk:
    """A driver in SQL, as alias d, with a key of `k.hash` where it has several.

    found: what finds its rows; seen: that the caller may see one; beside: what else is asked of it.
    record: see `predicate.entry`.
    """

    table: str
    found: tuple[str, ...]
    seen: str
    beside: tuple[str, ...] = ()
    record: str | None = None

    def tests(self) -> list[str]:
        """All that is asked of a row."""
        return [*self.found, self.seen, *self.beside]


def _walk(driver: _Driver, query: SearchQuery, statement: Statement) -> _Walk:
    if driver.ids:
        codes = [registry.type_code(each) for each in query.types]
        types = statement.add(codes, "smallint[]")
        ids = statement.add(list(driver.ids), "text[]")
        found = (f"d.type = ANY ({types})", f"d.id = ANY ({ids})", "NOT d.deleted")
        return _Walk("tl.resource", found, predicate.for_query("d"))
    if len(driver.keys) == 1:
        test = f"d.hash = {statement.add(driver.keys[0], 'bigint')}"
    elif driver.narrow:
        test = f"d.hash = ANY ({statement.add(list(driver.keys), 'bigint[]')})"
    else:
        test = "d.hash = k.hash"
    return _Walk(
        "tl.index_token",
        (test,),
        predicate.for_query("d", record=driver.narrow),
        (elements.same_row("d"),),
        f"SELECT d.patient FROM tl.index_token d WHERE {test} LIMIT 1" if driver.narrow else None,
    )


async def page(
    reader: Reader,
    caller: Caller,
    query: SearchQuery,
    place: Place | Literal[0] | None = None,
    *,
    backward: bool = False,
) -> list[Found]:
    """One page and one more row, which tells that there is another page.

    place: the rows after it, or `backward` those before it, are answered, the nearest first; None
    or 0 begins at the first. ValueError where the place is of another order.
    """
    driver = _driver(query)
    statement = Statement(driver.narrow)
    walk = _walk(driver, query, statement)
    order = order_of(query.sort, "d", statement)
    tests = walk.tests() + [condition(each, "d", statement) for each in driver.clauses]
    if place:
        tests.append(order.beyond(place, backward=backward, statement=statement))
    limit = statement.add(query.count + 1, "integer")
    outer = order.by(backward=backward, outer=True)
    rows = (
        f"SELECT {order.columns()}, d.rid FROM {walk.table} d{order.joins} "
        f"WHERE {' AND '.join(tests)} "
    )
    if driver.narrow:
        # A row may have several of the keys.
        rows = f"SELECT * FROM (SELECT DISTINCT * FROM ({rows}) AS v) AS w ORDER BY {outer} LIMIT {limit}"
    else:
        rows += f"ORDER BY {order.by(backward=backward)} LIMIT {limit}"
    if not driver.narrow and len(driver.keys) > 1:
        # One page from each key in the order of its index, then the first of them all.
        keys = statement.add(list(driver.keys), "bigint[]")
        rows = (
            f"SELECT DISTINCT u.* FROM unnest({keys}) AS k(hash) CROSS JOIN LATERAL ({rows}) AS u"
        )
        rows = f"SELECT * FROM ({rows}) AS v ORDER BY {outer} LIMIT {limit}"
    found_rows = await reader.fetch(
        caller,
        f"SELECT p.*, r.type, r.id, {elements.content('r')} FROM ({rows}) AS p "
        # Not asked again: a search row has the consent columns of its resource (`tl.store_search`).
        f"JOIN tl.resource r ON r.rid = p.rid ORDER BY {outer}",
        *statement.arguments,
        # Nothing but the newest of a record, a code, a type: there is but one way to find them, and planning
        # takes longer than finding.
        planned=not (driver.clauses or driver.ids or query.sort),
        record=walk.record,
    )
    return [found(row, order) for row in found_rows]


async def count(reader: Reader, caller: Caller, query: SearchQuery) -> int:
    """How many resources match that the caller may see: exact."""
    driver = _driver(query)
    statement = Statement(driver.narrow)
    walk = _walk(driver, query, statement)
    clauses = [condition(each, "d", statement) for each in driver.clauses]
    counted, keys, on = "count(*)", "", ""
    if driver.narrow:
        counted = "count(DISTINCT d.rid)"
    elif len(driver.keys) > 1:
        counted = "count(DISTINCT d.rid)"
        keys = f"unnest({statement.add(list(driver.keys), 'bigint[]')}) AS k(hash) JOIN "
        on = " ON d.hash = k.hash"

    def part(of: _Walk) -> str:
        tests = " AND ".join([*of.tests(), *clauses])
        return f"SELECT {counted} AS matches FROM {keys}{of.table} d{on} WHERE {tests}"

    body = part(walk)
    if not (driver.narrow or driver.ids):
        # Of a population what others keep is counted by a join with grants, and the rest as everywhere.
        others = replace(walk, table=predicate.OTHERS, seen=predicate.walk_for_query("d"))
        body = f"SELECT ({part(others)}) + ({body} AND {predicate.walk_rest('d')}) AS matches"
    rows = await reader.fetch(caller, body, *statement.arguments, record=walk.record)
    return int(rows[0]["matches"])


async def canonical(
    reader: Reader, caller: Caller, type_: str, keys: Sequence[int], ids: Sequence[str]
) -> list[tuple[str, bytes]]:
    """Id and content of the resources of a type under token keys or of these ids, newest last."""
    statement = Statement()
    code = statement.add(registry.type_code(type_), "smallint")
    hashes = statement.add(list(keys), "bigint[]")
    names = statement.add(list(ids), "text[]")
    rows = await reader.fetch(
        caller,
        f"SELECT r.id, {elements.content('r')} FROM tl.resource r "
        f"WHERE r.type = {code} AND NOT r.deleted "
        f"AND (r.id = ANY ({names}) OR r.rid = ANY (ARRAY(SELECT t.rid FROM tl.index_token t "
        f"WHERE t.hash = ANY ({hashes}) AND {predicate.for_query('t')}))) "
        f"AND {predicate.for_query('r')} ORDER BY r.last_updated, r.rid",
        *statement.arguments,
    )
    return [(row["id"], elements.shown(row)) for row in rows]


def rids(records: Sequence[Found]) -> list[int]:
    """The rids of what was found."""
    return [each.rid for each in records]
