"""A resource as the rows by which searches find it.

Each type is compiled once to a plan: JSON property of the resource to the fields that begin with
it, so that the cost follows what a resource holds, not how many parameters its type has. Keys:
`app.fhir_mappings.search_keys`. `_id` and `_lastUpdated` are columns of the resource and have no
rows. Composite, quantity and number parameters have rows of presence only, so far.

Pinned: hl7.org/fhir/R4/search.html.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any, Final, TypeAlias

from app.fhir_mappings.date_rows import RANGE_OF
from app.fhir_mappings.json_text import JsonObject
from app.fhir_mappings.path import Step, Track, extend, run
from app.fhir_mappings.reference_value import ReferenceKind, parse_reference
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
from app.fhir_mappings.search_parameters import SearchParameter, parameters
from app.fhir_mappings.string_rows import TEXTS_OF, exact, searchable
from app.fhir_mappings.token_rows import Pair, identifier_pairs, pairs_of

COLUMNS: Final = frozenset({"_id", "_lastUpdated"})
"""Parameters of every type that are columns of the resource."""


@dataclass(frozen=True, slots=True)
class IndexRows:
    """Rows of one resource, each distinct, in no order that matters.

    tokens: keys of all that is matched by equality, and of presence. references: (parameter key,
    target type, target id), literal ones to this server. dates: (parameter key, low inclusive, high
    exclusive), UTC, None is unbounded. strings: (parameter key, normalized, exact), both cut as
    `app.fhir_mappings.string_rows` says.
    """

    tokens: list[int]
    references: list[tuple[int, str, str]]
    dates: list[tuple[int, datetime | None, datetime | None]]
    strings: list[tuple[int, str, str]]


@dataclass(slots=True)
class _Rows:
    """Rows being gathered; dicts for their keys, which are distinct and stay in order."""

    base_urls: tuple[str, ...]
    tokens: dict[int, None] = field(default_factory=dict)
    references: dict[tuple[int, str, str], None] = field(default_factory=dict)
    dates: dict[tuple[int, datetime | None, datetime | None], None] = field(default_factory=dict)
    strings: dict[tuple[int, str, str], None] = field(default_factory=dict)


_Writer: TypeAlias = Callable[[Any, _Rows], None]


@dataclass(frozen=True, slots=True)
class _Field:
    """One track of a parameter. steps: after the first property; write: None for presence only."""

    presence: int
    steps: tuple[Step, ...]
    write: _Writer | None


def extract(resource: JsonObject, base_urls: tuple[str, ...] = ()) -> IndexRows:
    """The index rows of a resource.

    resource: one that `app.fhir_mappings.validate` accepts. base_urls: addresses of this server,
    without a slash at the end; an absolute reference below one of them is local. Contained
    resources are not searched.
    """
    rows = _Rows(base_urls)
    plan = _plan(resource["resourceType"])
    for key, value in resource.items():
        fields = plan.get(key)
        if fields is None:
            continue
        values = [each for each in value if each is not None] if type(value) is list else [value]
        for each_field in fields:
            _fill(each_field, values, resource, rows)
    for each_field in plan.get(None, ()):
        _fill(each_field, [resource], resource, rows)
    return IndexRows(
        tokens=list(rows.tokens),
        references=list(rows.references),
        dates=list(rows.dates),
        strings=list(rows.strings),
    )


def _fill(each: _Field, values: list[Any], resource: JsonObject, rows: _Rows) -> None:
    if each.steps:
        values = run(each.steps, values, resource)
    if not values:
        return
    rows.tokens[each.presence] = None
    if each.write is not None:
        for value in values:
            each.write(value, rows)


@cache
def _plan(resource_type: str) -> dict[str | None, tuple[_Field, ...]]:
    found: dict[str | None, list[_Field]] = {}
    for code, each in parameters(resource_type).items():
        if code in COLUMNS or each.type in ("composite", "special"):
            continue
        presence = presence_key(resource_type, code)
        for track in _leaves(each.path(resource_type).tracks):
            steps = track.steps if track.key is None else track.steps[1:]
            write = _writer(resource_type, each, track)
            found.setdefault(track.key, []).append(_Field(presence, steps, write))
    return {key: tuple(fields) for key, fields in found.items()}


def _leaves(tracks: tuple[Track, ...]) -> Iterator[Track]:
    """An expression that ends at an extension means the extension's value."""
    for track in tracks:
        if track.type == "Extension":
            yield from extend(track, "value")
        else:
            yield track


def _writer(resource_type: str, of: SearchParameter, track: Track) -> _Writer | None:
    match of.type:
        case "token":
            pairs = pairs_of(track.type, track.slot)
            if pairs is None:
                return None
            write_pair = _pair_writer(resource_type, of.code)
            return lambda value, rows: _each(write_pair, pairs(value), rows)
        case "reference":
            return _reference_writer(resource_type, of.code, track.type)
        case "uri":
            write_uri = _uri_writer(resource_type, of.code)
            return write_uri if track.type in _URI_TYPES else None
        case "date":
            return _date_writer(parameter_key(resource_type, of.code), track.type)
        case "string":
            return _string_writer(parameter_key(resource_type, of.code), track.type)
    return None


_URI_TYPES: Final = frozenset({"uri", "url", "canonical", "oid", "uuid"})


def _each(write: Callable[[Pair, _Rows], None], pairs: Iterator[Pair], rows: _Rows) -> None:
    for pair in pairs:
        write(pair, rows)


def _pair_writer(resource_type: str, code: str) -> Callable[[Pair, _Rows], None]:
    def write(pair: Pair, rows: _Rows) -> None:
        system, value = pair
        if value is not None:
            rows.tokens[token_key(resource_type, code, system, value)] = None
            rows.tokens[token_value_key(resource_type, code, value)] = None
        if system:
            rows.tokens[token_system_key(resource_type, code, system)] = None

    return write


def _uri_writer(resource_type: str, code: str) -> _Writer:
    def write(value: str, rows: _Rows) -> None:
        rows.tokens[uri_key(resource_type, code, value)] = None
        unversioned, bar, _ = value.partition("|")
        if bar:
            # A canonical is found by its URL whichever its version (references.html#canonical).
            rows.tokens[uri_key(resource_type, code, unversioned)] = None

    return write


def _reference_writer(resource_type: str, code: str, type_name: str) -> _Writer | None:
    row = parameter_key(resource_type, code)
    write_uri = _uri_writer(resource_type, code)
    write_pair = _pair_writer(resource_type, identifier_parameter(code))

    def write_text(text: str, rows: _Rows) -> None:
        target = parse_reference(text, rows.base_urls)
        if target.kind is ReferenceKind.LOCAL and target.type and target.id:
            rows.tokens[reference_key(resource_type, code, target.type, target.id)] = None
            rows.references[(row, target.type, target.id)] = None
        elif target.kind is ReferenceKind.ABSOLUTE:
            write_uri(text, rows)

    def write_reference(value: JsonObject, rows: _Rows) -> None:
        text = value.get("reference")
        if text is not None:
            write_text(text, rows)
        identifier = value.get("identifier")
        if identifier is not None:
            _each(write_pair, identifier_pairs(identifier), rows)

    def write_canonical(value: str, rows: _Rows) -> None:
        write_text(value.partition("|")[0], rows)
        write_uri(value, rows)

    def write_resource(value: JsonObject, rows: _Rows) -> None:
        if "id" in value:
            key = reference_key(resource_type, code, value["resourceType"], value["id"])
            rows.tokens[key] = None

    match type_name:
        case "Reference":
            return write_reference
        case "canonical" | "uri":
            return write_canonical
        case "Resource":
            return write_resource
    return None


def _date_writer(row: int, type_name: str) -> _Writer | None:
    range_of = RANGE_OF.get(type_name)
    if range_of is None:
        return None

    def write(value: Any, rows: _Rows) -> None:
        found = range_of(value)
        if found is not None:
            rows.dates[(row, found.low, found.high)] = None

    return write


def _string_writer(row: int, type_name: str) -> _Writer | None:
    texts_of = TEXTS_OF.get(type_name)
    if texts_of is None:
        return None

    def write(value: Any, rows: _Rows) -> None:
        for text in texts_of(value):
            rows.strings[(row, searchable(text), exact(text))] = None

    return write
