"""Dates as ranges: as wide as their precision, in UTC, without an overflow at either end of time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.fhir_mappings.date_rows import (
    DateRange,
    date_range,
    outer_limits,
    period_range,
    timing_range,
)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("2015", utc(2015, 1, 1), utc(2016, 1, 1)),
        ("2015-12", utc(2015, 12, 1), utc(2016, 1, 1)),
        ("2016-02", utc(2016, 2, 1), utc(2016, 3, 1)),
        ("2016-02-29", utc(2016, 2, 29), utc(2016, 3, 1)),
        ("2015-02-07T13:28", utc(2015, 2, 7, 13, 28), utc(2015, 2, 7, 13, 29)),
        ("2015-02-07T13:28:17", utc(2015, 2, 7, 13, 28, 17), utc(2015, 2, 7, 13, 28, 18)),
        ("2015-02-07T13:28:17-05:00", utc(2015, 2, 7, 18, 28, 17), utc(2015, 2, 7, 18, 28, 18)),
        ("2015-02-07T00:28:17+01:30", utc(2015, 2, 6, 22, 58, 17), utc(2015, 2, 6, 22, 58, 18)),
        (
            "2015-02-07T13:28:17.23Z",
            utc(2015, 2, 7, 13, 28, 17, 230000),
            utc(2015, 2, 7, 13, 28, 17, 240000),
        ),
        (
            "2015-02-07T13:28:17.123456789Z",
            utc(2015, 2, 7, 13, 28, 17, 123456),
            utc(2015, 2, 7, 13, 28, 17, 123457),
        ),
        ("2015-06-30T23:59:60Z", utc(2015, 7, 1), utc(2015, 7, 1, 0, 0, 1)),
    ],
)
def test_a_date_is_as_wide_as_its_precision(text: str, low: datetime, high: datetime) -> None:
    assert date_range(text) == DateRange(low, high)


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("0001", utc(1, 1, 1), utc(2, 1, 1)),
        ("9999", utc(9999, 1, 1), None),
        ("9999-12", utc(9999, 12, 1), None),
        ("9999-12-31", utc(9999, 12, 31), None),
        ("9999-12-31T23:59:59Z", utc(9999, 12, 31, 23, 59, 59), None),
        ("9999-12-31T23:59:59-14:00", None, None),
        ("0001-01-01T00:00:00+14:00", None, None),
    ],
)
def test_what_leaves_the_years_of_a_datetime_is_unbounded(
    text: str, low: datetime | None, high: datetime | None
) -> None:
    assert date_range(text) == DateRange(low, high)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "15",
        "2015-13",
        "2015-02-29",
        "0000",
        "2015-02-07T13",
        "2015-02-07T24:00:00Z",
        "2015-02-07T13:60:00Z",
        "2015-02-07T13:00:61Z",
        "2015-02-07T13:00:00+15:00",
        "2015-02-07T13:00:00 01:00",
        "2015-02-07 13:00",
        "٢٠١٥",
        "2015Z",
    ],
)
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of several origins, one meaning
        date_range(text)


@given(st.datetimes(timezones=st.just(UTC)))
def test_an_instant_lies_in_the_range_of_each_of_its_precisions(instant: datetime) -> None:
    text = instant.isoformat(timespec="microseconds")
    texts = (text[:4], text[:7], text[:10], text[:16], text[:19] + "Z", text[:26] + "Z")
    ranges = [date_range(each) for each in texts]
    for low, high in ranges:
        assert low is not None
        assert low <= instant
        assert high is None or instant < high
    for wide, narrow in pairwise(ranges):
        assert outer_limits([wide, narrow]) == wide


def test_an_open_end_of_a_period_is_unbounded() -> None:
    start = {"start": "2015-02-07"}
    assert period_range(start) == DateRange(utc(2015, 2, 7), None)
    assert period_range({"end": "2015-02"}) == DateRange(None, utc(2015, 3, 1))
    assert period_range({**start, "end": "2015-02-07"}) == date_range("2015-02-07")
    assert period_range({}) is None


def test_a_period_against_its_order_covers_what_lies_between() -> None:
    found = period_range({"start": "2015-03-01", "end": "2015-02-01"})
    assert found == DateRange(utc(2015, 2, 1), utc(2015, 3, 2))


def test_a_timing_is_the_outer_limits_of_its_events_and_bounds() -> None:
    timing = {
        "event": ["2015-02-07", None, "2015-01-03"],
        "repeat": {"boundsPeriod": {"start": "2015-01-05", "end": "2015-01-06"}},
    }
    assert timing_range(timing) == DateRange(utc(2015, 1, 3), utc(2015, 2, 8))
    assert timing_range({"repeat": {"frequency": 2}}) is None
    open_end = {"event": ["2015"], "repeat": {"boundsPeriod": {"start": "2015-06"}}}
    assert timing_range(open_end) == DateRange(utc(2015, 1, 1), None)


def test_ranges_are_in_utc() -> None:
    low, high = date_range("2015-02-07T13:28:17-05:00")
    assert low is not None
    assert high is not None
    assert low.utcoffset() == high.utcoffset() == timedelta()
