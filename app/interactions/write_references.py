"""Ids for what is new, references resolved as the caller sees them, and the data subjects they lead to.

Pinned: hl7.org/fhir/R4/http.html#trules, hl7.org/fhir/R4/references.html#literal; docs/consent.md, "Words".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from app.errors import FhirError, Issue, IssueCode
from app.fhir_mappings import links, registry
from app.ids import new_logical_id
from app.interactions.write_plan import Plan, Targets, WriteRules
from app.storage import resources, writes
from app.storage.database import Caller, WriteConnection
from app.storage.resources import Target


async def allot(
    connection: WriteConnection,
    plans: Sequence[Plan],
    rules: WriteRules,
    known: Mapping[str, str],
) -> None:
    """Give new resources their rids and ids, and put the real addresses in the place of fullUrls.

    known: further addresses to replace (fullUrl to `Type/id`), of entries written by other means.
    """
    new = [p for p in plans if p.current is None and p.resource is not None]
    for plan, rid in zip(new, await writes.reserve(connection, len(new)), strict=True):
        plan.rid = rid
        plan.id = plan.id or new_logical_id()
    for plan in plans:
        if plan.current is not None:
            plan.rid = plan.current.rid
    renamed = dict(known) | {
        p.operation.full_url: f"{p.operation.type}/{p.id}"
        for p in plans
        if p.operation.full_url and p.resource is not None
    }
    for plan in plans:
        if plan.resource is not None and (renamed or plan.operation.change is not None):
            if renamed:
                plan.resource = links.replace_references(plan.resource, renamed)
            plan.found = links.literal_references(plan.resource, rules.base_urls)


async def resolve(connection: WriteConnection, caller: Caller, plans: Sequence[Plan]) -> Targets:
    """What the references of the plans point at: each other, or rows that the caller sees.

    FhirError 422 with an issue for each reference that dangles, in the same words for hidden, missing,
    deleted, and deleted by this very transaction.
    """
    inside = {
        (p.operation.type, p.id): Target(p.rid, (), 0) for p in plans if p.resource is not None
    }
    removed = {(p.operation.type, p.id) for p in plans if p.resource is None}
    wanted = {
        (ref.type, ref.id)
        for plan in plans
        for ref in plan.found
        if ref.kind == "local" and ref.type and ref.id and (ref.type, ref.id) not in inside
    }
    known = [(t, i) for t, i in sorted(wanted - removed) if registry.is_resource_type(t)]
    found = await resources.visible_targets(
        connection, caller, [(registry.type_code(t), i) for t, i in known]
    )
    targets = inside | {
        (t, i): found[key] for t, i in known if (key := (registry.type_code(t), i)) in found
    }
    issues = list(_dangling(plans, targets))
    if issues:
        raise FhirError(issues)
    return targets


def _dangling(plans: Sequence[Plan], targets: Targets) -> Iterable[Issue]:
    for plan in plans:
        inner: frozenset[str] | None = None
        for ref in plan.found:
            if ref.kind == "urn":
                # Within a stored Bundle, say a document, an entry is named by its fullUrl.
                if inner is None:
                    inner = links.inner_addresses(plan.resource or {})
                dangles = ref.text not in inner
            else:
                dangles = ref.kind == "local" and (ref.type, ref.id) not in targets
            if dangles:
                yield Issue(
                    IssueCode.BUSINESS_RULE,
                    "The reference points at nothing known here; correct it, or create its target "
                    "first.",
                    (placed(plan.operation.where, ref.expression),),
                )


def placed(where: str, expression: str) -> str:
    """A path in a resource as a path in the Bundle that carries it: its type gives way to `where`."""
    if not where:
        return expression
    _, dot, rest = expression.partition(".")
    return f"{where}{dot}{rest}"


def local(plan: Plan, targets: Targets) -> list[tuple[links.LinkRef, Target]]:
    """The local references of a plan, with what they point at."""
    return [
        (ref, targets[ref.type or "", ref.id or ""]) for ref in plan.found if ref.kind == "local"
    ]


def spread_subjects(plans: Sequence[Plan], targets: Targets) -> None:
    """Data subjects: every Patient mentioned, and those of whatever is referenced; to a fixpoint."""
    live = [p for p in plans if p.resource is not None]
    for plan in live:
        plan.subjects = (plan.rid,) if plan.operation.type == "Patient" else ()
        # An entry may refer to a Patient that stands later in the Bundle.
        key = (plan.operation.type, plan.id)
        targets[key] = Target(plan.rid, plan.subjects, targets[key].labels)
    moved = True
    while moved:
        moved = False
        for plan in live:
            gained = dict.fromkeys(plan.subjects)
            for _, target in local(plan, targets):
                gained.update(dict.fromkeys(target.subjects))
            if len(gained) > len(plan.subjects):
                plan.subjects = tuple(gained)
                moved = True
            key = (plan.operation.type, plan.id)
            targets[key] = Target(plan.rid, plan.subjects, targets[key].labels)
