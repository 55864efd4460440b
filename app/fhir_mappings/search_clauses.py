r"""What a search asks, as typed clauses; and the values of one parameter read into a clause.

`app.fhir_mappings.search_query` reads a whole query and calls `clause`; `app.storage` turns clauses
into SQL. Keys are those of `app.fhir_mappings.search_keys`, so a clause holds no name of a
parameter, and a value only where rows hold it (strings, dates).

Escapes: `\,` `\|` `\$` and `\\` stand for the character; any other backslash for itself. An
empty alternative is refused: dropping it would widen the search.

Pinned: hl7.org/fhir/R4/search.html#ptypes, #modifiers, #prefix, #escaping.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, NoReturn, TypeAlias

from app.errors import IssueCode, fhir_error
from app.fhir_mappings.date_rows import date_range
from app.fhir_mappings.reference_value import ReferenceKind, parse_reference
from app.fhir_mappings.registry import is_resource_type
from app.fhir_mappings.search_keys import (
    identifier_parameter,
    parameter_key,
    presence_key,
    reference_key,
    token_key,
    token_system_key,
    token_value_key,
    uri_key,
)
from app.fhir_mappings.search_parameters import SearchParameter
from app.fhir_mappings.string_rows import exact, searchable

MAX_ALTERNATIVES: Final = 1000
"""Values, separated by commas, that one parameter may have."""

DatePrefix: TypeAlias = Literal["eq", "ne", "gt", "ge", "lt", "le", "sa", "eb", "ap"]
StringMode: TypeAlias = Literal["starts", "exact", "contains"]


@dataclass(frozen=True, slots=True)
class TokenClause:
    """A token row with any of `keys` exists; where `negated`, none does.

    For token, reference and uri parameters, and for presence (`:missing`) of every type: then
    `missing` is what was asked and `negated` is the same.
    """

    keys: tuple[int, ...]
    negated: bool = False
    missing: bool | None = None


@dataclass(frozen=True, slots=True)
class StringClause:
    """A string row under `key` matches any of `values`.

    starts, contains: values are normalized, to be held against the normalized column. exact: values
    are as `app.fhir_mappings.string_rows.exact` makes them, for the exact column.
    """

    key: int
    mode: StringMode
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DateRange:
    """A prefix and the range of the date as written: low inclusive, high exclusive, UTC.

    None is unbounded (a date at the end of the calendar). `ap` carries the range as written; how
    much wider it is taken depends on the present time, which is not known here.
    """

    prefix: DatePrefix
    low: datetime | None
    high: datetime | None


@dataclass(frozen=True, slots=True)
class DateClause:
    """A date row under `key` satisfies any of `alternatives`."""

    key: int
    alternatives: tuple[DateRange, ...]


@dataclass(frozen=True, slots=True)
class LastUpdatedClause:
    """`last_updated` satisfies any of `alternatives`."""

    alternatives: tuple[DateRange, ...]


@dataclass(frozen=True, slots=True)
class IdClause:
    """The logical id is one of `ids`."""

    ids: tuple[str, ...]


Clause: TypeAlias = TokenClause | StringClause | DateClause | LastUpdatedClause | IdClause

_ID: Final = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_ESCAPED: Final = re.compile(r"\\([\\,|$])")
_PREFIXED: Final = re.compile(r"(eq|ne|gt|ge|lt|le|sa|eb|ap)?(.*)", re.DOTALL)
_PREFIXES: Final[dict[str, DatePrefix]] = {
    "eq": "eq",
    "ne": "ne",
    "gt": "gt",
    "ge": "ge",
    "lt": "lt",
    "le": "le",
    "sa": "sa",
    "eb": "eb",
    "ap": "ap",
}
_MODES: Final[dict[str, StringMode]] = {"": "starts", "exact": "exact", "contains": "contains"}
_NAME: Final = re.compile(r"[A-Za-z0-9_:.\-]{1,100}")


def refuse(code: IssueCode, diagnostics: str, name: str) -> NoReturn:
    """Raise the FhirError of one parameter; its name is told unless it is no name at all."""
    expression = (name,) if _NAME.fullmatch(name) else ()
    raise fhir_error(code, diagnostics, *expression, status=400)


def clause(
    resource_type: str,
    of: SearchParameter,
    modifier: str,
    text: str,
    base_urls: tuple[str, ...],
) -> Clause:
    """The clause of one parameter of a query.

    modifier: without its colon, "" for none. text: the value as sent, alternatives separated by
    commas. base_urls: addresses of this server without a slash at the end.

    Raises FhirError (400): not-supported for a type of parameter or a modifier that is not
    searched, invalid for a value that the type cannot have.
    """
    name = f"{of.code}:{modifier}" if modifier else of.code
    if of.code == "_id":
        _only((), modifier, name)
        return IdClause(tuple(_id(each, name) for each in alternatives(text, name)))
    if of.code == "_lastUpdated":
        _only((), modifier, name)
        return LastUpdatedClause(_dates(text, name))
    if not of.expression or of.type not in ("token", "reference", "uri", "string", "date"):
        refuse(IssueCode.NOT_SUPPORTED, "This parameter cannot be searched here.", name)
    if modifier == "missing":
        missing = boolean(text, name)
        return TokenClause((presence_key(resource_type, of.code),), missing, missing)
    match of.type:
        case "token":
            _only(("not",), modifier, name)
            return TokenClause(_tokens(resource_type, of.code, text, name), modifier == "not")
        case "reference":
            return _reference_clause(resource_type, of, modifier, text, base_urls)
        case "uri":
            _only((), modifier, name)
            values = (unescape(each) for each in alternatives(text, name))
            return TokenClause(_distinct(uri_key(resource_type, of.code, each) for each in values))
        case "date":
            _only((), modifier, name)
            return DateClause(parameter_key(resource_type, of.code), _dates(text, name))
        case _:
            _only(("exact", "contains"), modifier, name)
            return StringClause(
                parameter_key(resource_type, of.code),
                _MODES[modifier],
                _strings(text, _MODES[modifier], name),
            )


def split(text: str, separator: str) -> list[str]:
    """Parts between separators that no backslash escapes; the parts keep their escapes."""
    parts = [""]
    escaped = False
    for each in text:
        if each == separator and not escaped:
            parts.append("")
        else:
            parts[-1] += each
        escaped = each == "\\" and not escaped
    return parts


def unescape(text: str) -> str:
    """The text that a value with escapes stands for."""
    return _ESCAPED.sub(r"\1", text)


def alternatives(text: str, name: str) -> list[str]:
    """The values between commas, escapes kept; FhirError where one is empty or there are many."""
    parts = split(text, ",")
    if not all(parts):
        refuse(IssueCode.INVALID, "Give a value, and one on each side of a comma.", name)
    if len(parts) > MAX_ALTERNATIVES:
        refuse(IssueCode.INVALID, f"Give at most {MAX_ALTERNATIVES} alternatives.", name)
    return parts


def boolean(text: str, name: str) -> bool:
    """`true` or `false`; FhirError for any other text."""
    if text not in ("true", "false"):
        refuse(IssueCode.INVALID, "Give true or false.", name)
    return text == "true"


def _only(modifiers: tuple[str, ...], modifier: str, name: str) -> None:
    if modifier and modifier not in modifiers:
        refuse(IssueCode.NOT_SUPPORTED, "This parameter has no such modifier here.", name)


def _distinct(keys: Iterator[int]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(keys))


def _id(text: str, name: str) -> str:
    if not _ID.fullmatch(text):
        refuse(IssueCode.INVALID, "Give ids: 1 to 64 letters, digits, hyphens and dots.", name)
    return text


def _tokens(resource_type: str, code: str, text: str, name: str) -> tuple[int, ...]:
    def key(value: str) -> int:
        parts = [unescape(each) for each in split(value, "|")]
        if len(parts) == 1:
            return token_value_key(resource_type, code, parts[0])
        if len(parts) > 2 or not any(parts):
            refuse(IssueCode.INVALID, "Give code, system|code, |code or system|.", name)
        system, token = parts
        if not token:
            return token_system_key(resource_type, code, system)
        return token_key(resource_type, code, system, token)

    return _distinct(key(each) for each in alternatives(text, name))


def _reference_clause(
    resource_type: str,
    of: SearchParameter,
    modifier: str,
    text: str,
    base_urls: tuple[str, ...],
) -> TokenClause:
    name = f"{of.code}:{modifier}" if modifier else of.code
    if modifier == "identifier":
        return TokenClause(_tokens(resource_type, identifier_parameter(of.code), text, name))
    # What the parameter may point at; () where R4 says any.
    targets = tuple(each for each in of.targets if is_resource_type(each))
    asked = modifier if is_resource_type(modifier) else ""
    if asked:
        if targets and asked not in targets:
            refuse(IssueCode.INVALID, "This parameter does not point at that type.", name)
        targets = (asked,)
    else:
        _only(("not",), modifier, name)

    def keys() -> Iterator[int]:
        for each in alternatives(text, name):
            yield from _reference_keys(
                resource_type, of.code, unescape(each), targets, asked, base_urls, name
            )

    return TokenClause(_distinct(keys()), modifier == "not")


def _reference_keys(
    resource_type: str,
    code: str,
    text: str,
    targets: tuple[str, ...],
    asked: str,
    base_urls: tuple[str, ...],
    name: str,
) -> Iterator[int]:
    """Keys of one value: `id` (over the targets), `Type/id`, or a URL."""
    if _ID.fullmatch(text):
        if not targets:
            refuse(IssueCode.INVALID, "Give the type before the id: Type/id.", name)
        yield from (reference_key(resource_type, code, each, text) for each in targets)
        return
    target = parse_reference(text, base_urls)
    if asked and target.type != asked:
        refuse(IssueCode.INVALID, "Give a reference of the type that the modifier names.", name)
    if target.version is not None:
        refuse(IssueCode.NOT_SUPPORTED, "Give the reference without a version.", name)
    if target.kind is ReferenceKind.LOCAL and target.type and target.id:
        yield reference_key(resource_type, code, target.type, target.id)
    elif target.kind is ReferenceKind.ABSOLUTE:
        yield uri_key(resource_type, code, text)
    else:
        refuse(IssueCode.INVALID, "Give an id, Type/id or an absolute URL.", name)


def _dates(text: str, name: str) -> tuple[DateRange, ...]:
    return tuple(_date(each, name) for each in alternatives(text, name))


def _date(text: str, name: str) -> DateRange:
    match = _PREFIXED.fullmatch(text)
    prefix, date = match.groups() if match else (None, text)
    try:
        low, high = date_range(date)
    except ValueError:
        refuse(
            IssueCode.INVALID,
            "Give dates as YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm[:ss][zone], with a "
            "prefix or none (a plus sign is sent as %2B).",
            name,
        )
    return DateRange(_PREFIXES[prefix or "eq"], low, high)


def _strings(text: str, mode: StringMode, name: str) -> tuple[str, ...]:
    values = [unescape(each) for each in alternatives(text, name)]
    found = [exact(each) if mode == "exact" else searchable(each) for each in values]
    if not all(found):
        refuse(IssueCode.INVALID, "Give text that has letters, digits or signs.", name)
    return tuple(dict.fromkeys(found))
