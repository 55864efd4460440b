"""Nobody is reached on an unsafe number or at an unsafe hour, and nobody meets whom they refused.

Asked of whatever plans or records a contact or an encounter with somebody, and of a Patient under an
address-confidentiality programme. Neighbours: `safety`, `hours`, `app.interactions.guards`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from app.care import reading
from app.care.contact import hours
from app.care.contact.safety import contacts, is_unsafe, refused, same_contact, unprotected
from app.errors import FhirError, Issue, IssueCode
from app.fhir_mappings import links
from app.interactions.guards import Moment, Planned
from app.interactions.operation import Operation

_REACHING: Final = frozenset(
    {"Task", "Communication", "CommunicationRequest", "Appointment", "ServiceRequest"}
)
_MEETING: Final[Mapping[str, tuple[str, ...]]] = {
    "Appointment": ("participant.actor",),
    "Encounter": ("participant.individual",),
    "CareTeam": ("participant.member",),
    "EpisodeOfCare": ("careManager",),
    "CarePlan": ("author", "contributor"),
    "Communication": ("recipient", "sender"),
    "CommunicationRequest": ("recipient", "sender"),
    "ServiceRequest": ("performer",),
    "Task": ("owner", "restriction.recipient"),
}
"""Type to the elements that name who takes part, is told, or is to do something for the person."""

_PLANNED: Final[Mapping[str, tuple[str, ...]]] = {
    "Appointment": ("start",),
    "CommunicationRequest": ("occurrenceDateTime", "occurrencePeriod.start"),
    "ServiceRequest": ("occurrenceDateTime", "occurrencePeriod.start"),
    "Task": ("restriction.period.start",),
}
"""Type to the elements that say when the person is to be reached. What has happened is recorded as it was."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a planned write reaches and whom it names. reached: (contact, path); met: (reference, path)."""

    planned: Planned
    resource: reading.Json
    reached: list[tuple[reading.Json, str]]
    met: list[tuple[str, str]]


class ContactGuard:
    """The guard of contacts, meetings and confidential addresses; two statements, whatever is written."""

    async def before(self, moment: Moment) -> None:
        """422 for an unsafe contact or hour, for somebody refused, for an address to protect."""
        issues: list[Issue] = []
        asked: list[_Asked] = []
        for planned in moment.planned:
            if planned.resource is None:
                continue
            if planned.type == "Patient":
                issues += _addresses(planned, planned.resource)
            elif (one := _asked(planned, planned.resource)) is not None:
                asked.append(one)
        if asked:
            issues += await _contacted(moment, asked)
        if issues:
            raise FhirError(issues)

    async def after(self, moment: Moment) -> Sequence[Operation]:
        """Nothing."""
        return ()


def _addresses(planned: Planned, patient: Mapping[str, Any]) -> Iterator[Issue]:
    for position in unprotected(patient):
        yield _issue(
            "Under an address-confidentiality programme the substitute address stands alone here: keep where "
            "the person lives in a Location labelled LOCIS, which only its custodian reads.",
            reading.place(planned, f"address[{position}]"),
        )


def _asked(planned: Planned, resource: reading.Json) -> _Asked | None:
    reached = [(dict(c), p) for c, p in contacts(resource)] if planned.type in _REACHING else []
    met = [
        each
        for path in _MEETING.get(planned.type, ())
        for each in _named(resource, path)
        if not each[0].startswith("Organization/")
    ]
    return _Asked(planned, resource, reached, met) if reached or met else None


async def _contacted(moment: Moment, asked: Sequence[_Asked]) -> list[Issue]:
    about = [_patients(moment, each.resource) for each in asked]
    patients = await reading.read(moment, [key for keys in about for key in keys])
    persons = await _persons(moment, [reference for each in asked for reference, _ in each.met])
    return [
        issue
        for each, keys in zip(asked, about, strict=True)
        for key in keys
        if key in patients
        for issue in _faults(each, patients[key], persons)
    ]


def _faults(
    asked: _Asked, patient: Mapping[str, Any], persons: Mapping[str, str]
) -> Iterator[Issue]:
    planned = asked.planned
    for contact, path in asked.reached:
        if is_unsafe(contact, patient):
            yield _issue(
                "The person has said that this contact is not safe: use another.",
                reading.place(planned, path),
            )
        else:
            yield from _hours(planned, asked.resource, same_contact(contact, patient))
    unwanted = refused(patient)
    for reference, path in asked.met:
        if unwanted & {reference, persons.get(reference, reference)}:
            yield _issue(
                "The person does not want this participant: ask for another.",
                reading.place(planned, path),
            )


def _hours(
    planned: Planned, resource: Mapping[str, Any], known: Mapping[str, Any] | None
) -> Iterator[Issue]:
    if known is None:
        return
    windows = hours.windows(known)
    for path in _PLANNED.get(planned.type, ()):
        at: Any = resource
        for step in path.split("."):
            at = (at or {}).get(step)
        if isinstance(at, str) and windows and not hours.within(windows, at):
            yield _issue(
                "The person has said when this contact is safe: choose a time within those hours.",
                reading.place(planned, path),
            )


def _named(resource: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    """(reference, FHIRPath beneath the resource) of every Reference at a dotted path."""
    level: list[tuple[Any, str]] = [(resource, "")]
    for step in path.split("."):
        level = [pair for node, at in level for pair in _below(node, step, at)]
    for node, at in level:
        reference = node.get("reference")
        if isinstance(reference, str):
            yield reference, at


def _below(node: Mapping[str, Any], step: str, at: str) -> Iterator[tuple[Any, str]]:
    found, prefix = node.get(step), f"{at}.{step}" if at else step
    if isinstance(found, list):
        yield from ((each, f"{prefix}[{position}]") for position, each in enumerate(found))
    elif found is not None:
        yield found, prefix


async def _persons(moment: Moment, references: Iterable[str]) -> dict[str, str]:
    """PractitionerRole to the Practitioner who has it: who was refused is refused in every role."""
    keys = {
        reference: key
        for reference in references
        if (key := reading.local({"reference": reference}, moment.base_urls))
        and key[0] == "PractitionerRole"
    }
    found = await reading.read(moment, keys.values())
    return {
        reference: str(found[key].get("practitioner", {}).get("reference"))
        for reference, key in keys.items()
        if key in found
    }


def _patients(moment: Moment, resource: reading.Json) -> list[tuple[str, str]]:
    return list(
        dict.fromkeys(
            ("Patient", ref.id)
            for ref in links.literal_references(resource, moment.base_urls)
            if ref.kind == "local" and ref.type == "Patient" and ref.id
        )
    )


def _issue(diagnostics: str, expression: str) -> Issue:
    return Issue(IssueCode.BUSINESS_RULE, diagnostics, (expression,))
