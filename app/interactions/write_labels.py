"""Labels of what is written: computed from codes, from the writer's program, and from what it rests on.

A resource never carries less than what it refers to through a climbing reference, also where its target
stands later in the same Bundle, so the labels are spread to a fixpoint as the data subjects are. Pinned:
hl7.org/fhir/R4/security-labels.html; docs/consent.md, "Labelling on write". Neighbours:
`app.consent.labelling` (the table), `tl.propagate` (the same when a target changes later).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from app.consent import labels
from app.consent.labelling import (
    CLIMBING,
    computed_labels,
    merged_security,
    nested_labels,
    program_of,
)
from app.consent.redaction import root_mask
from app.fhir_mappings import codes, registry, search_keys
from app.interactions.write_plan import Json, Plan, Targets
from app.interactions.write_references import local
from app.storage import resources
from app.storage.database import Caller, WriteConnection
from app.storage.resources import Target

_QUESTIONNAIRE: Final = "Questionnaire"


async def find_canonicals(
    connection: WriteConnection, caller: Caller, plans: Sequence[Plan], targets: Targets
) -> None:
    """Find the Questionnaires that answers name by canonical address, here or in this transaction."""
    asked: dict[str, list[Plan]] = {}
    for plan in plans:
        if plan.operation.type == "QuestionnaireResponse" and plan.resource is not None:
            url = str(plan.resource.get("questionnaire") or "").partition("|")[0]
            if url and not any(ref.type == _QUESTIONNAIRE for ref in plan.found):
                asked.setdefault(url, []).append(plan)
    if not asked:
        return
    keys = {search_keys.uri_key(_QUESTIONNAIRE, "url", url): url for url in asked}
    found = await resources.canonical_targets(
        connection, caller, registry.type_code(_QUESTIONNAIRE), list(keys)
    )
    named = [(keys[hash_], (_QUESTIONNAIRE, id_), target) for hash_, id_, target in found]
    for url, key, target in named:
        targets.setdefault(key, target)
        for plan in asked[url]:
            plan.rests_on.append(key)
    for plan in plans:
        if plan.operation.type == _QUESTIONNAIRE and plan.resource is not None:
            for each in asked.get(str(plan.resource.get("url")), ()):
                each.rests_on.append((_QUESTIONNAIRE, plan.id))


def spread_labels(plans: Sequence[Plan], caller: Caller, targets: Targets) -> None:
    """Label every plan that has a resource; its Codings for meta.security stand in `plan.security`."""
    live = [(plan, plan.resource) for plan in plans if plan.resource is not None]
    moved = True
    while moved:
        moved = False
        for plan, resource in live:
            before = targets[plan.operation.type, plan.id].labels
            _label(plan, resource, caller, targets)
            targets[plan.operation.type, plan.id] = Target(plan.rid, plan.subjects, plan.labels)
            moved |= len(live) > 1 and plan.labels != before


def least_labels(resource: Json, inherited: int, program: int) -> int:
    """The label mask that a resource must carry at least; see `computed_labels` for the arguments."""
    found = codes.codings(resource)
    return computed_labels(
        resource, codings=found, inherited=inherited | nested_labels(found), program=program
    )


def _label(plan: Plan, resource: Json, caller: Caller, targets: Targets) -> None:
    inherited = 0
    for ref, target in local(plan, targets):
        if ref.climbs and target.rid != plan.rid:
            inherited |= target.labels & CLIMBING
    for key in plan.rests_on:
        inherited |= targets[key].labels & CLIMBING
    computed = least_labels(resource, inherited, plan.program if plan.subjects else 0)
    security: list[Json] = [
        dict(each)
        for each in merged_security(
            resource, computed | root_mask(resource) | _kept(plan, resource, caller)
        )
    ]
    plan.security = security
    plan.labels = labels.label_mask(security)


def _kept(plan: Plan, resource: Json, caller: Caller) -> int:
    """Labels that this writer may not take away from what stands."""
    current, kept = plan.current, 0
    if plan.operation.type == "Organization":
        # A program stays one until an administrator says otherwise: its records were labelled by it.
        kept = program_of(resource)
        kept |= current.labels & (labels.PART2 | labels.VICTIM) if current else 0
    if current is not None and current.custodian != caller.organization:
        kept |= current.labels & CLIMBING
    return kept
