"""Lock what is to be written, find what the caller sees of it, and hold If-Match and the right to correct.

Pinned: hl7.org/fhir/R4/http.html#concurrency, #upsert. Neighbour: `app.storage.resources.lock_current`.
"""

from __future__ import annotations

from collections.abc import Sequence

from app.errors import IssueCode, fhir_error, not_found
from app.fhir_mappings import json_text, links, registry
from app.interactions.operation import Operation
from app.interactions.version_diff import stale
from app.interactions.write_plan import Plan, WriteRules
from app.storage import resources, writes
from app.storage.database import Caller, TransactionReader, WriteConnection


async def lock(
    connection: WriteConnection, caller: Caller, operations: Sequence[Operation], rules: WriteRules
) -> list[Plan]:
    """The operations as plans, in their order, each existing row locked until the transaction ends.

    FhirError: 412 a stale If-Match, 405 an id this caller knows nothing of, 404 nothing to patch,
    403 no right to correct, and what a patch raises.
    """
    plans = {id(o): Plan(o, None, id=o.id or "", resource=o.resource) for o in operations}
    await _begin(connection, caller, list(plans.values()), rules)
    # Always in the same order, so that two transactions on the same resources never wait in a circle.
    for operation in sorted(operations, key=lambda o: (o.type, o.id or "")):
        if operation.id is None:
            continue
        plan = plans[id(operation)]
        code = registry.type_code(operation.type)
        plan.current = await resources.lock_current(connection, caller, code, operation.id)
        await _check_current(connection, caller, plan, code, rules)
        if operation.change is not None:
            _apply(plan)
    return list(plans.values())


async def _begin(
    connection: WriteConnection, caller: Caller, plans: Sequence[Plan], rules: WriteRules
) -> None:
    """Take all locks in one order, and learn whose program the writer is."""
    for plan in plans:
        if plan.resource is not None:
            plan.found = links.literal_references(plan.resource, rules.base_urls)
    written = {(registry.type_code(p.operation.type), p.id) for p in plans if p.id}
    referenced = {
        (registry.type_code(ref.type), ref.id)
        for plan in plans
        for ref in plan.found
        if ref.kind == "local" and registry.is_resource_type(ref.type)
    }
    program = await writes.begin(connection, sorted(written), sorted(referenced - written))
    for plan in plans:
        # A survivor is no program, whichever program's words her Patient carries.
        plan.program = 0 if caller.person is not None else program


async def _check_current(
    connection: WriteConnection, caller: Caller, plan: Plan, code: int, rules: WriteRules
) -> None:
    operation, current = plan.operation, plan.current
    if current is None:
        if operation.if_match is not None:
            raise fhir_error(
                IssueCode.CONFLICT, "If-Match names a version of no resource known here."
            )
        if operation.deletes:
            return
        if operation.change is not None:
            raise not_found()
        if not rules.allow_client_ids or await writes.occupied(connection, code, plan.id):
            raise fhir_error(
                IssueCode.NOT_SUPPORTED,
                "No such resource is known here; this server chooses ids itself: use POST to create.",
                status=405,
            )
        return
    if operation.if_match is not None and operation.if_match != current.version:
        named = await resources.vread(
            TransactionReader(connection), caller, code, plan.id, operation.if_match
        )
        raise stale(named.content if named else None, current.content)
    if not current.may_correct:
        raise fhir_error(
            IssueCode.FORBIDDEN,
            "No consent lets this caller correct this resource; it may be read.",
        )
    if current.redacted:
        # Whoever replaced what they see would lose what they do not see; a patch, or what is found to be no
        # change, would tell of it. The resource says REDACTED itself, so that this says nothing new.
        raise fhir_error(
            IssueCode.FORBIDDEN,
            "This caller may not read and correct all of this resource, so may not replace it; "
            "send the correction to its custodian.",
        )


def _apply(plan: Plan) -> None:
    """Make a patch's new content from what stands."""
    current, change = plan.current, plan.operation.change
    if current is None or change is None:
        raise ValueError("only a patch of a known resource is applied")
    if current.deleted:
        raise fhir_error(
            IssueCode.DELETED, "The resource has been deleted: nothing can be patched."
        )
    resource = change(json_text.parse(current.content, max_depth=json_text.MAX_DEPTH_LIMIT))
    if resource.get("id") != plan.id or resource.get("resourceType") != plan.operation.type:
        raise fhir_error(
            IssueCode.INVALID, "A patch may not change the type or the id.", plan.operation.type
        )
    plan.resource = resource
