"""One parameter of a search read into a clause: chains, `_has`, modifiers, values of every type.

    read(("Observation",), "subject:Patient.name:contains", "ana", reading)

A parameter asked of several types is read for each, and merged. Unknown names give None, so that
the caller can tell strict from lenient; whatever is known and cannot be searched is refused, because a
filter that is dropped quietly over-shares.

Neighbours: `app.fhir_mappings.search_values` (texts), `app.fhir_mappings.search_tokens`,
`app.fhir_mappings.search_references`,
`app.fhir_mappings.search_quantities`, `app.fhir_mappings.search_filter`.
Pinned: hl7.org/fhir/R4/search.html#ptypes, #modifiers, #chaining, #has, #composite.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from app.errors import FhirError, IssueCode, fhir_error
from app.fhir_mappings.canonicals import named, naming
from app.fhir_mappings.index_rows import COLUMNS
from app.fhir_mappings.registry import is_resource_type, type_code, type_name
from app.fhir_mappings.search_clauses import (
    AllOf,
    AnyOf,
    ChainClause,
    Clause,
    CompositeClause,
    DateClause,
    IdClause,
    LastUpdatedClause,
    Not,
    StringClause,
    StringMode,
    TextClause,
    TokenClause,
    merged,
)
from app.fhir_mappings.search_keys import (
    component_parameter,
    parameter_key,
    presence_key,
)
from app.fhir_mappings.search_parameters import SearchParameter, parameter
from app.fhir_mappings.search_quantities import near_clause, number_clause, quantity_clause
from app.fhir_mappings.search_references import reference_clause, targets_of, with_own_entries
from app.fhir_mappings.search_tokens import strings, token_clause, uri_clause
from app.fhir_mappings.search_values import (
    alternatives,
    boolean,
    date,
    fault,
    logical_id,
    refuse,
    split,
)
from app.fhir_mappings.string_rows import normalize

MAX_DEPTH: Final = 8
"""Links that one parameter may follow."""

_MODES: Final[dict[str, StringMode]] = {"": "starts", "exact": "exact", "contains": "contains"}
_SEARCHED: Final = frozenset(
    {"token", "reference", "uri", "string", "date", "number", "quantity", "composite", "special"}
)
_LIST_ITEM: Final = "item"


@dataclass(frozen=True, slots=True)
class Reading:
    """What reading depends on.

    base_urls: addresses of this server without a slash at the end. may_search: resource types that
    the caller's scopes let it ask about, for links to follow.
    """

    base_urls: tuple[str, ...] = ()
    may_search: Callable[[str], bool] = is_resource_type


def read(
    types: tuple[str, ...],
    name: str,
    text: str,
    reading: Reading,
    *,
    told: str = "",
    depth: int = 0,
) -> Clause | None:
    """The clause of one parameter; None where a type has none of that name.

    name: with modifiers and chain. text: the value as sent. told: the name that errors give, where
    `name` is only the end of it.

    Raises FhirError (400): not-supported for a modifier or a kind of parameter that is not searched,
    invalid for a value that the type cannot have; 403 where scopes do not allow what is followed.
    """
    told = told or name
    if depth > MAX_DEPTH:
        refuse(IssueCode.TOO_COSTLY, f"Follow at most {MAX_DEPTH} links.", told)
    found: list[Clause] = []
    for each in types:
        clause = _of_type(each, name, text, reading, told, depth)
        if clause is None:
            return None
        found.append(clause)
    return merged(found)


def _of_type(
    type_: str, name: str, text: str, reading: Reading, told: str, depth: int
) -> Clause | None:
    if name.startswith("_has:"):
        return _has(type_, name, text, reading, told, depth)
    head, dot, rest = name.partition(".")
    code, _, modifier = head.partition(":")
    if code in ("_text", "_content"):
        return _text(code, modifier, dot, text, told)
    if code == "_list":
        return _list(modifier or dot, text, reading, told)
    of = parameter(type_, code)
    if of is None:
        return None
    if dot:
        return _chain(type_, of, modifier, rest, text, reading, told, depth)
    return clause_of(type_, of, modifier, text, reading, told)


def _text(code: str, modifier: str, dot: str, text: str, told: str) -> Clause:
    if modifier or dot:
        refuse(IssueCode.NOT_SUPPORTED, "This parameter has no modifiers and no chain.", told)
    if not text.strip():
        refuse(IssueCode.INVALID, "Give words to look for.", told)
    return TextClause("narrative" if code == "_text" else "content", normalize(text))


def _list(more: str, text: str, reading: Reading, told: str) -> Clause:
    if more:
        refuse(IssueCode.NOT_SUPPORTED, "This parameter has no modifiers and no chain.", told)
    if text.startswith("$"):
        refuse(IssueCode.NOT_SUPPORTED, "Of lists, only stored List resources are searched.", told)
    if not reading.may_search("List"):
        raise no_scope("List")
    ids = tuple(logical_id(each.removeprefix("List/"), told) for each in alternatives(text, told))
    key = parameter_key("List", _LIST_ITEM)
    return ChainClause((key,), (type_code("List"),), (IdClause(ids),), reverse=True)


def _chain(
    type_: str,
    of: SearchParameter,
    modifier: str,
    rest: str,
    text: str,
    reading: Reading,
    told: str,
    depth: int,
) -> Clause:
    if of.type != "reference" or not of.expression:
        refuse(IssueCode.INVALID, "Only a reference parameter can be followed by a dot.", told)
    targets = targets_of(of, modifier, told)
    if not targets:
        refuse(
            IssueCode.INVALID,
            "This parameter points at any type: name it, as in target:Patient.name.",
            told,
        )
    allowed = tuple(each for each in targets if reading.may_search(each))
    if not allowed:
        raise no_scope(targets[0])
    taken: list[tuple[str, Clause]] = []
    fault: FhirError | None = None
    for each in allowed:
        try:
            clause = read((each,), rest, text, reading, told=told, depth=depth + 1)
        except FhirError as error:
            fault = error
            continue
        if clause is not None:
            taken.append((each, clause))
    if not taken:
        if fault is not None:
            raise fault
        refuse(IssueCode.INVALID, "No type that it points at has the parameter asked of it.", told)
    types = tuple(type_code(each) for each, _ in taken)
    inner = merged([clause for _, clause in taken])
    return chain(type_, of, types, inner)


def chain(type_: str, of: SearchParameter, types: tuple[int, ...], inner: Clause) -> ChainClause:
    """What a reference parameter of a type leads to satisfies `inner`. types: codes of what it leads to."""
    by_name = naming(type_, of)
    called = named(map(type_name, types)) if by_name else ()
    return ChainClause(
        (parameter_key(type_, of.code),), types, (inner,), naming=by_name, named=called
    )


def _has(type_: str, name: str, text: str, reading: Reading, told: str, depth: int) -> Clause:
    parts = name.split(":", 3)
    if len(parts) < 4 or not is_resource_type(parts[1]) or not parts[3]:
        refuse(IssueCode.INVALID, "Give _has:Type:reference:parameter=value.", told)
    _, source, code, rest = parts
    of = parameter(source, code)
    if of is None or of.type != "reference" or not of.expression:
        refuse(IssueCode.INVALID, "Name a reference parameter of the type in _has.", told)
    if not reading.may_search(source):
        raise no_scope(source)
    clause = read((source,), rest, text, reading, told=told, depth=depth + 1)
    if clause is None:
        refuse(IssueCode.INVALID, "The type in _has has no such search parameter.", told)
    by_name = naming(source, of)
    return ChainClause(
        (parameter_key(source, code),),
        (type_code(source),),
        (clause,),
        reverse=True,
        naming=by_name,
        named=named((type_,)) if by_name else (),
    )


def no_scope(type_: str) -> FhirError:
    """403: the caller's scopes let nothing of this type be searched."""
    return fhir_error(
        IssueCode.FORBIDDEN, f"The access token lacks the scope system/{type_}.s.", status=403
    )


def clause_of(
    type_: str, of: SearchParameter, modifier: str, text: str, reading: Reading, told: str
) -> Clause:
    """The clause of a parameter of one type, without chain. Errors as of `read`."""
    if of.code in COLUMNS and modifier == "missing":
        # Every resource has them.
        return AnyOf(()) if boolean(text, told) else AllOf(())
    if of.code == "_id":
        _only(("not",), modifier, told)
        ids = IdClause(tuple(logical_id(each, told) for each in alternatives(text, told)))
        return Not(ids) if modifier == "not" else ids
    if of.code == "_lastUpdated":
        _only((), modifier, told)
        return LastUpdatedClause(tuple(date(each, told) for each in alternatives(text, told)))
    if not of.expression or of.type not in _SEARCHED:
        refuse(IssueCode.NOT_SUPPORTED, "This parameter cannot be searched here.", told)
    if of.type == "composite":
        _only((), modifier, told)
        return _composite(type_, of, text, reading, told)
    if modifier == "missing":
        missing = boolean(text, told)
        return with_own_entries(
            type_, of.code, TokenClause((presence_key(type_, of.code),), missing, missing), None
        )
    return _value(type_, of.code, of, modifier, text, reading, told)


def _value(
    type_: str,
    code: str,
    of: SearchParameter,
    modifier: str,
    text: str,
    reading: Reading,
    told: str,
) -> Clause:
    """code: the name under which rows are filed: the parameter's own, or a component's."""
    match of.type:
        case "token":
            return token_clause(type_, code, modifier, text, told)
        case "reference":
            return reference_clause(type_, code, of, modifier, text, reading.base_urls, told)
        case "uri":
            return uri_clause(type_, code, modifier, text, told)
        case "date":
            _only((), modifier, told)
            ranges = tuple(date(each, told) for each in alternatives(text, told))
            return DateClause((parameter_key(type_, code),), ranges)
        case "number":
            _only((), modifier, told)
            return number_clause(type_, code, text, told)
        case "quantity":
            _only((), modifier, told)
            return quantity_clause(type_, code, text, told)
        case "special" if code == "near":
            _only((), modifier, told)
            return near_clause(type_, code, text, told)
        case "string":
            _only(("exact", "contains"), modifier, told)
            mode = _MODES[modifier]
            return StringClause((parameter_key(type_, code),), mode, strings(text, mode, told))
        case _:
            raise fault(IssueCode.NOT_SUPPORTED, "This parameter cannot be searched here.", told)


def _only(modifiers: tuple[str, ...], modifier: str, told: str) -> None:
    if modifier and modifier not in modifiers:
        refuse(IssueCode.NOT_SUPPORTED, "This parameter has no such modifier here.", told)


def _composite(type_: str, of: SearchParameter, text: str, reading: Reading, told: str) -> Clause:
    whole = of.of_whole(type_)
    found: list[tuple[Clause, ...]] = []
    for each in alternatives(text, told):
        parts = split(each, "$")
        if len(parts) != len(of.components) or not all(parts):
            refuse(
                IssueCode.INVALID,
                f"Give the {len(of.components)} values of this composite, separated by $.",
                told,
            )
        clauses = []
        for position, (component, part) in enumerate(zip(of.components, parts, strict=True)):
            compared = SearchParameter(
                component.url,
                component.code,
                component.type,
                component.expression,
                component.targets,
            )
            code = component.code if whole else component_parameter(of.code, position)
            clauses.append(_value(type_, code, compared, "", part, reading, told))
        found.append(tuple(clauses))
    if whole:
        # One element, the resource itself: its components are parameters with rows of their own.
        return AnyOf(tuple(AllOf(each) for each in found))
    return CompositeClause(tuple(found))
