"""FHIR dates and Periods as instants, in microseconds since 1970-01-01T00:00:00Z.

A date or dateTime stands for the whole span of its precision: a Period's end of `2026-03-01`
includes that day, one of `2026-03-01T12:00:00Z` that second. Dates without a time zone are
read in UTC. Spans are half-open, [from, to), and None is unbounded.
Pinned: hl7.org/fhir/R4/datatypes.html#Period, #dateTime.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from app.consent.reading import Json, text

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_DATE: Final = re.compile(
    r"(?P<year>\d{4})(?:-(?P<month>\d\d)(?:-(?P<day>\d\d)"
    r"(?:T(?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d)(?P<fraction>\.\d+)?)?"
    r"(?P<zone>Z|[+-]\d\d:\d\d)?)?)?)?"
)
_FIRST: Final = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_LAST: Final = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND


class Span(NamedTuple):
    """Half-open instants in microseconds since the epoch; None is unbounded."""

    start: int | None
    end: int | None


ALWAYS: Final = Span(None, None)


def micros(instant: datetime) -> int:
    """Microseconds since the epoch of an aware datetime."""
    return (instant - _EPOCH) // _MICROSECOND


def instant(at: int | None) -> datetime | None:
    """The aware datetime of an instant in microseconds, held within the years 1 to 9999."""
    if at is None:
        return None
    return _EPOCH + min(max(at, _FIRST), _LAST) * _MICROSECOND


def span_of(value: str) -> Span | None:
    """The span that a FHIR date, dateTime or instant stands for; None where it is not one.

    A bound outside the years 1 to 9999 is unbounded.
    """
    found = _DATE.fullmatch(value)
    if found is None:
        return None
    part = found.groupdict()
    second = min(int(part["second"] or 0), 59)  # R4 lets a leap second be written
    fraction = (part["fraction"] or "")[1:]
    try:
        local = datetime(
            int(part["year"]),
            int(part["month"] or 1),
            int(part["day"] or 1),
            int(part["hour"] or 0),
            int(part["minute"] or 0),
            second,
            int(fraction[:6].ljust(6, "0")) if fraction else 0,
            tzinfo=UTC,
        )
    except ValueError:
        return None
    start = micros(local) - _offset(part["zone"])
    return Span(start, _after(local, part, fraction, start))


def _offset(zone: str | None) -> int:
    if zone is None or zone == "Z":
        return 0
    minutes = int(zone[1:3]) * 60 + int(zone[4:6])
    return (minutes if zone[0] == "+" else -minutes) * 60_000_000


def _after(local: datetime, part: dict[str, str | None], fraction: str, start: int) -> int | None:
    """The first instant after the span."""
    if part["hour"] is not None:
        if fraction:
            return start + int(10 ** max(6 - len(fraction), 0))
        return start + (1_000_000 if part["second"] is not None else 60_000_000)
    try:
        if part["day"] is not None:
            following = local + timedelta(days=1)
        elif part["month"] is not None:
            following = (local.replace(day=1) + timedelta(days=31)).replace(day=1)
        else:
            following = local.replace(year=local.year + 1)
    except (OverflowError, ValueError):
        return None
    return micros(following)


class ReadPeriod(NamedTuple):
    """A Period as read: its span, and whether a bound was there but could not be read."""

    span: Span
    unreadable: bool


def period(element: Json) -> ReadPeriod:
    """The span of a Period: from the start's first instant to the end's last.

    A bound that is there without a value (a data-absent-reason), or is no date, is unreadable; it
    is then unbounded in the span, the widest reading, which only a deny may rely on. A period
    that ends before it starts is unreadable too, and its span is empty.
    """
    bounds: list[Span | None] = []
    unreadable = False
    for name in ("start", "end"):
        value = text(element, name)
        bound = span_of(value) if value is not None else None
        unreadable |= bound is None and (value is not None or f"_{name}" in element)
        bounds.append(bound)
    start, end = bounds
    span = Span(start.start if start else None, end.end if end else None)
    if span.start is not None and span.end is not None and span.start >= span.end:
        unreadable = True
    return ReadPeriod(span, unreadable)
