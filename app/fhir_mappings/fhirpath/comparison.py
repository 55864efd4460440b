"""Equality and order of FHIRPath values, with the precision of dates and the units of quantities.

None means that nothing can be said: 2012 and 2012-03 may or may not be the same.

Pinned: hl7.org/fhirpath/N1/#equality, hl7.org/fhirpath/N1/#comparison.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, Final, TypeAlias

from app.fhir_mappings.fhirpath.items import Collection, Item

_MOMENTS: Final = frozenset(
    {"date", "dateTime", "instant", "System.Date", "System.DateTime"},
)
_TIMES: Final = frozenset({"time", "System.Time"})
_QUANTITIES: Final = frozenset(
    {"Quantity", "Age", "Count", "Distance", "Duration", "MoneyQuantity"}
)
_MOMENT: Final = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d)(?::(\d\d)(?::(\d\d(?:\.\d+)?))?)?)?)?)?(Z|[+-]\d\d:\d\d)?",
    re.ASCII,
)
_TIME: Final = re.compile(r"(\d\d)(?::(\d\d)(?::(\d\d(?:\.\d+)?))?)?", re.ASCII)

Parts: TypeAlias = tuple[Decimal, ...]


def equal(left: Item, right: Item) -> bool | None:
    """Whether two values are the same."""
    if left.type in _MOMENTS and right.type in _MOMENTS | {"System.String"}:
        return _moments_equal(left.value, right.value)
    if right.type in _MOMENTS and left.type == "System.String":
        return _moments_equal(left.value, right.value)
    return identity(left) == identity(right)


def equal_collections(left: Collection, right: Collection) -> bool | None:
    """Whether two collections hold the same values in the same order; None where one is empty."""
    if not left or not right:
        return None
    if len(left) != len(right):
        return False
    results = [equal(a, b) for a, b in zip(left, right, strict=True)]
    if False in results:
        return False
    return None if None in results else True


def contains(collection: Collection, item: Item) -> bool:
    """Membership by equality."""
    return any(equal(each, item) for each in collection)


def identity(item: Item) -> Hashable:
    """What two equal values share; for sets of values."""
    return (_frozen(item.value), None if item.value is not None else _frozen(item.sibling))


def compare(left: Item, right: Item) -> int | None:
    """-1, 0 or 1; None where the two have no order, or their precision or unit does not tell."""
    a, b = left.value, right.value
    if _is_number(a) and _is_number(b):
        return _sign(a, b)
    if type(a) is str and type(b) is str:
        if left.type in _MOMENTS or right.type in _MOMENTS:
            if _are_alike(a, b):
                return _sign(a, b)
            return _ordered(_moment(a), _moment(b))
        if left.type in _TIMES or right.type in _TIMES:
            return _ordered(_clock(a), _clock(b))
        return (a > b) - (a < b)
    if left.type in _QUANTITIES and right.type in _QUANTITIES:
        return _quantities(a, b)
    return None


def is_true(collection: Collection) -> bool | None:
    """A collection as a condition: None where it is empty; a single value that is there is true."""
    if not collection:
        return None
    if len(collection) == 1:
        value = collection[0].value
        return value if type(value) is bool else True
    return True


def _is_number(value: Any) -> bool:
    return type(value) is int or isinstance(value, Decimal)


def _frozen(value: Any) -> Hashable:
    if type(value) is dict:
        return frozenset((key, _frozen(each)) for key, each in value.items() if key != "id")
    if type(value) is list:
        return tuple(map(_frozen, value))
    # True equals 1 in Python, not in FHIRPath.
    return (bool, value) if type(value) is bool else value


def _quantities(a: Any, b: Any) -> int | None:
    if type(a) is not dict or type(b) is not dict:
        return None
    first, second = a.get("value"), b.get("value")
    if not _is_number(first) or not _is_number(second):
        return None
    for name in ("system", "code") if "code" in a or "code" in b else ("unit",):
        if a.get(name) != b.get(name):
            return None
    return _sign(first, second)


def _are_alike(a: str, b: str) -> bool:
    """The same precision and offset, so that the texts have the order of the moments."""
    if len(a) != len(b):
        return False
    return len(a) <= 10 or a[-1] == b[-1] == "Z" or (a[-6:] == b[-6:] and a[-6] in "+-")


def _sign(a: Any, b: Any) -> int:
    return 1 if a > b else -1 if a < b else 0


def _moments_equal(a: Any, b: Any) -> bool | None:
    first, second = _moment(a), _moment(b)
    if first is None or second is None:
        return bool(a == b)
    order = _ordered(first, second)
    return None if order is None else order == 0


def _ordered(a: Parts | None, b: Parts | None) -> int | None:
    """Compare part by part; where all shared parts are equal and one goes on, nothing is told."""
    if a is None or b is None:
        return None
    for first, second in zip(a, b, strict=False):
        if first != second:
            return 1 if first > second else -1
    return 0 if len(a) == len(b) else None


def _moment(text: Any) -> Parts | None:
    """Year, month, day, hour, minute, second as far as stated; in UTC where an offset is stated."""
    match = _MOMENT.fullmatch(text) if type(text) is str else None
    if match is None:
        return None
    parts = tuple(Decimal(each) for each in match.groups()[:6] if each is not None)
    zone = match[7]
    if zone is None or len(parts) < 5:
        return parts
    try:
        whole = datetime(*(int(each) for each in parts[:5]), tzinfo=_zone(zone))  # type: ignore[misc,arg-type]
        utc = whole.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    shifted = (utc.year, utc.month, utc.day, utc.hour, utc.minute)
    return (*map(Decimal, shifted), *parts[5:])


def _zone(text: str) -> timezone:
    if text == "Z":
        return UTC
    minutes = int(text[1:3]) * 60 + int(text[4:6])
    return timezone(timedelta(minutes=minutes if text[0] == "+" else -minutes))


def _clock(text: str) -> Parts | None:
    match = _TIME.fullmatch(text)
    return tuple(Decimal(each) for each in match.groups() if each is not None) if match else None
