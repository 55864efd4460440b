"""Who belongs to whom, from the directory entry that says so (consent.md, "actor": identity closure).

PractitionerRole.practitioner is that role (only while it acts for PractitionerRole.organization);
Group.member and CareTeam.participant belong to the Group or CareTeam; Organization.partOf widens denies only.
Pinned: hl7.org/fhir/R4/practitionerrole.html, group.html, careteam.html, organization.html.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from app.fhir_mappings.date_rows import date_range

EVER: Final = datetime.min.replace(tzinfo=UTC)
NEVER: Final = datetime.max.replace(tzinfo=UTC)

CARRIERS: Final = frozenset({"PractitionerRole", "Group", "CareTeam", "Organization"})
"""Types whose writing may change somebody's closure."""


@dataclass(frozen=True, slots=True)
class Membership:
    """member and belongs_to as literal references; None stands for the resource itself."""

    member: str | None
    belongs_to: str | None
    within: str | None = None
    deny_only: bool = False
    valid_from: datetime = EVER
    valid_to: datetime = NEVER


def _period(period: dict[str, Any] | None) -> tuple[datetime, datetime]:
    period = period or {}
    start = date_range(period["start"])[0] if "start" in period else None
    end = date_range(period["end"])[1] if "end" in period else None
    return start or EVER, end or NEVER


def _reference(holder: dict[str, Any] | None) -> str | None:
    text = (holder or {}).get("reference")
    return text if isinstance(text, str) else None


def memberships(resource: dict[str, Any]) -> list[Membership]:
    """The memberships that one resource states; [] for an inactive one and for other types."""
    match resource["resourceType"]:
        case "PractitionerRole" if resource.get("active", True):
            member = _reference(resource.get("practitioner"))
            start, end = _period(resource.get("period"))
            within = _reference(resource.get("organization"))
            return [Membership(member, None, within, False, start, end)] if member else []
        case "Organization":
            parent = _reference(resource.get("partOf"))
            return [Membership(None, parent, deny_only=True)] if parent else []
        case "Group" if resource.get("active", True):
            return [
                Membership(reference, None, None, False, *_period(member.get("period")))
                for member in resource.get("member", ())
                if not member.get("inactive") and (reference := _reference(member.get("entity")))
            ]
        case "CareTeam" if resource.get("status", "active") == "active":
            return [
                Membership(reference, None, None, False, *_period(participant.get("period")))
                for participant in resource.get("participant", ())
                if (reference := _reference(participant.get("member")))
            ]
        case _:
            return []
