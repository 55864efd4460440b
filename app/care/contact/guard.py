"""Nobody is reached on an unsafe number, and nobody meets whom they refused.

Asked of whatever plans or records a contact or an encounter with somebody. Neighbours: `safety`,
`app.interactions.guards`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from app.care import reading
from app.care.contact.safety import contacts, is_unsafe, refused
from app.errors import FhirError, Issue, IssueCode
from app.fhir_mappings import links
from app.interactions.guards import Moment, Planned
from app.interactions.operation import Operation

_REACHING: Final = frozenset(
    {"Task", "Communication", "CommunicationRequest", "Appointment", "ServiceRequest"}
)
_MEETING: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "Appointment": (("participant", "actor"),),
    "Encounter": (("participant", "individual"),),
    "CareTeam": (("participant", "member"),),
}
"""Type to (repeated element, element in it) that names who takes part."""


class ContactGuard:
    """The guard of contacts and meetings."""

    async def before(self, moment: Moment) -> None:
        """422 for an unsafe contact, or for somebody whom the person refused."""
        issues: list[Issue] = []
        for planned in moment.planned:
            resource = planned.resource
            if resource is None:
                continue
            reached = list(contacts(resource)) if planned.type in _REACHING else []
            met = list(_met(planned, resource))
            if not reached and not met:
                continue
            for patient in await _patients(moment, resource):
                issues += [
                    _issue("The person has said that this contact is not safe: use another.", p)
                    for contact, path in reached
                    if is_unsafe(contact, patient)
                    for p in [reading.place(planned, path)]
                ]
                unwanted = refused(patient)
                issues += [
                    _issue("The person does not want this participant: ask for another.", path)
                    for reference, path in met
                    if reference in unwanted
                ]
        if issues:
            raise FhirError(issues)

    async def after(self, moment: Moment) -> Sequence[Operation]:
        """Nothing."""
        return ()


def _met(planned: Planned, resource: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for outer, inner in _MEETING.get(planned.type, ()):
        for position, each in enumerate(resource.get(outer, ())):
            reference = each.get(inner, {}).get("reference")
            if isinstance(reference, str):
                yield reference, reading.place(planned, f"{outer}[{position}].{inner}")


async def _patients(moment: Moment, resource: dict[str, Any]) -> list[reading.Json]:
    keys = [
        ("Patient", ref.id)
        for ref in links.literal_references(resource, moment.base_urls)
        if ref.kind == "local" and ref.type == "Patient"
    ]
    return list((await reading.read(moment, keys)).values())


def _issue(diagnostics: str, expression: str) -> Issue:
    return Issue(IssueCode.BUSINESS_RULE, diagnostics, (expression,))
