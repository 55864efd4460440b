"""Conditional interactions: the resource is named by a search, which is judged as the caller's own.

What the caller may not see matches nothing (docs/consent.md), so a conditional write tells nothing of it.
The criteria are locked for the transaction: of two writers that ask the same, the second sees what the
first has written. Pinned: hl7.org/fhir/R4/http.html#ccreate, #cond-update, #cdelete, #trules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import parse_qsl

from app.errors import FhirError, Issue, IssueCode, fhir_error
from app.fhir_mappings import registry
from app.fhir_mappings.search_query import parse
from app.interactions.search_terminology import expanded
from app.storage import resources, search_sql
from app.storage.database import Caller, Reader, WriteConnection

_NOT_CRITERIA: Final = frozenset(
    {
        "_contained",
        "_containedType",
        "_count",
        "_cursor",
        "_elements",
        "_format",
        "_include",
        "_pretty",
        "_revinclude",
        "_sort",
        "_summary",
        "_total",
    }
)
"""Parameters that shape an answer: they select nothing."""


@dataclass(frozen=True, slots=True)
class Match:
    """A resource that meets criteria."""

    rid: int
    id: str


async def lock_criteria(connection: WriteConnection, criteria: Iterable[tuple[str, str]]) -> None:
    """Hold (type, search) pairs until the transaction ends; in one order, so that nobody waits in a circle."""
    for type_, text in sorted(set(criteria)):
        await resources.lock_text(connection, registry.type_code(type_), f"?{text}")


async def matches(
    reader: Reader,
    caller: Caller,
    type_: str,
    criteria: str,
    base_urls: tuple[str, ...],
    *,
    may_search: Callable[[str], bool],
    where: str,
    limit: int = 2,
) -> list[Match]:
    """At most `limit` resources of a type that meet the criteria and that the caller sees.

    criteria: as behind the `?` of a search. may_search: types that the caller's scopes let it search;
    chains and `_has` follow no other. where: the FHIRPath to name in errors. FhirError 400 for a parameter
    at fault (unknown ones always: an ignored criterion would match too much) or for none, 403 for a type
    that scopes leave out.
    """
    parameters = parse_qsl(criteria, keep_blank_values=True)
    shaping = sorted({n for n, _ in parameters if n.partition(":")[0] in _NOT_CRITERIA})
    if shaping or not parameters:
        raise fhir_error(
            IssueCode.INVALID,
            "Give search criteria, and none of the parameters that shape an answer.",
            *((where,) if where else shaping),
        )
    try:
        query = parse(
            type_,
            parameters,
            strict=True,
            base_urls=base_urls,
            max_count=max(limit - 1, 1),
            default_count=max(limit - 1, 1),
            may_search=may_search,
        )
    except FhirError as error:
        if not where:
            raise
        raise FhirError(
            [Issue(i.code, i.diagnostics, (where,)) for i in error.issues], status=error.status
        ) from error
    query = replace(query, clauses=await expanded(reader, caller, query.clauses))
    found = await search_sql.page(reader, caller, query)
    return [Match(each.rid, each.id) for each in found[:limit]]


def several(where: str) -> FhirError:
    """412: the criteria do not select one resource."""
    return fhir_error(
        IssueCode.MULTIPLE_MATCHES,
        "More than one resource meets the criteria; narrow them.",
        *((where,) if where else ()),
    )
