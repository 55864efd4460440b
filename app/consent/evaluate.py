"""Decide with compiled grants: one grant, or all data subjects of a resource.

`holds` is the conditions of `app.storage.predicate` in the same order, for explanations and tests.
A decision is a typed value that carries its reason; whatever is not permitted is denied.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from app.consent.model import CUSTODIAN, Action, CallerFacts, Grant, ResourceFacts
from app.consent.periods import micros
from app.consent.residual import clause_holds
from app.ids import Rid


class DenyReason(StrEnum):
    """Why a decision is a deny."""

    NO_DATA_SUBJECT = "no-data-subject"
    """The resource has no data subject that could be found: nobody can have consented."""

    NO_GRANT = "no-grant"
    """A data subject has no grant that lets this caller do this."""


@dataclass(frozen=True, slots=True)
class Permit:
    """Permitted: one grant for each data subject, in the order of the subjects."""

    grants: tuple[Grant, ...]


@dataclass(frozen=True, slots=True)
class Deny:
    """Denied: why, and for which data subject (None where there is none)."""

    reason: DenyReason
    patient: Rid | None = None


Decision = Permit | Deny


def holds(
    grant: Grant, caller: CallerFacts, resource: ResourceFacts, action: Action, now: datetime
) -> bool:
    """True where every condition of the grant holds; `action` is one action, `now` is aware."""
    return (
        grant.grantee in caller.closure
        and bool(grant.actions & int(action))
        and bool(grant.purposes & caller.purpose)
        and (grant.valid_from is None or grant.valid_from <= now)
        and (grant.valid_to is None or now < grant.valid_to)
        and not grant.forbidden & resource.labels
        and (not grant.any_of or bool(grant.any_of & resource.labels))
        and _of_custodian(grant, caller, resource)
        and grant.excluded.isdisjoint(caller.deny_closure)
        and (grant.types is None or resource.type_code in grant.types)
        and resource.type_code not in grant.not_types
        and _in_data_period(grant, resource)
        and (not grant.residual or _residual(grant, caller, resource, action, micros(now)))
    )


def _residual(
    grant: Grant, caller: CallerFacts, resource: ResourceFacts, action: Action, at: int
) -> bool:
    return all(clause_holds(clause, caller, resource, action, at) for clause in grant.residual)


def _of_custodian(grant: Grant, caller: CallerFacts, resource: ResourceFacts) -> bool:
    if grant.custodian == CUSTODIAN:
        return resource.custodian == caller.organization
    return grant.custodian is None or grant.custodian == resource.custodian


def _in_data_period(grant: Grant, resource: ResourceFacts) -> bool:
    if grant.data_from is None and grant.data_to is None:
        return True
    if resource.clinical_from is None or resource.clinical_to is None:
        return False
    return (grant.data_from is None or grant.data_from <= resource.clinical_from) and (
        grant.data_to is None or resource.clinical_to <= grant.data_to
    )


def decide(
    grants: Mapping[Rid, Iterable[Grant]],
    data_subjects: Collection[Rid],
    caller: CallerFacts,
    resource: ResourceFacts,
    action: Action,
    now: datetime,
) -> Decision:
    """Decide for a resource: every data subject must permit; none at all is a deny.

    grants: the compiled grants by patient. data_subjects: every Patient the resource is about.
    """
    if not data_subjects:
        return Deny(DenyReason.NO_DATA_SUBJECT)
    found: list[Grant] = []
    for patient in data_subjects:
        grant = next(
            (g for g in grants.get(patient, ()) if holds(g, caller, resource, action, now)), None
        )
        if grant is None:
            return Deny(DenyReason.NO_GRANT, patient)
        found.append(grant)
    return Permit(tuple(found))
