"""One write pipeline for create, update, patch, delete and transaction: all or nothing.

A fixed number of statements: validate, lock, ask the guards, resolve references as the caller sees them,
derive data subjects and labels, store, index, recompile grants.
Pinned: hl7.org/fhir/R4/http.html#create, #update, #delete, #transaction.
Neighbours: the steps `write_lock`, `write_references`, `write_rows`; `app.storage.writes` (the statements),
`app.interactions.grants`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

from app.consent import purposes
from app.errors import FhirError, Issue, IssueCode, fhir_error
from app.fhir_mappings import membership
from app.fhir_mappings.validate import validate
from app.interactions import definitions
from app.interactions.consent_rules import check_consents
from app.interactions.grants import recompile_touched
from app.interactions.guards import Moment, Planned
from app.interactions.operation import Operation
from app.interactions.own_writing import check_own, writer_of
from app.interactions.write_labels import find_canonicals, spread_labels
from app.interactions.write_lock import lock
from app.interactions.write_plan import Json, Plan, Targets, WriteRules, Written
from app.interactions.write_references import allot, placed, resolve, spread_subjects
from app.interactions.write_rows import row
from app.storage import writes
from app.storage.database import Caller, Database, WriteConnection
from app.storage.identities import Identity, resolve_caller
from app.storage.receivers import entered

__all__ = ["Operation", "WriteRules", "Written", "write", "write_on"]

_ROUNDS: Final = 4
"""How often guards may answer the writes of guards."""

_NOTHING_KNOWN: Final[Mapping[str, str]] = MappingProxyType({})


async def write(
    database: Database, caller: Caller, operations: Sequence[Operation], rules: WriteRules
) -> list[Written]:
    """Carry out all operations in one transaction, or none.

    FhirError: 400/422 malformed, 405 an id this caller knows nothing of, 412 a stale If-Match, 403 no right
    to correct, 422 dangling or hidden reference (the same words for both), and what a guard refuses.
    """
    writer = writer_of(caller)
    require_writer(writer)
    check_valid([(o.resource, o) for o in operations])
    async with database.write(writer) as connection:
        written = await write_on(connection, writer, operations, rules)
    if any(each.type == "SearchParameter" for each in operations):
        await definitions.refresh(database)
    return written


async def write_on(
    connection: WriteConnection,
    caller: Caller,
    operations: Sequence[Operation],
    rules: WriteRules,
    known: Mapping[str, str] = _NOTHING_KNOWN,
) -> list[Written]:
    """The same inside a transaction that has been entered, with resources that have been validated.

    known: fullUrl to `Type/id` of what was written or found before in the transaction.
    """
    return await _carry_out(connection, caller, operations, rules, known, datetime.now(UTC))


async def _carry_out(
    connection: WriteConnection,
    caller: Caller,
    operations: Sequence[Operation],
    rules: WriteRules,
    known: Mapping[str, str],
    now: datetime,
    round_: int = 0,
) -> list[Written]:
    """One pass through the pipeline, and a further one for what the guards add."""
    organization = require_writer(caller)
    if any(operation.type == "AuditEvent" for operation in operations):
        raise fhir_error(
            IssueCode.NOT_SUPPORTED, "AuditEvents are written by this server alone.", status=405
        )
    plans = await lock(connection, caller, operations, rules)
    check_valid([(p.resource, p.operation) for p in plans if p.operation.change is not None])
    await allot(connection, plans, rules, known)
    targets = await resolve(connection, caller, plans)
    check_consents(plans)
    await find_canonicals(connection, caller, plans, targets)
    spread_subjects(plans, targets)
    spread_labels(plans, caller, targets)
    await check_own(connection, caller, plans)
    for guard in rules.guards:
        await guard.before(_moment(connection, caller, plans, rules, now))
    rows = [row(plan, targets, organization, now, rules) for plan in plans]
    stored = [each for each in rows if each is not None]
    if stored:
        await writes.put(connection, stored)
        await _memberships(connection, plans, targets)
        await recompile_touched(connection, caller, plans, rules, now)
    written = [_written(plan, each) for plan, each in zip(plans, rows, strict=True)]
    if not stored or not rules.guards:
        return written
    changed = [plan for plan in plans if not plan.unchanged]
    further: list[Operation] = []
    moment = _moment(connection, caller, changed, rules, now)
    for guard in rules.guards:
        further += await guard.after(moment)
    if moment.also:
        written[0] = replace(written[0], also=tuple(moment.also))
    if further:
        if round_ == _ROUNDS:
            raise RuntimeError("guards answer one another without end")
        check_valid([(o.resource, o) for o in further])
        more = await _further(connection, caller, further, rules, now, round_ + 1)
        also = tuple(rid for each in more for rid in each.rids)
        written[0] = replace(written[0], also=(*written[0].also, *also))
    return written


async def _further(
    connection: WriteConnection,
    caller: Caller,
    operations: Sequence[Operation],
    rules: WriteRules,
    now: datetime,
    round_: int,
) -> list[Written]:
    """What guards add, each in the name of whom it is for."""
    written: list[Written] = []
    for name in dict.fromkeys(operation.on_behalf_of for operation in operations):
        part = [operation for operation in operations if operation.on_behalf_of == name]
        if name is None or name == caller.organization:
            written += await _carry_out(
                connection, caller, part, rules, _NOTHING_KNOWN, now, round_
            )
            continue
        # What an agency is to do with a survivor's own words, it does for treatment.
        purpose = caller.purpose if caller.person is None else purposes.purpose_bit("TREAT")
        writer = await resolve_caller(
            connection, Identity(name, None, None), purpose=purpose, emergency=False
        )
        async with entered(connection, writer, caller):
            written += await _carry_out(
                connection, writer, part, rules, _NOTHING_KNOWN, now, round_
            )
    return written


def _moment(
    connection: WriteConnection,
    caller: Caller,
    plans: Sequence[Plan],
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


def require_writer(caller: Caller) -> int:
    """Whose what a caller writes is: its organization's, or the survivor's own (`own_writing.writer_of`)."""
    if caller.organization is None:
        raise fhir_error(IssueCode.FORBIDDEN, "This access token may read, not write.")
    return caller.organization


def check_valid(contents: Sequence[tuple[Json | None, Operation]]) -> None:
    """FhirError with every fault of every content, placed in the Bundle where there is one."""
    issues: list[Issue] = []
    for content, operation in contents:
        if content is None:
            continue
        issues += [
            Issue(
                found.code,
                found.diagnostics,
                tuple(placed(operation.where, each) for each in found.expression),
                found.severity,
            )
            for found in validate(content, expected_type=operation.type)
        ]
    errors = [issue for issue in issues if issue.severity in ("error", "fatal")]
    if errors:
        raise FhirError(errors)


async def _memberships(
    connection: WriteConnection, plans: Sequence[Plan], targets: Targets
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


def _written(plan: Plan, stored: writes.Row | None) -> Written:
    type_ = plan.operation.type
    if stored is None:
        if plan.current is None or plan.resource is None:
            return Written(type_, plan.id, plan.rid, 0, datetime.now(UTC), 204, b"")
        current = plan.current
        return Written(
            type_, plan.id, plan.rid, current.version, current.last_updated, 200, current.content
        )
    status = 204 if stored.deleted else 201 if stored.version == 1 else 200
    return Written(
        type_, plan.id, stored.rid, stored.version, stored.last_updated, status, stored.content
    )
