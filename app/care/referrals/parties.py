"""Who a referral is between: Task.requester and Task.owner as identities of callers.

An organization speaks for its PractitionerRoles, its HealthcareServices and the practitioners that it
employs; the custodian of a Task speaks for a requester who cannot be looked up (a person without a role).
Pinned: hl7.org/fhir/R4/task.html.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from app.care.reading import local, parsed
from app.care.referrals.transitions import Actor
from app.fhir_mappings import registry
from app.interactions.guards import Moment
from app.storage import receivers, resources
from app.storage.database import TransactionReader
from app.storage.identities import Identity
from app.storage.resources import Referenced

_ORGANIZATION_OF: Final = {"PractitionerRole": "organization", "HealthcareService": "providedBy"}


@dataclass(frozen=True, slots=True)
class Party:
    """One side of a Task. rid: itself. organization: for which it acts, None where none is known."""

    type: str
    rid: int
    organization: int | None

    def identity(self) -> Identity:
        """The identity that would read as this party."""
        match self.type:
            case "Patient":
                return Identity(None, None, self.rid)
            case "Practitioner":
                return Identity(self.organization, self.rid, None)
            case _:
                return Identity(self.organization or self.rid, None, None)


async def find(moment: Moment, references: Iterable[Mapping[str, Any] | None]) -> dict[str, Party]:
    """The parties that Reference elements name, by "Type/id"; absent where the writer sees none."""
    named = dict.fromkeys(filter(None, (local(r, moment.base_urls) for r in references)))
    near = await read_keys(moment, named)
    above = {
        key: organization
        for key, found in near.items()
        if (field := _ORGANIZATION_OF.get(key[0]))
        and (organization := local(parsed(found.content).get(field), moment.base_urls))
    }
    far = await read_keys(moment, dict.fromkeys(above.values()))
    employers = await receivers.employers(
        moment.connection, [f.rid for key, f in near.items() if key[0] == "Practitioner"]
    )
    parties = {}
    for key, found in near.items():
        provider = far.get(above[key]) if key in above else None
        acts_for = provider.rid if provider else employers.get(found.rid)
        if key[0] == "Organization":
            acts_for = found.rid
        parties["/".join(key)] = Party(key[0], found.rid, acts_for)
    return parties


async def read_keys(
    moment: Moment, keys: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], Referenced]:
    """What the writer sees of these (type, id), as the transaction has them now."""
    wanted = [(registry.type_code(t), i) for t, i in keys if registry.is_resource_type(t)]
    if not wanted:
        return {}
    reader = TransactionReader(moment.connection)
    found = await resources.read_many(reader, moment.caller, wanted)
    return {(registry.type_name(each.type_code), each.id): each for each in found}


def actors(
    moment: Moment,
    parties: Mapping[str, Party],
    task: Mapping[str, Any],
    custodian: int | None,
) -> frozenset[Actor]:
    """In what capacity the writer writes this Task; custodian: who wrote it first."""
    found = set()
    for actor in Actor:
        key = local(task.get(actor.value), moment.base_urls)
        party = parties.get("/".join(key)) if key else None
        if party is not None:
            mine = {party.rid, party.organization} & set(moment.caller.closure)
            if mine:
                found.add(actor)
        nobody = party is None or party.organization is None
        if actor is Actor.REQUESTER and nobody and custodian == moment.caller.organization:
            found.add(actor)
    return frozenset(found)
