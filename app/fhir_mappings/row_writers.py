"""What one value of a resource writes into the search index, by type of parameter and of value.

`app.fhir_mappings.index_rows` finds the values and calls the writers made here. Keys:
`app.fhir_mappings.search_keys`. Of one token up to six rows are written: `system|code`, `code`,
`system|`, an identifier's type, what it is called (`:text`) and by what it sorts.

Pinned: hl7.org/fhir/R4/search.html#ptypes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, TypeAlias

from app.fhir_mappings.date_rows import RANGE_OF
from app.fhir_mappings.json_text import JsonObject
from app.fhir_mappings.number_rows import NumberSpan, amounts_of, numbers_of
from app.fhir_mappings.path import Track
from app.fhir_mappings.reference_value import ReferenceKind, parse_reference
from app.fhir_mappings.search_keys import (
    canonical_key,
    canonical_name,
    canonical_quantity_key,
    coordinate_parameter,
    identifier_parameter,
    of_type_key,
    parameter_key,
    quantity_key,
    quantity_unit_key,
    reference_key,
    sort_key,
    text_key,
    token_key,
    token_system_key,
    token_value_key,
    uri_key,
)
from app.fhir_mappings.string_rows import MAX_TEXT, TEXTS_OF, exact, searchable
from app.fhir_mappings.token_rows import (
    Pair,
    identifier_pairs,
    of_type_triples,
    pairs_of,
    texts_of,
)
from app.fhir_mappings.ucum import UCUM, conversion


@dataclass(frozen=True, slots=True)
class IndexRows:
    """Rows of one resource, each distinct, in no order that matters.

    tokens: keys of all that is matched by equality, and of presence. references: (parameter key,
    target type, target id), literal ones to this server. dates: (parameter key, low inclusive, high
    exclusive), UTC, None is unbounded. strings: (parameter key, normalized, exact), both cut as
    `app.fhir_mappings.string_rows` says. numbers: (key, low, high), both included. items: rows of
    the elements that composite parameters look at, an item each, never with items of their own.
    """

    tokens: list[int]
    references: list[tuple[int, str, str]]
    dates: list[tuple[int, datetime | None, datetime | None]]
    strings: list[tuple[int, str, str]]
    numbers: list[tuple[int, float, float]] = field(default_factory=list)
    items: list[IndexRows] = field(default_factory=list)


@dataclass(slots=True)
class RowBuilder:
    """Rows being gathered; dicts for their keys, which are distinct and stay in order."""

    base_urls: tuple[str, ...]
    tokens: dict[int, None] = field(default_factory=dict)
    references: dict[tuple[int, str, str], None] = field(default_factory=dict)
    dates: dict[tuple[int, datetime | None, datetime | None], None] = field(default_factory=dict)
    strings: dict[tuple[int, str, str], None] = field(default_factory=dict)
    numbers: dict[tuple[int, float, float], None] = field(default_factory=dict)

    def built(self) -> IndexRows:
        """What was gathered."""
        return IndexRows(
            tokens=list(self.tokens),
            references=list(self.references),
            dates=list(self.dates),
            strings=list(self.strings),
            numbers=list(self.numbers),
        )


Writer: TypeAlias = Callable[[Any, RowBuilder], None]


def writer(resource_type: str, code: str, type_: str, track: Track) -> Writer | None:
    """What writes the values of a track; None where the parameter's type cannot compare them.

    code, type_: of the parameter, or of a composite's component.
    """
    match type_:
        case "token":
            return _token_writer(resource_type, code, track)
        case "reference":
            return _reference_writer(resource_type, code, track.type)
        case "uri":
            return _uri_writer(resource_type, code) if track.type in _URI_TYPES else None
        case "date":
            return _date_writer(parameter_key(resource_type, code), track.type)
        case "string":
            return _string_writer(parameter_key(resource_type, code), track.type)
        case "number":
            return _number_writer(parameter_key(resource_type, code), track.type)
        case "quantity":
            return _quantity_writer(resource_type, code, track.type)
        case "special" if track.type == "Location.position":
            return _position_writer(resource_type, code)
    return None


_URI_TYPES: Final = frozenset({"uri", "url", "canonical", "oid", "uuid"})


def _each(
    write: Callable[[Pair, RowBuilder], None], pairs: Iterator[Pair], rows: RowBuilder
) -> None:
    for pair in pairs:
        write(pair, rows)


def _pair_writer(resource_type: str, code: str) -> Callable[[Pair, RowBuilder], None]:
    def write(pair: Pair, rows: RowBuilder) -> None:
        system, value = pair
        if value is not None:
            rows.tokens[token_key(resource_type, code, system, value)] = None
            rows.tokens[token_value_key(resource_type, code, value)] = None
        if system:
            rows.tokens[token_system_key(resource_type, code, system)] = None

    return write


def _token_writer(resource_type: str, code: str, track: Track) -> Writer | None:
    pairs = pairs_of(track.type, track.slot)
    if pairs is None:
        return None
    write_pair = _pair_writer(resource_type, code)
    texts = texts_of(track.type)
    text_row, sort_row = text_key(resource_type, code), sort_key(resource_type, code)

    def write(value: Any, rows: RowBuilder) -> None:
        for pair in pairs(value):
            write_pair(pair, rows)
            if pair[1] is not None:
                cut = pair[1][:MAX_TEXT]
                rows.strings[(sort_row, cut, cut)] = None
        for text in texts(value) if texts else ():
            rows.strings[(text_row, searchable(text), exact(text))] = None
        if track.type == "Identifier":
            for system, type_code, held in of_type_triples(value):
                rows.tokens[of_type_key(resource_type, code, system, type_code, held)] = None

    return write


def _uri_writer(resource_type: str, code: str) -> Writer:
    sort_row = sort_key(resource_type, code)

    def write(value: str, rows: RowBuilder) -> None:
        rows.tokens[uri_key(resource_type, code, value)] = None
        unversioned, bar, _ = value.partition("|")
        if bar:
            # A canonical is found by its URL whichever its version (references.html#canonical).
            rows.tokens[uri_key(resource_type, code, unversioned)] = None
        rows.strings[(sort_row, value[:MAX_TEXT], exact(value))] = None

    return write


def _reference_writer(resource_type: str, code: str, type_name: str) -> Writer | None:
    row = parameter_key(resource_type, code)
    named_row = canonical_key(resource_type, code)
    write_pair = _pair_writer(resource_type, identifier_parameter(code))

    def write_uri(text: str, rows: RowBuilder) -> None:
        rows.tokens[uri_key(resource_type, code, text)] = None
        unversioned, bar, _ = text.partition("|")
        if bar:
            rows.tokens[uri_key(resource_type, code, unversioned)] = None

    def write_text(text: str, rows: RowBuilder) -> None:
        target = parse_reference(text, rows.base_urls)
        if target.kind is ReferenceKind.LOCAL and target.type and target.id:
            rows.tokens[reference_key(resource_type, code, target.type, target.id)] = None
            rows.references[(row, target.type, target.id)] = None
            if target.version is not None:
                held = f"{target.id}/_history/{target.version}"
                rows.tokens[reference_key(resource_type, code, target.type, held)] = None
        elif target.kind is ReferenceKind.ABSOLUTE:
            write_uri(text, rows)

    def write_reference(value: JsonObject, rows: RowBuilder) -> None:
        text = value.get("reference")
        if text is not None:
            write_text(text, rows)
        identifier = value.get("identifier")
        if identifier is not None:
            _each(write_pair, identifier_pairs(identifier), rows)

    def write_canonical(value: str, rows: RowBuilder) -> None:
        write_text(value.partition("|")[0], rows)
        write_uri(value, rows)
        # A part of the definition (`#part`) is not told apart.
        url, _, version = value.partition("#")[0].partition("|")
        write_name(named_row, url, version, rows)

    def write_resource(value: JsonObject, rows: RowBuilder) -> None:
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


def write_name(row: int, url: str, version: str, rows: RowBuilder) -> None:
    """The row that joins a canonical to what it names; version: "" for any, or for none."""
    rows.strings[(row, canonical_name(url), exact(version))] = None


def _date_writer(row: int, type_name: str) -> Writer | None:
    range_of = RANGE_OF.get(type_name)
    if range_of is None:
        return None

    def write(value: Any, rows: RowBuilder) -> None:
        found = range_of(value)
        if found is not None:
            rows.dates[(row, found.low, found.high)] = None

    return write


def _string_writer(row: int, type_name: str) -> Writer | None:
    texts = TEXTS_OF.get(type_name)
    if texts is None:
        return None

    def write(value: Any, rows: RowBuilder) -> None:
        for text in texts(value):
            rows.strings[(row, searchable(text), exact(text))] = None

    return write


def _number_writer(row: int, type_name: str) -> Writer | None:
    spans = numbers_of(type_name)
    if spans is None:
        return None

    def write(value: Any, rows: RowBuilder) -> None:
        for span in spans(value):
            rows.numbers[(row, *span)] = None

    return write


def _quantity_writer(resource_type: str, code: str, type_name: str) -> Writer | None:
    amounts = amounts_of(type_name)
    if amounts is None:
        return None
    any_unit = quantity_key(resource_type, code, "", "")

    def write(value: Any, rows: RowBuilder) -> None:
        for span, system, unit_code, unit in amounts(value):
            rows.numbers[(any_unit, *span)] = None
            for word in {unit_code, unit} - {""}:
                rows.numbers[(quantity_unit_key(resource_type, code, word), *span)] = None
            if system and unit_code:
                key = quantity_key(resource_type, code, system, unit_code)
                rows.numbers[(key, *span)] = None
            converted = conversion(unit_code) if system == UCUM and unit_code else None
            if converted is not None:
                key = canonical_quantity_key(resource_type, code, converted.dimension)
                low, high = sorted((converted.apply(span.low), converted.apply(span.high)))
                rows.numbers[(key, low, high)] = None

    return write


def _position_writer(resource_type: str, code: str) -> Writer:
    keys = {
        axis: parameter_key(resource_type, coordinate_parameter(code, axis))
        for axis in ("latitude", "longitude")
    }

    def write(value: JsonObject, rows: RowBuilder) -> None:
        for axis, key in keys.items():
            span = NumberSpan(float(value[axis]), float(value[axis]))
            rows.numbers[(key, *span)] = None

    return write
