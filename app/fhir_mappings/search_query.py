"""A search as it is sent, read into clauses (AND) and result options.

    parse("Observation", [("code", "http://loinc.org|1234-5"), ("date", "ge2024")], …)

Nothing that narrows a search is ever dropped quietly: unsupported types of parameter and modifiers
are refused however lenient the caller is. Only a parameter that R4 does not define for the type is
ignored unless `strict` (Prefer: handling=strict); `SearchQuery.applied` tells what was not ignored,
for the self link. The server's own paging parameters are taken out before.

Clauses are in `app.fhir_mappings.search_clauses`, read by `app.fhir_mappings.search_reading`; SQL is
in `app.storage`.

Pinned: hl7.org/fhir/R4/search.html#errors, #sort, #count, #total, #include, #summary.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias
from urllib.parse import quote, urlencode

from app.errors import FhirError, Issue, IssueCode, fhir_error
from app.fhir_mappings.canonicals import all_naming, naming
from app.fhir_mappings.registry import RESOURCE_TYPES, is_resource_type
from app.fhir_mappings.search_clauses import (
    Clause,
    DateClause,
    DateRange,
    IdClause,
    LastUpdatedClause,
    StringClause,
    TokenClause,
)
from app.fhir_mappings.search_filter import read_filter
from app.fhir_mappings.search_keys import parameter_key, quantity_key, sort_key
from app.fhir_mappings.search_parameters import SearchParameter, parameter
from app.fhir_mappings.search_reading import Reading, read
from app.fhir_mappings.search_values import alternatives, boolean, refuse

__all__ = [
    "Clause",
    "DateClause",
    "DateRange",
    "IdClause",
    "Include",
    "LastUpdatedClause",
    "SearchQuery",
    "SortKey",
    "StringClause",
    "TokenClause",
    "Total",
    "parse",
    "query_string",
]

Total: TypeAlias = Literal["none", "estimate", "accurate"]

_TOTALS: Final[dict[str, Total]] = {
    "none": "none",
    "estimate": "estimate",
    "accurate": "accurate",
}
_SORTED_COLUMNS: Final = frozenset({"_id", "_lastUpdated"})
_SORTED_ROWS: Final = {
    "date": "date",
    "string": "string",
    "number": "number",
    "quantity": "number",
    "token": "string",
    "uri": "string",
    "reference": "reference",
}
_SHORTER_FORMS: Final = frozenset({"true", "text", "data"})
_NEVER_IGNORED: Final = frozenset({"_contained", "_containedType", "_query"})
_HINTS: Final = frozenset({"_totalMethod"})
"""Parameters that other servers define, whose clients send them, and that narrow nothing."""
_ONCE: Final = frozenset({"_count", "_format", "_pretty", "_sort", "_summary", "_total"})
_NUMBER: Final = re.compile(r"[0-9]+")
_COUNT_DIGITS: Final = 9


@dataclass(frozen=True, slots=True)
class SortKey:
    """One key of `_sort`. type: the table of its rows (`date`, `string`, `number`), or `reference`,
    which sorts by the id of what is referred to. keys: of the rows; `_id` and `_lastUpdated` are columns
    and have none.
    """

    code: str
    descending: bool
    keys: tuple[int, ...]
    type: str


@dataclass(frozen=True, slots=True)
class Include:
    """One `_include` or `_revinclude`.

    source_type: None for any (`*`). parameter: `*` for every link of the source type.
    key: `link.parameter`, 0 for `*`. target_type: None for any. naming: keys of the parameters among them
    that name definitions by canonical (`app.fhir_mappings.canonicals`).
    """

    source_type: str | None
    parameter: str
    key: int
    target_type: str | None = None
    iterate: bool = False
    naming: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """A search that can be run.

    types: resource types searched. clauses: all must hold. count: page size, at most the server's
    maximum. summary_count: only the total is asked (`_summary=count`, or `_count=0`; count is then
    0). sort: empty for the server's own order. format: as sent, None without. applied: parameters
    that were not ignored, as sent.
    """

    types: tuple[str, ...]
    clauses: tuple[Clause, ...]
    count: int
    sort: tuple[SortKey, ...] = ()
    total: Total = "none"
    summary_count: bool = False
    includes: tuple[Include, ...] = ()
    revincludes: tuple[Include, ...] = ()
    format: str | None = None
    pretty: bool = False
    applied: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class _Draft:
    """A query being read."""

    types: tuple[str, ...]
    strict: bool
    reading: Reading
    max_count: int
    count: int
    clauses: list[Clause] = field(default_factory=list)
    sort: list[SortKey] = field(default_factory=list)
    total: Total = "none"
    summary_count: bool = False
    includes: list[Include] = field(default_factory=list)
    revincludes: list[Include] = field(default_factory=list)
    format: str | None = None
    pretty: bool = False
    applied: list[tuple[str, str]] = field(default_factory=list)


def parse(
    types: str | tuple[str, ...],
    parameters: Sequence[tuple[str, str]],
    *,
    strict: bool,
    base_urls: tuple[str, ...],
    max_count: int,
    default_count: int,
    may_search: Callable[[str], bool] = is_resource_type,
) -> SearchQuery:
    """Read a search of one type, or of several (then only what all of them have can be asked).

    parameters: (name with modifier, value), percent-decoded, in their order. base_urls: addresses
    of this server without a slash at the end. may_search: types that the caller's scopes allow, for
    `_type`, chains and `_has`.

    Raises FhirError (400) with an issue for each parameter at fault, invalid or not-supported, its
    expression the parameter's name; values are never repeated; 403 where scopes do not allow what is
    asked. KeyError where R4 has no such type.
    """
    asked = _types((types,) if isinstance(types, str) else types, parameters, may_search)
    reading = Reading(base_urls, may_search)
    draft = _Draft(asked, strict, reading, max_count, min(default_count, max_count))
    issues: list[Issue] = []
    seen: set[str] = set()
    for name, value in parameters:
        try:
            if name in _ONCE and name in seen:
                refuse(IssueCode.INVALID, "Give this parameter once.", name)
            seen.add(name)
            if _read(draft, name, value):
                draft.applied.append((name, value))
        except FhirError as error:
            if error.status == 403:
                raise
            issues.extend(error.issues)
    if issues:
        raise FhirError(issues, status=400)
    return SearchQuery(
        types=asked,
        clauses=tuple(draft.clauses),
        count=0 if draft.summary_count else draft.count,
        sort=tuple(draft.sort),
        total=draft.total,
        summary_count=draft.summary_count,
        includes=tuple(draft.includes),
        revincludes=tuple(draft.revincludes),
        format=draft.format,
        pretty=draft.pretty,
        applied=tuple(draft.applied),
    )


def query_string(parameters: Iterable[tuple[str, str]]) -> str:
    """Parameters percent-encoded for a link, in their order, without a question mark."""
    return urlencode(list(parameters), quote_via=quote, safe=":,/")


def _types(
    types: tuple[str, ...],
    parameters: Sequence[tuple[str, str]],
    may_search: Callable[[str], bool],
) -> tuple[str, ...]:
    """The types searched: those of the address, narrowed by `_type` where there are several."""
    named = [value for name, value in parameters if name == "_type"]
    if not named:
        return types
    wanted: list[str] = []
    for each in ",".join(named).split(","):
        if not is_resource_type(each):
            refuse(IssueCode.INVALID, "Name R4 resource types.", "_type")
        if not may_search(each):
            raise fhir_error(
                IssueCode.FORBIDDEN,
                f"The access token lacks the scope system/{each}.s.",
                "_type",
                status=403,
            )
        if each not in types:
            refuse(IssueCode.INVALID, "Name types that the address is about.", "_type")
        if each not in wanted:
            wanted.append(each)
    return tuple(wanted)


def _read(draft: _Draft, name: str, value: str) -> bool:
    """Put one parameter into the draft; False where it is ignored."""
    code, _, modifier = name.partition(":")
    if name == "_type":
        return True
    if name in _HINTS:
        return False
    if code in _NEVER_IGNORED:
        if name == "_contained" and value == "false":
            return True
        refuse(IssueCode.NOT_SUPPORTED, "This parameter cannot be searched here.", name)
    match code:
        case "_include" | "_revinclude":
            _read_include(draft, name, code, modifier, value)
            return True
        case "_count" | "_format" | "_pretty" | "_sort" | "_summary" | "_total" | "_elements":
            if modifier:
                refuse(IssueCode.NOT_SUPPORTED, "This parameter has no modifiers.", name)
            return _read_option(draft, code, value)
    if name == "_filter":
        draft.clauses.append(read_filter(draft.types, value, draft.reading))
        return True
    clause = read(draft.types, name, value, draft.reading)
    if clause is None:
        return _ignore(draft, name, "The resource type has no such search parameter.")
    draft.clauses.append(clause)
    return True


def _ignore(draft: _Draft, name: str, diagnostics: str) -> bool:
    if draft.strict:
        refuse(IssueCode.NOT_SUPPORTED, diagnostics, name)
    return False


def _read_option(draft: _Draft, name: str, value: str) -> bool:
    match name:
        case "_count":
            _read_count(draft, name, value)
        case "_sort":
            return _read_sort(draft, name, value)
        case "_total":
            if value not in _TOTALS:
                refuse(IssueCode.INVALID, "Give none, estimate or accurate.", name)
            draft.total = _TOTALS[value]
        case "_summary":
            # How a resource is shortened is for who answers it (`app.routers.negotiation`).
            if value not in (*_SHORTER_FORMS, "count", "false"):
                refuse(IssueCode.INVALID, "Give true, text, data, count or false.", name)
            draft.summary_count = draft.summary_count or value == "count"
        case "_format":
            draft.format = value
        case "_pretty":
            draft.pretty = boolean(value, name)
        case _:
            pass  # `_elements`: as for `_summary`
    return True


def _read_count(draft: _Draft, name: str, value: str) -> None:
    if not _NUMBER.fullmatch(value):
        refuse(IssueCode.INVALID, "Give a whole number, 0 or more.", name)
    digits = value.lstrip("0")
    if not digits:
        draft.summary_count = True
    elif len(digits) > _COUNT_DIGITS:
        draft.count = draft.max_count
    else:
        draft.count = min(int(digits), draft.max_count)


def _read_sort(draft: _Draft, name: str, value: str) -> bool:
    keys: list[SortKey] = []
    for each in alternatives(value, name):
        code = each.removeprefix("-")
        descending = each != code
        if code in _SORTED_COLUMNS:
            keys.append(SortKey(code, descending, (), code))
            continue
        found = [parameter(type_, code) for type_ in draft.types]
        if None in found:
            return _ignore(draft, name, "Sort by search parameters of the type.")
        rows = {_SORTED_ROWS.get(each.type) if each and each.expression else None for each in found}
        kind = rows.pop() if len(rows) == 1 else None
        if kind is None:
            refuse(
                IssueCode.NOT_SUPPORTED,
                "Sort by a parameter that is no composite and no special one.",
                name,
            )
        hashes = tuple(
            _sorted_key(type_, each) for type_, each in zip(draft.types, found, strict=True) if each
        )
        keys.append(SortKey(code, descending, hashes, kind))
    draft.sort.extend(keys)
    return True


def _sorted_key(type_: str, of: SearchParameter) -> int:
    match of.type:
        case "token" | "uri":
            return sort_key(type_, of.code)
        case "quantity":
            return quantity_key(type_, of.code, "", "")
        case _:
            return parameter_key(type_, of.code)


def _read_include(draft: _Draft, name: str, code: str, modifier: str, value: str) -> None:
    if modifier not in ("", "iterate"):
        refuse(IssueCode.NOT_SUPPORTED, "Of modifiers, only iterate is supported.", name)
    include = _include(draft.types, code, name, value, modifier == "iterate")
    found = draft.includes if code == "_include" else draft.revincludes
    if include not in found:
        found.append(include)


def _include(types: tuple[str, ...], code: str, name: str, value: str, iterate: bool) -> Include:
    if value == "*" and code == "_include" and len(types) == 1:
        value = f"{types[0]}:*"
    if value == "*":
        return Include(None, "*", 0, None, iterate, all_naming(RESOURCE_TYPES))
    source, *rest = value.split(":")
    if not is_resource_type(source) or not 1 <= len(rest) <= 2:
        refuse(IssueCode.INVALID, "Give Type:parameter or Type:parameter:TargetType.", name)
    target = rest[1] if len(rest) == 2 else None
    if target is not None and not is_resource_type(target):
        refuse(IssueCode.INVALID, "Name an R4 resource type as the target.", name)
    if rest[0] == "*":
        return Include(source, "*", 0, target, iterate, all_naming((source,)))
    of = parameter(source, rest[0])
    if of is None or of.type != "reference" or not of.expression:
        refuse(IssueCode.INVALID, "Name a reference parameter of the source type.", name)
    if target is not None and of.targets and target not in of.targets:
        refuse(IssueCode.INVALID, "The parameter does not point at the target type.", name)
    key = parameter_key(source, of.code)
    return Include(source, of.code, key, target, iterate, naming(source, of))
