"""When a contact is safe: the `available` parts of contact-safety, on the person's own clock. Pure.

Each part has days (`mon` to `sun`; none: every day) and times `from` and `until` (none: the whole day), as R4's
HealthcareService.availableTime has. A time counts as it is written, in the zone in which it is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from app.care.contact.safety import CONTACT_SAFETY

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True)
class Window:
    """Days of the week, and times as HH:MM:SS; an end before the begin is on the next day."""

    days: frozenset[str]
    begin: str
    end: str

    def holds(self, day: str, clock: str) -> bool:
        """Whether a clock time on a day lies in it."""
        if self.begin <= self.end:
            return day in self.days and self.begin <= clock < self.end
        before = _DAYS[_DAYS.index(day) - 1]
        return (day in self.days and clock >= self.begin) or (
            before in self.days and clock < self.end
        )


def windows(contact: Mapping[str, Any]) -> list[Window]:
    """The windows of a ContactPoint; [] where none is stated, which binds nobody."""
    return [
        _window(part.get("extension", ()))
        for extension in contact.get("extension", ())
        if extension.get("url") == CONTACT_SAFETY
        for part in extension.get("extension", ())
        if part.get("url") == "available"
    ]


def _window(parts: Sequence[Mapping[str, Any]]) -> Window:
    days = frozenset(p["valueCode"] for p in parts if p.get("url") == "days" and "valueCode" in p)
    times = {p.get("url"): p.get("valueTime") for p in parts}
    begin, end = times.get("from") or "00:00:00", times.get("until") or "24:00:00"
    return Window(days & set(_DAYS) or frozenset(_DAYS), begin, end)


def within(stated: Sequence[Window], moment: str) -> bool:
    """Whether a FHIR date or dateTime lies in any window; a day alone, where one is on that day."""
    day = _DAYS[datetime.fromisoformat(moment[:10]).weekday()] if len(moment) >= 10 else None
    if day is None:
        return True
    if "T" not in moment:
        return any(day in each.days for each in stated)
    return any(each.holds(day, f"{moment[11:19]:0<8}") for each in stated)
