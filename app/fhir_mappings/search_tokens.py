"""Values of token, uri and string parameters: systems and codes, hierarchies of paths, texts.

Pinned: hl7.org/fhir/R4/search.html#token, #uri, #string. Neighbour: `app.fhir_mappings.search_reading`.
"""

from __future__ import annotations

from collections.abc import Iterator

from app.errors import IssueCode
from app.fhir_mappings.search_clauses import (
    AllOf,
    AnyOf,
    Clause,
    StringClause,
    StringMode,
    TerminologyClause,
    TokenClause,
)
from app.fhir_mappings.search_keys import (
    of_type_key,
    sort_key,
    text_key,
    token_key,
    token_system_key,
    token_value_key,
    uri_key,
)
from app.fhir_mappings.search_values import alternatives, fault, refuse, split, unescape
from app.fhir_mappings.string_rows import MAX_TEXT, exact, searchable


def token_clause(type_: str, code: str, modifier: str, text: str, told: str) -> Clause:
    """The clause of a token parameter. code: the name under which rows are filed."""
    match modifier:
        case "" | "not":
            return TokenClause(token_keys(type_, code, text, told), modifier == "not")
        case "text":
            return StringClause((text_key(type_, code),), "starts", strings(text, "starts", told))
        case "of-type":
            keys = (_of_type_key(type_, code, each, told) for each in alternatives(text, told))
            return TokenClause(tuple(dict.fromkeys(keys)))
        case "in" | "not-in":
            sets = [
                TerminologyClause(modifier, "", unescape(each), ((type_, code),), told)
                for each in alternatives(text, told)
            ]
            if len(sets) == 1:
                return sets[0]
            return AnyOf(tuple(sets)) if modifier == "in" else AllOf(tuple(sets))
        case "above" | "below":
            return AnyOf(
                tuple(
                    TerminologyClause(
                        modifier, *_system_and_code(each, told), ((type_, code),), told
                    )
                    for each in alternatives(text, told)
                )
            )
        case _:
            raise fault(IssueCode.NOT_SUPPORTED, "This parameter has no such modifier here.", told)


def _system_and_code(text: str, told: str) -> tuple[str, str]:
    parts = [unescape(each) for each in split(text, "|")]
    if len(parts) != 2 or not all(parts):
        refuse(IssueCode.INVALID, "Give system|code, because a hierarchy is of one system.", told)
    return parts[0], parts[1]


def _of_type_key(type_: str, code: str, text: str, told: str) -> int:
    parts = [unescape(each) for each in split(text, "|")]
    if len(parts) != 3 or not parts[1] or not parts[2]:
        refuse(IssueCode.INVALID, "Give system|type code|identifier value.", told)
    return of_type_key(type_, code, *parts)


def token_keys(type_: str, code: str, text: str, told: str) -> tuple[int, ...]:
    """Keys of the alternatives of a token value."""

    def key(value: str) -> int:
        parts = [unescape(each) for each in split(value, "|")]
        if len(parts) == 1:
            return token_value_key(type_, code, parts[0])
        if len(parts) > 2 or not any(parts):
            refuse(IssueCode.INVALID, "Give code, system|code, |code or system|.", told)
        system, token = parts
        if not token:
            return token_system_key(type_, code, system)
        return token_key(type_, code, system, token)

    return tuple(dict.fromkeys(key(each) for each in alternatives(text, told)))


def uri_clause(type_: str, code: str, modifier: str, text: str, told: str) -> Clause:
    """The clause of a uri parameter."""
    values = [unescape(each) for each in alternatives(text, told)]
    match modifier:
        case "":
            return TokenClause(tuple(dict.fromkeys(uri_key(type_, code, each) for each in values)))
        case "below":
            for each in values:
                if len(each) > MAX_TEXT - 1:
                    refuse(IssueCode.INVALID, f"Give at most {MAX_TEXT - 1} characters.", told)
            return StringClause((sort_key(type_, code),), "below", tuple(dict.fromkeys(values)))
        case "above":
            keys = (uri_key(type_, code, part) for each in values for part in _above(each))
            return TokenClause(tuple(dict.fromkeys(keys)))
        case _:
            raise fault(IssueCode.NOT_SUPPORTED, "This parameter has no such modifier here.", told)


def _above(uri: str) -> Iterator[str]:
    """The URI and every URI that it continues after a slash."""
    yield uri
    scheme, separator, path = uri.partition("://")
    parts = path.split("/") if separator else []
    for length in range(len(parts) - 1, 0, -1):
        shorter = "/".join(parts[:length])
        yield f"{scheme}://{shorter}"
        yield f"{scheme}://{shorter}/"


def strings(text: str, mode: StringMode, told: str) -> tuple[str, ...]:
    """The alternatives of a string value as rows hold them."""
    values = [unescape(each) for each in alternatives(text, told)]
    found = [exact(each) if mode == "exact" else searchable(each) for each in values]
    if not all(found):
        refuse(IssueCode.INVALID, "Give text that has letters, digits or signs.", told)
    return tuple(dict.fromkeys(found))
