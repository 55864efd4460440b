"""One write pipeline for create, update, delete and transaction: all or nothing, a fixed number of statements.

Validate, lock, resolve references as the caller sees them, derive data subjects and labels, store, index,
recompile grants. Pinned: hl7.org/fhir/R4/http.html#create, #update, #delete, #transaction.
Neighbours: `app.storage.writes` (the statements), `app.interactions.grants`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from app.consent import labels
from app.consent.labelling import computed_labels, merged_security
from app.errors import FhirError, Issue, IssueCode, fhir_error
from app.fhir_mappings import (
    clinical_time,
    codes,
    index_rows,
    json_text,
    links,
    membership,
    registry,
    search_keys,
)
from app.fhir_mappings.validate import validate
from app.ids import new_logical_id
from app.interactions.grants import recompile
from app.interactions.guards import Guard, Moment, Planned
from app.storage import resources, writes
from app.storage.database import Caller, Database, WriteConnection
from app.storage.resources import Current, Target

Json = dict[str, Any]

_CLOSED = labels.CONFIDENTIALITY["R"] | labels.CONFIDENTIALITY["V"] | labels.SENSITIVITY["LOCIS"]
"""Labels with which a directory entry is its custodian's alone."""


@dataclass(slots=True)
class Operation:
    """One thing to write. resource None deletes; id None creates; where names it in a Bundle."""

    type: str
    id: str | None = None
    resource: Json | None = None
    if_match: int | None = None
    full_url: str | None = None
    where: str = ""


@dataclass(frozen=True, slots=True)
class Written:
    """What became of an operation. status: 200, 201 or 204; content empty where deleted."""

    type: str
    id: str
    rid: int
    version: int
    last_updated: datetime
    status: int
    content: bytes
    also: tuple[int, ...] = ()
    """Rids of what guards wrote beside it; told with the first of a transaction's operations."""


@dataclass(slots=True)
class _Plan:
    """An operation on its way."""

    operation: Operation
    current: Current | None
    rid: int = 0
    id: str = ""
    resource: Json | None = None
    found: list[links.LinkRef] = field(default_factory=list)
    subjects: tuple[int, ...] = ()
    labels: int = 0
    unchanged: bool = False


@dataclass(frozen=True, slots=True)
class WriteRules:
    """Settings that writing depends on."""

    base_urls: tuple[str, ...]
    allow_client_ids: bool = False
    guards: tuple[Guard, ...] = ()


async def write(
    database: Database, caller: Caller, operations: list[Operation], rules: WriteRules
) -> list[Written]:
    """Carry out all operations in one transaction, or none.

    FhirError: 400/422 malformed, 405 an id this caller knows nothing of, 412 a stale If-Match, 403 no right
    to correct, 422 dangling or hidden reference (the same words for both).
    """
    if caller.organization is None:
        raise fhir_error(IssueCode.FORBIDDEN, "This access token may read, not write.")
    async with database.write(caller) as connection:
        return await _carry_out(connection, caller, operations, rules, datetime.now(UTC))


_ROUNDS: Final = 4
"""How often guards may answer the writes of guards."""


async def _carry_out(
    connection: WriteConnection,
    caller: Caller,
    operations: list[Operation],
    rules: WriteRules,
    now: datetime,
    round_: int = 0,
) -> list[Written]:
    """One pass through the pipeline, and a further one for what the guards add."""
    if caller.organization is None:
        raise ValueError("a writer has an organization")
    _validate(operations)
    plans = await _lock(connection, caller, operations, rules)
    await _allot(connection, plans, rules)
    targets = await _resolve(connection, caller, plans, rules)
    _subjects(plans, targets)
    for guard in rules.guards:
        await guard.before(_moment(connection, caller, plans, rules, now))
    rows = [_row(plan, targets, caller.organization, now, rules) for plan in plans]
    stored = [row for row in rows if row is not None]
    if stored:
        await writes.put(connection, stored)
        await _memberships(connection, plans, targets)
        await _grants(connection, plans, now)
    written = [_written(plan, row) for plan, row in zip(plans, rows, strict=True)]
    if not stored or not rules.guards:
        return written
    changed = [plan for plan in plans if not plan.unchanged]
    further: list[Operation] = []
    for guard in rules.guards:
        further += await guard.after(_moment(connection, caller, changed, rules, now))
    if further:
        if round_ == _ROUNDS:
            raise RuntimeError("guards answer one another without end")
        more = await _carry_out(connection, caller, further, rules, now, round_ + 1)
        also = tuple(rid for each in more for rid in (each.rid, *each.also))
        written[0] = replace(written[0], also=also)
    return written


def _moment(
    connection: WriteConnection,
    caller: Caller,
    plans: list[_Plan],
    rules: WriteRules,
    now: datetime,
) -> Moment:
    planned = tuple(
        Planned(
            plan.operation.type,
            plan.id,
            plan.rid,
            plan.resource,
            plan.current,
            plan.subjects,
            plan.operation.where,
        )
        for plan in plans
    )
    return Moment(connection, caller, now, rules.base_urls, planned)


def _validate(operations: list[Operation]) -> None:
    issues: list[Issue] = []
    for operation in operations:
        if operation.resource is None:
            continue
        found = validate(operation.resource, expected_type=operation.type)
        if operation.where:
            found = [
                Issue(i.code, i.diagnostics, tuple(f"{operation.where}.{e}" for e in i.expression))
                for i in found
            ]
        issues.extend(found)
    errors = [issue for issue in issues if issue.severity in ("error", "fatal")]
    if errors:
        raise FhirError(errors)


async def _lock(
    connection: WriteConnection, caller: Caller, operations: list[Operation], rules: WriteRules
) -> list[_Plan]:
    plans = {id(o): _Plan(o, None, id=o.id or "", resource=o.resource) for o in operations}
    # Always in the same order, so that two transactions on the same resources never wait in a circle.
    for operation in sorted(operations, key=lambda o: (o.type, o.id or "")):
        if operation.id is None:
            continue
        plan = plans[id(operation)]
        code = registry.type_code(operation.type)
        plan.current = await resources.lock_current(connection, caller, code, operation.id)
        await _check_current(connection, plan, code, rules)
    return list(plans.values())


async def _check_current(
    connection: WriteConnection, plan: _Plan, code: int, rules: WriteRules
) -> None:
    operation, current = plan.operation, plan.current
    if current is None:
        if operation.if_match is not None:
            raise fhir_error(
                IssueCode.CONFLICT, "If-Match names a version of no resource known here."
            )
        if operation.resource is None:
            return
        if not rules.allow_client_ids or await writes.occupied(connection, code, plan.id):
            raise fhir_error(
                IssueCode.NOT_SUPPORTED,
                "No such resource is known here; this server chooses ids itself: use POST to create.",
                status=405,
            )
        return
    if operation.if_match is not None and operation.if_match != current.version:
        raise fhir_error(
            IssueCode.CONFLICT,
            "The resource has changed since the version that If-Match names; read it again.",
        )
    if not current.may_correct:
        raise fhir_error(
            IssueCode.FORBIDDEN,
            "No consent lets this caller correct this resource; it may be read.",
        )


async def _allot(connection: WriteConnection, plans: list[_Plan], rules: WriteRules) -> None:
    new = [p for p in plans if p.current is None and p.operation.resource is not None]
    for plan, rid in zip(new, await writes.reserve(connection, len(new)), strict=True):
        plan.rid = rid
        plan.id = plan.id or new_logical_id()
    for plan in plans:
        if plan.current is not None:
            plan.rid = plan.current.rid
    renamed = {
        p.operation.full_url: f"{p.operation.type}/{p.id}"
        for p in plans
        if p.operation.full_url and p.operation.resource is not None
    }
    for plan in plans:
        if plan.resource is not None:
            if renamed:
                plan.resource = links.replace_references(plan.resource, renamed)
            plan.found = links.literal_references(plan.resource, rules.base_urls)


async def _resolve(
    connection: WriteConnection, caller: Caller, plans: list[_Plan], rules: WriteRules
) -> dict[tuple[str, str], Target]:
    inside = {
        (p.operation.type, p.id): Target(p.rid, (), 0) for p in plans if p.resource is not None
    }
    wanted = {
        (ref.type, ref.id)
        for plan in plans
        for ref in plan.found
        if ref.kind == "local" and ref.type and ref.id and (ref.type, ref.id) not in inside
    }
    known = [(t, i) for t, i in sorted(wanted) if registry.is_resource_type(t)]
    found = await resources.visible_targets(
        connection, caller, [(registry.type_code(t), i) for t, i in known]
    )
    targets = inside | {
        (t, i): found[key] for t, i in known if (key := (registry.type_code(t), i)) in found
    }
    issues = [
        Issue(
            IssueCode.BUSINESS_RULE,
            "The reference points at nothing known here; correct it, or create its target first.",
            (f"{plan.operation.where}.{ref.expression}".lstrip("."),),
        )
        for plan in plans
        for ref in plan.found
        if (ref.kind == "local" and (ref.type, ref.id) not in targets) or ref.kind == "urn"
    ]
    if issues:
        raise FhirError(issues)
    return targets


def _local(
    plan: _Plan, targets: dict[tuple[str, str], Target]
) -> list[tuple[links.LinkRef, Target]]:
    return [
        (ref, targets[ref.type or "", ref.id or ""]) for ref in plan.found if ref.kind == "local"
    ]


def _subjects(plans: list[_Plan], targets: dict[tuple[str, str], Target]) -> None:
    """Data subjects: every Patient mentioned, and those of whatever is referenced; to a fixpoint."""
    live = [p for p in plans if p.resource is not None]
    for plan in live:
        plan.subjects = (plan.rid,) if plan.operation.type == "Patient" else ()
    moved = True
    while moved:
        moved = False
        for plan in live:
            gained = dict.fromkeys(plan.subjects)
            for _, target in _local(plan, targets):
                gained.update(dict.fromkeys(target.subjects))
            if len(gained) > len(plan.subjects):
                plan.subjects = tuple(gained)
                moved = True
            key = (plan.operation.type, plan.id)
            targets[key] = Target(plan.rid, plan.subjects, targets[key].labels)


def _label(plan: _Plan, targets: dict[tuple[str, str], Target]) -> list[Json]:
    if plan.resource is None:
        raise ValueError("a deletion is not labelled")
    inherited = 0
    for ref, target in _local(plan, targets):
        if ref.climbs:
            inherited |= target.labels & labels.ALL_SENSITIVITY
    computed = computed_labels(
        plan.resource, codings=codes.codings(plan.resource), inherited=inherited, program=0
    )
    security: list[Json] = [dict(each) for each in merged_security(plan.resource, computed)]
    plan.labels = labels.label_mask(security)
    key = (plan.operation.type, plan.id)
    targets[key] = Target(plan.rid, plan.subjects, plan.labels)
    return security


def _row(
    plan: _Plan,
    targets: dict[tuple[str, str], Target],
    organization: int,
    now: datetime,
    rules: WriteRules,
) -> writes.Row | None:
    current, resource, type_ = plan.current, plan.resource, plan.operation.type
    version = current.version + 1 if current else 1
    if resource is None:
        if current is None or current.deleted:
            plan.unchanged = True
            return None
        plan.subjects, plan.labels = current.subjects, current.labels
        return writes.Row(
            rid=plan.rid,
            type_code=registry.type_code(type_),
            id=plan.id,
            version=version,
            last_updated=now,
            deleted=True,
            open=current.open,
            subjects=current.subjects,
            custodian=current.custodian,
            labels=current.labels,
            clinical=None,
            codes=(),
            content=b"",
        )
    security = _label(plan, targets)
    if current and not current.deleted:
        same = json_text.with_meta(
            resource, plan.id, str(current.version), current.last_updated, security
        )
        if json_text.dump(same) == current.content:
            plan.unchanged = True
            return None
    if current and type_ == "Consent" and current.subjects[:1] != plan.subjects[:1]:
        raise fhir_error(
            IssueCode.BUSINESS_RULE,
            "A Consent stays with its patient: set this one inactive and record another.",
            "Consent.patient",
        )
    stored = json_text.with_meta(resource, plan.id, str(version), now, security)
    extracted = index_rows.extract(stored, rules.base_urls)
    found = [(ref, target) for ref, target in _local(plan, targets) if target.rid != plan.rid]
    row_links = {(t.rid, 0, ref.climbs, ref.author) for ref, t in found}
    for parameter, target_type, target_id in extracted.references:
        target = targets.get((target_type, target_id))
        if target is not None:
            row_links.add((target.rid, parameter, False, False))
    return writes.Row(
        rid=plan.rid,
        type_code=registry.type_code(type_),
        id=plan.id,
        version=version,
        last_updated=now,
        deleted=False,
        open=not plan.subjects and type_ in registry.DIRECTORY_TYPES and not plan.labels & _CLOSED,
        subjects=plan.subjects,
        custodian=current.custodian if current else organization,
        labels=plan.labels,
        clinical=clinical_time.clinical_time(stored),
        codes=codes.codes(stored),
        content=json_text.dump(stored),
        tokens=[*extracted.tokens, search_keys.parameter_key(type_, "")],
        dates=extracted.dates,
        strings=extracted.strings,
        links=sorted(row_links),
    )


async def _memberships(
    connection: WriteConnection, plans: list[_Plan], targets: dict[tuple[str, str], Target]
) -> None:
    changed = [p for p in plans if p.operation.type in membership.CARRIERS and not p.unchanged]
    if not changed:
        return
    by_text = {f"{t}/{i}": target.rid for (t, i), target in targets.items()}
    rows = []
    for plan in changed:
        for each in membership.memberships(plan.resource) if plan.resource else ():
            member = plan.rid if each.member is None else by_text.get(each.member)
            belongs = plan.rid if each.belongs_to is None else by_text.get(each.belongs_to)
            if member is None or belongs is None:
                continue
            within = by_text.get(each.within) if each.within else None
            rows.append(
                (plan.rid, member, belongs, within, each.deny_only, each.valid_from, each.valid_to)
            )
    await writes.put_memberships(connection, [p.rid for p in changed], rows)


async def _grants(connection: WriteConnection, plans: list[_Plan], now: datetime) -> None:
    touched: set[int] = set()
    for plan in plans:
        if plan.unchanged:
            continue
        if plan.operation.type == "Patient" and plan.current is None:
            touched.add(plan.rid)
        if plan.operation.type == "Consent":
            touched.update(plan.subjects)
    for patient in sorted(touched):
        await recompile(connection, patient, now)


def _written(plan: _Plan, row: writes.Row | None) -> Written:
    type_ = plan.operation.type
    if row is None:
        if plan.current is None or plan.resource is None:
            return Written(type_, plan.id, plan.rid, 0, datetime.now(UTC), 204, b"")
        current = plan.current
        return Written(
            type_, plan.id, plan.rid, current.version, current.last_updated, 200, current.content
        )
    status = 204 if row.deleted else 201 if row.version == 1 else 200
    return Written(type_, plan.id, row.rid, row.version, row.last_updated, status, row.content)
