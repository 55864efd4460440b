"""Who may be assigned: somebody whose qualification for trauma care has expired may not, until renewed.

Asked where somebody is newly put to a person's care; what was assigned before stays as it was recorded.
Pinned: hl7.org/fhir/R4/practitioner.html (qualification), practitionerrole.html.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from app.care import reading
from app.errors import FhirError, Issue, IssueCode
from app.fhir_mappings.date_rows import date_range
from app.interactions.guards import Moment, Planned
from app.interactions.operation import Operation

QUALIFICATION: Final = ("https://throughline.example/fhir/CodeSystem/qualification", "trauma-care")

_ASSIGNED: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "CareTeam": (("participant", "member"),),
    "Appointment": (("participant", "actor"),),
    "Encounter": (("participant", "individual"),),
    "Task": (("owner",),),
    "CarePlan": (("author",),),
}


class WorkforceGuard:
    """The guard of assignments."""

    async def before(self, moment: Moment) -> None:
        """422 for somebody newly assigned whose qualification has expired."""
        named = [
            (reference, path)
            for planned in moment.planned
            for reference, path in _new(planned)
            if reference.startswith(("Practitioner/", "PractitionerRole/"))
        ]
        if not named:
            return
        keys = {reference: tuple(reference.split("/")[:2]) for reference, _ in named}
        found = await reading.read(moment, [(k[0], k[1]) for k in keys.values()])
        roles = {
            key: practitioner
            for key, each in found.items()
            if key[0] == "PractitionerRole"
            and (practitioner := reading.local(each.get("practitioner"), moment.base_urls))
        }
        people = await reading.read(moment, roles.values())
        issues = []
        for reference, path in named:
            key = (keys[reference][0], keys[reference][1])
            person = people.get(roles[key], {}) if key in roles else found.get(key, {})
            if expired(person, moment.now):
                sentence = "The qualification for trauma care has expired: assign somebody else, or renew it."
                issues.append(Issue(IssueCode.BUSINESS_RULE, sentence, (path,)))
        if issues:
            raise FhirError(issues)

    async def after(self, moment: Moment) -> Sequence[Operation]:
        """Nothing."""
        return ()


def expired(practitioner: Mapping[str, Any], now: datetime) -> bool:
    """True where somebody has the qualification only with periods that have ended."""
    ends = [
        date_range(end)[1] if (end := each.get("period", {}).get("end")) else None
        for each in practitioner.get("qualification", ())
        if any(
            (c.get("system"), c.get("code")) == QUALIFICATION
            for c in each.get("code", {}).get("coding", ())
        )
    ]
    return bool(ends) and all(end is not None and end <= now for end in ends)


def _new(planned: Planned) -> Iterator[tuple[str, str]]:
    """(reference, path) of who is assigned by this version and was not by the one before."""
    if planned.resource is None:
        return
    known = {reference for reference, _ in _named(planned, reading.previous(planned) or {})}
    for reference, path in _named(planned, planned.resource):
        if reference not in known:
            yield reference, path


def _named(planned: Planned, resource: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for steps in _ASSIGNED.get(planned.type, ()):
        holder = resource.get(steps[0])
        many = holder if isinstance(holder, list) else [holder]
        for position, each in enumerate(many):
            target = (each or {}).get(steps[1]) if len(steps) > 1 else each
            reference = (target or {}).get("reference")
            if isinstance(reference, str):
                tail = f"{steps[0]}[{position}].{steps[1]}" if len(steps) > 1 else steps[0]
                yield reference, reading.place(planned, tail)
