"""When what a resource tells of happened: the range that a Consent's `dataPeriod` is held against.

Which elements tell it is data (`data/clinical-time.json`): resource type to candidates in order of
preference; the first that yields a time is taken. A candidate is an element (`onset[x]` for all
types of a choice, `context.period` for one below another), or a list of elements that are taken
together, from the earliest to the latest (onset and abatement). An onset without an abatement is
the onset alone: when a condition ended is not known, and that it goes on is not said.

A type that is not listed, or an onset given as an age, has no clinical time, which no permit with
a dataPeriod covers and every deny with one does (docs/decisions/0001-the-spine.md).

Pinned: hl7.org/fhir/R4/consent-definitions.html#Consent.provision.dataPeriod,
hl7.org/fhir/R4/datatypes.html#Period.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import resources
from typing import Any, Final

import orjson

from app.fhir_mappings.date_rows import RANGE_OF, DateRange, outer_limits
from app.fhir_mappings.structure import definition

MIN_TIME: Final = datetime.min.replace(tzinfo=UTC)
"""Where a start is open."""

MAX_TIME: Final = datetime.max.replace(tzinfo=UTC)
"""Where an end is open."""

_MICROSECOND: Final = timedelta(microseconds=1)


def clinical_time(resource: Mapping[str, Any]) -> tuple[datetime, datetime] | None:
    """First and last instant, inclusive, UTC, to the microsecond; None where none is told.

    An open start is `MIN_TIME`, an open end `MAX_TIME`. Never raises on a date: one that is not of
    the calendar tells no time.
    """
    for candidate in candidates().get(str(resource["resourceType"]), ()):
        ranges = [each for path in candidate for each in _ranges(resource, path)]
        limits = outer_limits(ranges)
        if limits is not None:
            return (
                MIN_TIME if limits.low is None else limits.low,
                MAX_TIME if limits.high is None else limits.high - _MICROSECOND,
            )
    return None


@cache
def candidates() -> Mapping[str, tuple[tuple[str, ...], ...]]:
    """Resource type to candidates, each the elements that are taken together."""
    file = resources.files("app.fhir_mappings") / "data" / "clinical-time.json"
    data: dict[str, list[str | list[str]]] = orjson.loads(file.read_bytes())
    return {
        name: tuple((each,) if isinstance(each, str) else tuple(each) for each in listed)
        for name, listed in data.items()
    }


@cache
def properties(resource_type: str, path: str) -> tuple[tuple[tuple[str, ...], str], ...]:
    """The JSON properties of a path that hold a time, each with its FHIR type; () for none.

    properties("Condition", "onset[x]") -> ((("onsetDateTime",), "dateTime"), …)
    """
    *parents, last = path.split(".")
    shape = definition(resource_type)
    for parent in parents:
        shape = definition(shape.slots[parent].type)
    element = last.removesuffix("[x]")
    return tuple(
        ((*parents, key), slot.type)
        for key, slot in shape.slots.items()
        if slot.type in RANGE_OF and (slot.element == element if "[x]" in last else key == last)
    )


def _ranges(resource: Mapping[str, Any], path: str) -> Iterator[DateRange]:
    for keys, type_name in properties(str(resource["resourceType"]), path):
        for value in _values(resource, keys):
            try:
                found = RANGE_OF[type_name](value)
            except ValueError:
                continue
            if found is not None:
                yield found


def _values(node: Any, keys: tuple[str, ...]) -> Iterator[Any]:
    if type(node) is list:
        for each in node:
            yield from _values(each, keys)
    elif not keys:
        if node is not None:
            yield node
    elif type(node) is dict and keys[0] in node:
        yield from _values(node[keys[0]], keys[1:])
