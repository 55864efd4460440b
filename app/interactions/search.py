"""search-type, search-system and search in a compartment: a page, its total, what it includes.

A fixed number of statements: one for the page, one for a total that is asked for, one for all includes, one
for value sets and hierarchies where the search names any. Each page is judged anew, whatever its cursor says.

Pinned: hl7.org/fhir/R4/http.html#search, hl7.org/fhir/R4/search.html, hl7.org/fhir/R4/http.html#paging.
Neighbours: `app.fhir_mappings.search_query` (what is asked), `app.storage.search_sql` (how it is found),
`app.interactions.cursors` (where a page begins).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from app.errors import Issue, IssueCode, fhir_error
from app.fhir_mappings import operation_outcome, registry
from app.fhir_mappings.bundle import BundleEntry, render_bundle
from app.fhir_mappings.search_clauses import Clause, TokenClause
from app.fhir_mappings.search_keys import reference_key
from app.fhir_mappings.search_query import SearchQuery, parse, query_string
from app.interactions.cursors import CURSOR, Cursors
from app.interactions.search_terminology import expanded
from app.storage import search_include, search_sql
from app.storage.database import Caller, Database, Reader
from app.storage.search_sql import Found

_KIND: Final = "search"
_LONGEST_URL: Final = 2000
_MOST_INCLUDED: Final = 1000
_SHAPING: Final = frozenset({"_format", "_pretty", "_summary", "_elements"})
"""Parameters that may stand beside a cursor: they shape the answer, not the search."""


@dataclass(frozen=True, slots=True)
class SearchRules:
    """Settings that searching depends on.

    cursor_key: 32 secret bytes. may_search: resource types that the caller's scopes allow; what they do
    not allow is in no chain, no include and no system-wide search.
    """

    base_url: str
    strict: bool
    default_count: int
    max_count: int
    cursor_key: bytes
    may_search: Callable[[str], bool] = registry.is_resource_type


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The searchset Bundle, and what it holds, for the audit row."""

    bundle: bytes
    rids: list[int]


@dataclass(frozen=True, slots=True)
class _Scope:
    """Where is searched. path: below the base URL, "" for the system. within: of a compartment."""

    path: str
    types: tuple[str, ...]
    within: tuple[Clause, ...] = ()


async def search_type(
    database: Database,
    caller: Caller,
    type_: str,
    parameters: Sequence[tuple[str, str]],
    rules: SearchRules,
    *,
    reader: Reader | None = None,
) -> SearchResult:
    """Search one type as a caller. FhirError 400 for a parameter at fault, 410 for an expired cursor.

    reader: what reads, where the search is part of a transaction.
    """
    scope = _Scope(type_, (type_,))
    return await _search(database, caller, scope, parameters, rules, reader=reader)


async def search_system(
    database: Database,
    caller: Caller,
    parameters: Sequence[tuple[str, str]],
    rules: SearchRules,
    *,
    reader: Reader | None = None,
) -> SearchResult:
    """Search all types that scopes allow, or those of `_type`, by what all of them have."""
    types = tuple(each for each in registry.RESOURCE_TYPES if rules.may_search(each))
    if not types:
        raise fhir_error(IssueCode.FORBIDDEN, "The access token lets no resource type be searched.")
    return await _search(database, caller, _Scope("", types), parameters, rules, reader=reader)


async def search_compartment(
    database: Database,
    caller: Caller,
    patient_id: str,
    type_: str,
    parameters: Sequence[tuple[str, str]],
    rules: SearchRules,
    *,
    reader: Reader | None = None,
) -> SearchResult:
    """Search `Patient/{id}/{type}`: what R4's patient compartment links to that patient.

    type_: a resource type, or `*` for all that are in the compartment. A patient who is hidden or missing
    has an empty compartment. 404 for a type that is in no patient's compartment.
    """
    types = tuple(
        each
        for each in (registry.PATIENT_COMPARTMENT if type_ == "*" else (type_,))
        if rules.may_search(each)
    )
    if not types:
        raise fhir_error(
            IssueCode.FORBIDDEN, "The access token lacks the scope to search that type."
        )
    clause = compartment_clause(patient_id, types)
    scope = _Scope(f"Patient/{patient_id}/{type_}", types, (clause,))
    return await _search(database, caller, scope, parameters, rules, reader=reader)


def compartment_clause(patient_id: str, types: Sequence[str]) -> TokenClause:
    """The clause that holds for resources of these types in a patient's compartment.

    FhirError 404 where one of the types is in no patient's compartment.
    """
    keys: list[int] = []
    for each in types:
        codes = registry.PATIENT_COMPARTMENT.get(each, ())
        if not codes:
            raise fhir_error(
                IssueCode.NOT_FOUND, "No patient's compartment holds that type.", status=404
            )
        keys += [reference_key(each, code, "Patient", patient_id) for code in codes]
    return TokenClause(tuple(dict.fromkeys(keys)), patient=True)


async def _search(
    database: Database,
    caller: Caller,
    scope: _Scope,
    parameters: Sequence[tuple[str, str]],
    rules: SearchRules,
    *,
    reader: Reader | None = None,
) -> SearchResult:
    cursors = Cursors(rules.cursor_key)
    asked: Reader = database if reader is None else reader
    sent = [(name, value) for name, value in parameters if name != CURSOR]
    cursor = next((value for name, value in parameters if name == CURSOR), None)
    kind = f"{_KIND}:{scope.path}"
    place: tuple[Any, ...] | None = None
    backward = False
    if cursor is not None:
        content = await cursors.open(database, caller, kind, cursor)
        if any(name.partition(":")[0] not in _SHAPING for name, _ in sent):
            raise fhir_error(
                IssueCode.INVALID, "A cursor carries its search: send it without others.", CURSOR
            )
        sent = [(name, value) for name, value in content["q"]]
        place, backward = tuple(content["p"]) or None, content["b"]
    query = _query(scope, sent, rules)
    query = replace(query, clauses=await expanded(asked, caller, query.clauses))
    total = await _total(asked, caller, query)
    found: list[Found] = []
    if query.count:
        found = await search_sql.page(asked, caller, query, place, backward=backward)
    page, more = found[: query.count], len(found) > query.count
    if backward:
        page.reverse()
    others, cut = await _included(asked, caller, page, query, rules)

    async def sealed(content: dict[str, Any]) -> str:
        word = await cursors.seal(database, caller, kind, {"q": query.applied} | content)
        return _url(rules.base_url, scope.path, [(CURSOR, word)])

    # A page that was reached by a link has a neighbour where it came from.
    after = more or (backward and place is not None)
    before = (more if backward else place is not None) and bool(page)
    plain = _url(rules.base_url, scope.path, query.applied)
    if len(plain) > _LONGEST_URL:
        plain = await sealed({"p": [], "b": False})
    here = plain if cursor is None else _url(rules.base_url, scope.path, [(CURSOR, cursor)])
    links = [("self", here), ("first", plain)]
    if before:
        links.append(("previous", await sealed({"p": page[0].place, "b": True})))
    if after and page:
        links.append(("next", await sealed({"p": page[-1].place, "b": False})))
    entries = [_entry(each, rules.base_url, "match") for each in page]
    entries += [_entry(each, rules.base_url, "include") for each in others]
    if cut:
        entries.append(_cut())
    bundle = render_bundle("searchset", total=total, links=links, entries=entries)
    return SearchResult(bundle, search_sql.rids([*page, *others]))


def _query(scope: _Scope, sent: Sequence[tuple[str, str]], rules: SearchRules) -> SearchQuery:
    query = parse(
        scope.types,
        sent,
        strict=rules.strict,
        base_urls=(rules.base_url,),
        max_count=rules.max_count,
        default_count=rules.default_count,
        may_search=rules.may_search,
    )
    return replace(query, clauses=(*scope.within, *query.clauses))


async def _total(reader: Reader, caller: Caller, query: SearchQuery) -> int | None:
    # An estimate of the planner's would count hidden rows, so `estimate` is answered with the exact count.
    if query.summary_count or query.total != "none":
        return await search_sql.count(reader, caller, query)
    return None


async def _included(
    reader: Reader, caller: Caller, page: list[Found], query: SearchQuery, rules: SearchRules
) -> tuple[list[Found], bool]:
    if not page or not (query.includes or query.revincludes):
        return [], False
    allowed = [each for each in registry.RESOURCE_TYPES if rules.may_search(each)]
    found = await search_include.included(
        reader,
        caller,
        search_sql.rids(page),
        query.includes,
        query.revincludes,
        limit=_MOST_INCLUDED,
        types=None if len(allowed) == len(registry.RESOURCE_TYPES) else allowed,
    )
    return found[:_MOST_INCLUDED], len(found) > _MOST_INCLUDED


def _cut() -> BundleEntry:
    issue = Issue(
        IssueCode.TOO_COSTLY,
        f"More than {_MOST_INCLUDED} resources would be included; ask for smaller pages.",
        severity="warning",
    )
    return BundleEntry(resource=operation_outcome.render([issue]), search_mode="outcome")


def _entry(found: Found, base_url: str, mode: str) -> BundleEntry:
    name = registry.type_name(found.type_code)
    return BundleEntry(
        full_url=f"{base_url}/{name}/{found.id}", resource=found.content, search_mode=mode
    )


def _url(base: str, path: str, parameters: Sequence[tuple[str, str]]) -> str:
    text = query_string(parameters)
    address = f"{base}/{path}" if path else base
    return f"{address}?{text}" if text else address
