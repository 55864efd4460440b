"""`_include` and `_revinclude`: all of a page in one statement, each included row judged by itself.

The page's resources are the roots; every include is tried on them, and those with `:iterate` on what was
included as well, up to `ROUNDS` times. Pinned: hl7.org/fhir/R4/search.html#include, #revinclude.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from app.fhir_mappings import canonicals, registry
from app.fhir_mappings.search_query import Include
from app.storage import elements, predicate
from app.storage.database import Caller, Reader
from app.storage.search_clause_sql import Statement, same_name
from app.storage.search_sql import CONTENT, Found, found

ROUNDS: Final = 5
"""Times that includes are followed at most."""


async def included(
    reader: Reader,
    caller: Caller,
    rids: Sequence[int],
    includes: Sequence[Include],
    revincludes: Sequence[Include],
    *,
    limit: int,
    types: Sequence[str] | None = None,
) -> list[Found]:
    """What a page's resources reference, or are referenced by; at most `limit` and one more.

    types: the only ones that may be included, None for all.
    """
    statement = Statement()
    every = [(each, False) for each in includes] + [(each, True) for each in revincludes]

    roots = statement.add(list(rids), "bigint[]")
    wanted = (
        f"unnest({statement.add([i.key for i, _ in every], 'bigint[]')}, "
        f"{statement.add([_code(i.source_type) for i, _ in every], 'smallint[]')}, "
        f"{statement.add([_code(i.target_type) for i, _ in every], 'smallint[]')}, "
        f"{statement.add([i.iterate for i, _ in every], 'boolean[]')}, "
        f"{statement.add([reverse for _, reverse in every], 'boolean[]')}) "
        "AS w(parameter, source_type, target_type, iterate, reverse)"
    )
    allowed = ""
    if types is not None:
        codes = statement.add([registry.type_code(each) for each in types], "smallint[]")
        allowed = f"AND o.type = ANY ({codes})"
    step = (
        "SELECT o.rid, o.type FROM {wanted} JOIN tl.link l ON l.{near} = f.rid "
        f"AND l.parameter = w.parameter AND {elements.followed('l')} "
        "JOIN tl.resource o ON o.rid = l.{far} "
        "WHERE {reverse} w.reverse AND (f.round = 0 OR w.iterate) AND NOT o.deleted "
        "AND {kind} {allowed} AND {visible}"
    )
    forward = step.format(
        wanted=wanted,
        near="source",
        far="target",
        reverse="NOT",
        kind="(w.source_type IS NULL OR w.source_type = f.type) "
        "AND (w.target_type IS NULL OR w.target_type = o.type)",
        allowed=allowed,
        visible=predicate.for_query("o"),
    )
    backward = step.format(
        wanted=wanted,
        near="target",
        far="source",
        reverse="",
        kind="(w.source_type IS NULL OR w.source_type = o.type) "
        "AND (w.target_type IS NULL OR w.target_type = f.type)",
        allowed=allowed,
        visible=predicate.for_query("o"),
    )
    steps = [forward, backward]
    by_name = [(i, reverse, key) for i, reverse in every for key in i.naming]
    if by_name:
        steps += _by_name(by_name, statement, allowed)
    rounds = ROUNDS if any(include.iterate for include, _ in every) else 1
    rows = await reader.fetch(
        caller,
        f"WITH RECURSIVE reached(rid, type, round) AS ("
        f"SELECT r.rid, r.type, 0 FROM tl.resource r WHERE r.rid = ANY ({roots}) "
        f"AND {predicate.for_query('r')} UNION SELECT n.rid, n.type, f.round + 1 FROM reached f "
        f"CROSS JOIN LATERAL ({' UNION '.join(steps)}) AS n WHERE f.round < {rounds}) "
        f"SELECT {CONTENT} FROM (SELECT DISTINCT rid FROM reached WHERE rid <> ALL ({roots}) "
        # Asked again for the plan alone: without it the planner takes the join to find many, and walks the key.
        f"ORDER BY rid LIMIT {limit + 1}) AS i JOIN tl.resource r ON r.rid = i.rid "
        f"AND {predicate.for_query('r')} ORDER BY r.rid",
        *statement.arguments,
    )
    return [found(row) for row in rows]


def _code(name: str | None) -> int | None:
    return None if name is None else registry.type_code(name)


def _by_name(
    every: Sequence[tuple[Include, bool, int]], statement: Statement, allowed: str
) -> list[str]:
    """The steps to what canonicals name, and back. every: include, whether backward, key of what names."""
    columns = [
        statement.add([key for _, _, key in every], "bigint[]"),
        statement.add([_code(include.target_type) for include, _, _ in every], "smallint[]"),
        statement.add([include.iterate for include, _, _ in every], "boolean[]"),
        statement.add([reverse for _, reverse, _ in every], "boolean[]"),
    ]
    called = statement.add(list(canonicals.named()), "bigint[]")
    names = f"b.hash = ANY ({called}) AND {same_name('a', 'b')} AND {predicate.for_query('b')}"

    def step(near: str, far: str, way: str, target: str) -> str:
        return (
            f"SELECT o.rid, o.type FROM unnest({', '.join(columns)}) "
            "AS w(naming, target_type, iterate, reverse) "
            "JOIN tl.index_string a ON a.hash = w.naming "
            f"JOIN tl.index_string b ON {names} AND {near}.rid = f.rid "
            f"JOIN tl.resource o ON o.rid = {far}.rid "
            f"WHERE {way} w.reverse AND (f.round = 0 OR w.iterate) AND NOT o.deleted "
            f"AND (w.target_type IS NULL OR w.target_type = {target}.type) "
            f"{allowed} AND {predicate.for_query('a')} AND {predicate.for_query('o')}"
        )

    return [step("a", "b", "NOT", "o"), step("b", "a", "", "f")]
