"""What was done counts toward its plan: CarePlan.activity.outcomeReference, in the same transaction.

A Procedure, Encounter or Observation based on a plan counts for the activity of its code; one based on a
request, for the activity that is this request. Only a plan of the writer's own organization is written;
others find what was done by searching `based-on`. Pinned: hl7.org/fhir/R4/careplan.html.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from app.care import reading
from app.fhir_mappings import registry
from app.interactions.guards import Moment, Planned
from app.interactions.operation import Operation
from app.storage import receivers, resources
from app.storage.database import TransactionReader

_DONE: Final = {
    "Procedure": ("code", frozenset({"completed"})),
    "Encounter": ("type", frozenset({"finished"})),
    "Observation": ("code", frozenset({"final", "amended", "corrected"})),
}
"""Type to the element that says what was done, and the statuses in which it was."""


class ProgressGuard:
    """The guard that keeps plans up to date."""

    async def before(self, moment: Moment) -> None:
        """Nothing."""

    async def after(self, moment: Moment) -> Sequence[Operation]:
        """The plans whose activities have a new outcome."""
        plans: dict[str, dict[str, Any]] = {}
        for planned in moment.planned:
            done = planned.resource
            if done is None or planned.type not in _DONE:
                continue
            if done.get("status") not in _DONE[planned.type][1] or not done.get("basedOn"):
                continue
            for plan in await _plans(moment, done):
                plan = plans.get(plan["id"], plan)
                counted = _counted(plan, planned, done, moment.base_urls)
                if counted is not None:
                    plans[plan["id"]] = counted
        return [Operation("CarePlan", id_, plan) for id_, plan in plans.items()]


async def _plans(moment: Moment, done: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The plans of the writer's own organization that something is based on, straight or by a request."""
    keys = [k for each in done["basedOn"] if (k := reading.local(each, moment.base_urls))]
    direct = [id_ for type_, id_ in keys if type_ == "CarePlan"]
    for type_, id_ in keys:
        if type_ == "ServiceRequest":
            found = await reading.search(
                moment, "CarePlan", [("activity-reference", f"ServiceRequest/{id_}")], 10
            )
            direct += [each["id"] for each in found]
    if not direct:
        return []
    reader = TransactionReader(moment.connection)
    code = registry.type_code("CarePlan")
    rows = await resources.read_many(
        reader, moment.caller, [(code, id_) for id_ in dict.fromkeys(direct)]
    )
    own = await receivers.own(reader, moment.caller, [row.rid for row in rows])
    return [reading.parsed(row.content) for row in rows if row.rid in own]


def _counted(
    plan: dict[str, Any], planned: Planned, done: Mapping[str, Any], bases: tuple[str, ...]
) -> dict[str, Any] | None:
    """The plan with this outcome at its activity; None where it has none for it, or has it already."""
    outcome = {"reference": f"{planned.type}/{planned.id}"}
    keys = {reading.local(each, bases) for each in done["basedOn"]}
    what = done.get(_DONE[planned.type][0])
    codes = {c for each in (what if isinstance(what, list) else [what]) for c in _codes(each)}
    for position, activity in enumerate(plan.get("activity", ())):
        by_request = reading.local(activity.get("reference"), bases)
        fits = (
            by_request in keys
            if by_request
            else bool(codes & set(_codes(activity.get("detail", {}).get("code"))))
        )
        if not fits:
            continue
        known = activity.get("outcomeReference", [])
        if outcome in known:
            return None
        activities = list(plan["activity"])
        activities[position] = activity | {"outcomeReference": [*known, outcome]}
        return plan | {"activity": activities}
    return None


def _codes(concept: Any) -> list[tuple[str, str]]:
    return [(c.get("system", ""), c.get("code", "")) for c in (concept or {}).get("coding", ())]
