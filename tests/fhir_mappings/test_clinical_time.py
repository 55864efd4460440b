"""Clinical time: the first element that tells it, as an inclusive range."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from app.fhir_mappings.clinical_time import (
    MAX_TIME,
    MIN_TIME,
    candidates,
    clinical_time,
    properties,
)
from app.fhir_mappings.registry import is_resource_type


def at(year: int, month: int, day: int, hour: int = 0) -> datetime:
    return datetime(year, month, day, hour, tzinfo=UTC)


def last_of(year: int, month: int, day: int) -> datetime:
    return datetime(year, month, day, 23, 59, 59, 999999, tzinfo=UTC)


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        (
            {"resourceType": "Observation", "effectiveDateTime": "2024-02", "issued": "2025-01-01"},
            (at(2024, 2, 1), last_of(2024, 2, 29)),
        ),
        (
            {"resourceType": "Observation", "issued": "2024-02-01T10:00:00+02:00"},
            (at(2024, 2, 1, 8), datetime(2024, 2, 1, 8, 0, 0, 999999, tzinfo=UTC)),
        ),
        (
            {"resourceType": "Encounter", "period": {"start": "2024-02-01"}},
            (at(2024, 2, 1), MAX_TIME),
        ),
        (
            {"resourceType": "CarePlan", "period": {"end": "2024-02-01"}, "created": "2020"},
            (MIN_TIME, last_of(2024, 2, 1)),
        ),
        (
            {
                "resourceType": "Condition",
                "onsetDateTime": "2020",
                "abatementDateTime": "2024-05-01",
                "recordedDate": "2025",
            },
            (at(2020, 1, 1), last_of(2024, 5, 1)),
        ),
        (
            {"resourceType": "Condition", "onsetString": "in spring", "recordedDate": "2025"},
            (at(2025, 1, 1), last_of(2025, 12, 31)),
        ),
        (
            {
                "resourceType": "DocumentReference",
                "context": {"period": {"start": "2024-01-01", "end": "2024-01-02"}},
                "date": "2025-01-01T00:00:00Z",
            },
            (at(2024, 1, 1), last_of(2024, 1, 2)),
        ),
        (
            {
                "resourceType": "Observation",
                "effectiveTiming": {"event": ["2024-03-01", "2024-01-01"]},
            },
            (at(2024, 1, 1), last_of(2024, 3, 1)),
        ),
        (
            {
                "resourceType": "Composition",
                "event": [
                    {"period": {"start": "2024-03-01", "end": "2024-03-02"}},
                    {"period": {"start": "2024-01-01", "end": "2024-01-02"}},
                ],
            },
            (at(2024, 1, 1), last_of(2024, 3, 2)),
        ),
    ],
)
def test_the_first_element_that_tells_a_time_is_taken(
    resource: dict[str, Any], expected: tuple[datetime, datetime]
) -> None:
    assert clinical_time(resource) == expected


@pytest.mark.parametrize(
    "resource",
    [
        {"resourceType": "Observation", "valueDateTime": "2024"},
        {"resourceType": "Condition", "onsetAge": {"value": 12}},
        {"resourceType": "Patient", "birthDate": "1990-01-01"},
        {"resourceType": "Procedure", "performedDateTime": "2023-02-30"},
        {"resourceType": "Encounter", "period": {"extension": [{"url": "urn:x"}]}},
    ],
)
def test_what_tells_no_time_has_none(resource: dict[str, Any]) -> None:
    assert clinical_time(resource) is None


def test_every_listed_element_is_of_r4_and_holds_a_time() -> None:
    listed = [
        (name, path) for name, each in candidates().items() for paths in each for path in paths
    ]
    assert listed
    assert [name for name, _ in listed if not is_resource_type(name)] == []
    assert [each for each in listed if not properties(*each)] == []
