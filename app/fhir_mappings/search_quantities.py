"""Values of number, quantity and near parameters.

A quantity is compared in base units where both its own unit and the row's are UCUM units that convert
(`app.fhir_mappings.ucum`), otherwise in exactly the unit asked; without a unit, whatever the row's is.

Pinned: hl7.org/fhir/R4/search.html#number, #quantity, hl7.org/fhir/R4/location.html#positional.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from app.errors import IssueCode
from app.fhir_mappings.number_rows import Written
from app.fhir_mappings.search_clauses import Clause, NearClause, NumberClause, NumberRange, Prefix
from app.fhir_mappings.search_keys import (
    canonical_quantity_key,
    coordinate_parameter,
    parameter_key,
    quantity_key,
    quantity_unit_key,
)
from app.fhir_mappings.search_values import alternatives, number, refuse, split, unescape
from app.fhir_mappings.ucum import UCUM, Conversion, conversion

_TENTH: Final = Decimal("0.1")
_DEFAULT_KILOMETRES: Final = 10.0


def number_clause(type_: str, code: str, text: str, told: str) -> Clause:
    """`[prefix]number`, alternatives separated by commas."""
    keys = (parameter_key(type_, code),)
    return NumberClause(
        tuple(_range(keys, *number(each, told)) for each in alternatives(text, told))
    )


def quantity_clause(type_: str, code: str, text: str, told: str) -> Clause:
    """`[prefix]number`, `…|system|code`, `…||unit`."""
    return NumberClause(
        tuple(_quantity(type_, code, each, told) for each in alternatives(text, told))
    )


def _quantity(type_: str, code: str, text: str, told: str) -> NumberRange:
    parts = [unescape(each) for each in split(text, "|")]
    prefix, asked = number(parts[0], told)
    if len(parts) == 1:
        return _range((quantity_key(type_, code, "", ""),), prefix, asked)
    if len(parts) != 3 or not parts[2]:
        refuse(IssueCode.INVALID, "Give number, number|system|code or number||unit.", told)
    system, unit = parts[1], parts[2]
    if not system:
        return _range((quantity_unit_key(type_, code, unit),), prefix, asked)
    converted = conversion(unit) if system == UCUM else None
    if converted is None:
        return _range((quantity_key(type_, code, system, unit),), prefix, asked)
    key = canonical_quantity_key(type_, code, converted.dimension)
    return _range((key,), prefix, asked, converted)


def _range(
    keys: tuple[int, ...], prefix: Prefix, asked: Written, converted: Conversion | None = None
) -> NumberRange:
    value, low, high = asked
    if prefix == "ap":
        # Approximately: a tenth of the value to either side (search.html#prefix).
        margin = abs(value) * _TENTH
        low, high = value - margin, value + margin
    if converted is None:
        return NumberRange(keys, prefix, float(value), float(low), float(high))
    ends = sorted((converted.apply(low), converted.apply(high)))
    return NumberRange(keys, prefix, converted.apply(value), ends[0], ends[1])


def near_clause(type_: str, code: str, text: str, told: str) -> Clause:
    """`latitude|longitude[|distance[|unit]]`; 10 km where no distance is given."""
    words = "Give latitude|longitude|distance|unit, in degrees and a UCUM unit of length."
    parts = [unescape(each) for each in split(text, "|")]
    if not 2 <= len(parts) <= 4:
        refuse(IssueCode.INVALID, words, told)
    try:
        latitude, longitude = float(parts[0]), float(parts[1])
        distance = float(parts[2]) if len(parts) > 2 and parts[2] else _DEFAULT_KILOMETRES
    except ValueError:
        refuse(IssueCode.INVALID, words, told)
    unit = conversion(parts[3] if len(parts) > 3 and parts[3] else "km")
    if unit is None or unit.dimension != "meter":
        refuse(IssueCode.INVALID, words, told)
    kilometres = unit.apply(distance) / 1000
    if not (abs(latitude) <= 90 and abs(longitude) <= 180 and 0 <= kilometres <= 20_100):
        refuse(IssueCode.INVALID, words, told)
    keys = [
        parameter_key(type_, coordinate_parameter(code, axis)) for axis in ("latitude", "longitude")
    ]
    return NearClause(keys[0], keys[1], latitude, longitude, kilometres)
