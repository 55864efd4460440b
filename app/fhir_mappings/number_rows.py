"""Numbers as closed ranges for search rows, and as ranges of their precision for queries.

A number is a range of one point, a Range or a Quantity with a comparator (`<5`) a wider one. Values are
64-bit floating point: B-tree comparison of `numeric` would not be leakproof and so could use no index
under row-level security. Fifteen significant digits are told apart.

Pinned: hl7.org/fhir/R4/search.html#number, #quantity, #prefix.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Any, Final, NamedTuple

_NUMBER: Final = re.compile(r"[+-]?\d{1,100}(?:\.\d{1,100})?(?:[eE][+-]?\d{1,3})?")


class NumberSpan(NamedTuple):
    """All numbers from low to high, both included; infinite where open."""

    low: float
    high: float


class Amount(NamedTuple):
    """A span in a unit. system and code: "" where there are none; unit: as written, "" for none."""

    span: NumberSpan
    system: str = ""
    code: str = ""
    unit: str = ""


class Written(NamedTuple):
    """A number of a query: its value, and the range [low, high) that its digits leave open."""

    value: Decimal
    low: Decimal
    high: Decimal


def written(text: str) -> Written:
    """A number with its implicit precision: `100` is [99.5, 100.5), `1e2` is [95, 105).

    ValueError where the text is no decimal.
    """
    if not _NUMBER.fullmatch(text):
        raise ValueError("not a number")
    try:
        value = Decimal(text)
    except InvalidOperation as error:
        raise ValueError("not a number") from error
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int) or value.adjusted() > 300 or exponent < -300:
        raise ValueError("not a number that can be held")
    half = Decimal(5).scaleb(exponent - 1)
    return Written(value, value - half, value + half)


def numbers_of(type_name: str) -> Callable[[Any], Iterator[NumberSpan]] | None:
    """How to read spans from values of a FHIR type; None where a number search cannot."""
    return _NUMBERS.get(type_name)


def amounts_of(type_name: str) -> Callable[[Any], Iterator[Amount]] | None:
    """How to read amounts from values of a FHIR type; None where a quantity search cannot."""
    return _AMOUNTS.get(type_name)


def _point(value: Any) -> Iterator[NumberSpan]:
    number = float(value)
    if math.isfinite(number):
        yield NumberSpan(number, number)


def _quantity(quantity: Mapping[str, Any]) -> Iterator[Amount]:
    value = quantity.get("value")
    if value is None:
        return
    number = float(value)
    if not math.isfinite(number):
        return
    span = {
        "<": NumberSpan(-math.inf, math.nextafter(number, -math.inf)),
        "<=": NumberSpan(-math.inf, number),
        ">=": NumberSpan(number, math.inf),
        ">": NumberSpan(math.nextafter(number, math.inf), math.inf),
    }.get(quantity.get("comparator", ""), NumberSpan(number, number))
    yield Amount(
        span, quantity.get("system", ""), quantity.get("code", ""), quantity.get("unit", "")
    )


def _money(money: Mapping[str, Any]) -> Iterator[Amount]:
    value, currency = money.get("value"), money.get("currency", "")
    if value is not None:
        for span in _point(value):
            yield Amount(span, "urn:iso:std:iso:4217" if currency else "", currency, currency)


def _range(range_: Mapping[str, Any]) -> Iterator[Amount]:
    low = next(_quantity(range_.get("low", {})), None)
    high = next(_quantity(range_.get("high", {})), None)
    known = low or high
    if known is None:
        return
    span = NumberSpan(
        low.span.low if low else -math.inf,
        high.span.high if high else math.inf,
    )
    yield known._replace(span=span)


def _sampled(data: Mapping[str, Any]) -> Iterator[Amount]:
    """All that was sampled, as one span: origin + sample * factor."""
    origin = next(_quantity(data.get("origin", {})), None)
    if origin is None:
        return
    factor = float(data.get("factor", 1))
    # E, U and L stand for an error, and for what is below or above the limits of the device.
    found = [
        origin.span.low + float(word) * factor
        for word in str(data.get("data", "")).split()
        if _NUMBER.fullmatch(word)
    ]
    if found:
        yield origin._replace(span=NumberSpan(min(found), max(found)))


def _spans(amounts: Callable[[Any], Iterator[Amount]]) -> Callable[[Any], Iterator[NumberSpan]]:
    return lambda value: (each.span for each in amounts(value))


_AMOUNTS: Final[Mapping[str, Callable[[Any], Iterator[Amount]]]] = MappingProxyType(
    {
        **dict.fromkeys(("Quantity", "Age", "Count", "Distance", "Duration"), _quantity),
        "Money": _money,
        "Range": _range,
        "SampledData": _sampled,
    }
)
_NUMBERS: Final[Mapping[str, Callable[[Any], Iterator[NumberSpan]]]] = MappingProxyType(
    {
        **dict.fromkeys(("decimal", "integer", "positiveInt", "unsignedInt"), _point),
        **{name: _spans(read) for name, read in _AMOUNTS.items()},
    }
)
