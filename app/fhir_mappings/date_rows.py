"""Dates as half-open ranges of UTC instants, for search rows, queries and clinical time.

Every FHIR date is a range as wide as its precision: 2015 is the whole year. An open end, or an end
beyond the years that a datetime holds (0001 to 9999), is None. A date without a zone is read as
UTC, because the server cannot know the zone of its sender (search.html#date leaves it to the
server).

Pinned: hl7.org/fhir/R4/search.html#date, hl7.org/fhir/R4/datatypes.html#dateTime.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, NamedTuple

_DATE: Final = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(Z|[+-]\d\d:\d\d)?)?)?)?",
    re.ASCII,
)
_MICROSECOND: Final = timedelta(microseconds=1)
_DAY: Final = timedelta(days=1)


class DateRange(NamedTuple):
    """Instants from `low` (inclusive) to `high` (exclusive), both UTC; None is unbounded."""

    low: datetime | None
    high: datetime | None


def date_range(text: str) -> DateRange:
    """The range of a date, dateTime or instant; a query may leave out the seconds.

    Fractions of a second are taken as precise to their last digit, at most a microsecond.
    ValueError where the text is no date, or not one of the calendar.
    """
    match = _DATE.fullmatch(text)
    if match is None:
        raise ValueError("not a date")
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    if month is None:
        start = datetime(int(year), 1, 1, tzinfo=UTC)
        return DateRange(start, _month_after(start, 12))
    if day is None:
        start = datetime(int(year), int(month), 1, tzinfo=UTC)
        return DateRange(start, _month_after(start, 1))
    start = datetime(int(year), int(month), int(day), tzinfo=UTC)
    if hour is None:
        return DateRange(start, _shift(start, _DAY))
    if int(hour) > 23 or int(minute) > 59 or (second and int(second) > 60):
        raise ValueError("not a time of day")
    # Through a timedelta, so that a leap second (60) is the first second of the next minute.
    since = timedelta(hours=int(hour), minutes=int(minute), seconds=int(second or 0))
    width = timedelta(seconds=1) if second else timedelta(minutes=1)
    if fraction:
        digits = fraction[:6]
        since += timedelta(microseconds=int(digits.ljust(6, "0")))
        width = _MICROSECOND * 10 ** (6 - len(digits))
    since -= _offset(zone)
    return DateRange(_shift(start, since), _shift(start, since + width))


def period_range(period: Mapping[str, Any]) -> DateRange | None:
    """The range of a Period; a missing end is open. None without a start and an end."""
    start, end = period.get("start"), period.get("end")
    if start is None and end is None:
        return None
    first = DateRange(None, None) if start is None else date_range(start)
    last = DateRange(None, None) if end is None else date_range(end)
    if first.low is not None and last.high is not None and last.high <= first.low:
        # Against per-1: what the sender can have meant lies between the two, whichever is first.
        return DateRange(last.low, first.high)
    return DateRange(first.low, last.high)


def timing_range(timing: Mapping[str, Any]) -> DateRange | None:
    """The outer limits of a Timing: its events and its boundsPeriod. None where it has neither."""
    ranges = [date_range(each) for each in timing.get("event", ()) if each is not None]
    bounds = period_range(timing.get("repeat", {}).get("boundsPeriod", {}))
    if bounds is not None:
        ranges.append(bounds)
    return outer_limits(ranges)


def outer_limits(ranges: list[DateRange]) -> DateRange | None:
    """The smallest range that covers all; None for none."""
    if not ranges:
        return None
    lows = [each.low for each in ranges]
    highs = [each.high for each in ranges]
    return DateRange(
        None if None in lows else min(each for each in lows if each is not None),
        None if None in highs else max(each for each in highs if each is not None),
    )


RANGE_OF: Final[Mapping[str, Callable[[Any], DateRange | None]]] = MappingProxyType(
    {
        "date": date_range,
        "dateTime": date_range,
        "instant": date_range,
        "Period": period_range,
        "Timing": timing_range,
    }
)
"""FHIR type to its range; a value of any other type (Age, Range, string) is no time."""


def _month_after(start: datetime, months: int) -> datetime | None:
    month = start.month - 1 + months
    year = start.year + month // 12
    return None if year > 9999 else start.replace(year=year, month=month % 12 + 1)


def _shift(start: datetime, by: timedelta) -> datetime | None:
    try:
        return start + by
    except OverflowError:
        return None


def _offset(zone: str | None) -> timedelta:
    if zone is None or zone == "Z":
        return timedelta()
    hours, minutes = int(zone[1:3]), int(zone[4:6])
    if minutes > 59 or hours > 14:
        raise ValueError("not an offset")
    offset = timedelta(hours=hours, minutes=minutes)
    return -offset if zone[0] == "-" else offset
