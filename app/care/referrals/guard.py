"""The rules of a referral's Task, asked of every write (hl7.org/fhir/R4/task.html#statemachine).

Before: is the move theirs, with the reason and output it needs, and is what was agreed left as it was?
After: may the addressee receive it, and who must be told that an addressee has lost sight of a Task?
Neighbours: `transitions` (the table), `parties` (who is who), `sight` (the notes), `app.interactions.guards`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from app.care import reading
from app.care.referrals import parties as parties_
from app.care.referrals import sight
from app.care.referrals.parties import Party
from app.care.referrals.transitions import (
    NEW,
    Actor,
    Lacking,
    NoSuchTransition,
    NotTheirs,
    Permitted,
    is_referral,
    judge,
)
from app.errors import FhirError, Issue, IssueCode, fhir_error
from app.interactions.guards import Moment, Planned
from app.interactions.operation import Operation
from app.storage import receivers

_AGREED: Final = ("intent", "code", "focus", "for", "requester", "authoredOn", "restriction")
"""What the requester asked for: once sent it is withdrawn and asked anew, not changed."""

_REQUESTERS: Final = (
    *_AGREED,
    *("owner", "priority", "input", "partOf", "basedOn", "groupIdentifier"),
    *("description", "reasonCode", "reasonReference", "performerType", "encounter", "location"),
)
"""What the owner who answers may not change."""


class ReferralGuard:
    """The guard of referral Tasks."""

    async def before(self, moment: Moment) -> None:
        """403 where the move is another party's, 422 for a move outside the table or without its reason."""
        tasks = [each for each in moment.planned if _governed(each)]
        if not tasks:
            return
        found = await _parties(moment, tasks)
        issues = [
            issue for each in tasks for issue in _faults(moment, each, found) if issue is not None
        ]
        if issues:
            raise FhirError(issues)

    async def after(self, moment: Moment) -> Sequence[Operation]:
        """422 for a Task sent to somebody who may not receive it; notes where sight was lost."""
        sent = [each for each in moment.planned if _governed(each) and _is_sent(each)]
        if sent:
            await _receivable(moment, sent)
        survivors = {
            subject
            for each in moment.planned
            if each.type == "Consent"
            for subject in each.subjects
        }
        moment.also.extend(each.rid for each in await sight.tell(moment, survivors))
        return ()


def _governed(planned: Planned) -> bool:
    if planned.type != "Task":
        return False
    before = reading.previous(planned)
    return is_referral(planned.resource or {}) or (before is not None and is_referral(before))


async def _parties(moment: Moment, tasks: Sequence[Planned]) -> dict[str, Party]:
    sides = [
        side.get(actor.value)
        for each in tasks
        for side in (each.resource or {}, reading.previous(each) or {})
        for actor in Actor
    ]
    return await parties_.find(moment, sides)


def _faults(moment: Moment, planned: Planned, found: Mapping[str, Party]) -> Sequence[Issue | None]:
    before, task = _before(planned), planned.resource
    custodian = planned.current.custodian if planned.current else moment.caller.organization
    # The capacity is that of the Task as it stood: nobody makes himself requester or owner by the same write.
    actors = parties_.actors(moment, found, before or task or {}, custodian)
    where = planned.where or "Task"
    if task is None:
        return [_deletion(before or {}, actors, where)]
    if before is None:
        return [_move(NEW, task, actors, where)]
    if not actors and before["status"] == task.get("status"):
        return [_not_a_party(where)]
    return [_move(str(before["status"]), task, actors, where), *_kept(before, task, actors, where)]


def _before(planned: Planned) -> Mapping[str, Any] | None:
    """The referral as it stood; None where there was none, also where a Task only now becomes one."""
    before = reading.previous(planned)
    return before if before is not None and is_referral(before) else None


def _not_a_party(where: str) -> Issue:
    return Issue(
        IssueCode.FORBIDDEN,
        "Only the requester and the owner of a referral write its Task, whoever else may correct the record.",
        (where,),
    )


def _deletion(before: Mapping[str, Any], actors: frozenset[Actor], where: str) -> Issue | None:
    if before.get("status") in ("draft", "entered-in-error") and Actor.REQUESTER in actors:
        return None
    return Issue(
        IssueCode.BUSINESS_RULE,
        "A referral is part of two records: set its status to cancelled or entered-in-error instead.",
        (where,),
    )


def _move(
    status: str, task: Mapping[str, Any], actors: frozenset[Actor], where: str
) -> Issue | None:
    prefix = where if where == "Task" else f"{where}.Task"
    match judge(status, task, actors):
        case Permitted():
            return None
        case NoSuchTransition(to):
            choice = f"it may become {', '.join(to)}" if to else "it stays as it is"
            return Issue(
                IssueCode.BUSINESS_RULE,
                f"A referral that is {status} cannot become this; {choice}.",
                (f"{prefix}.status",),
            )
        case NotTheirs(who):
            return Issue(
                IssueCode.FORBIDDEN,
                f"Only the {' or the '.join(who)} of this Task may make this move.",
                (f"{prefix}.status",),
            )
        case Lacking(element):
            what = (
                "a statusReason that says why"
                if element == "statusReason"
                else "an output that refers to what was done (a Procedure) or to its documents"
            )
            return Issue(
                IssueCode.BUSINESS_RULE,
                f"This status needs {what}.",
                (f"{prefix}.{element}",),
            )


def _kept(
    before: Mapping[str, Any], task: Mapping[str, Any], actors: frozenset[Actor], where: str
) -> list[Issue]:
    prefix = where if where == "Task" else f"{where}.Task"
    fixed: tuple[str, ...] = _REQUESTERS
    if Actor.REQUESTER in actors:
        # Before anybody has answered, the requester may turn to another owner.
        answered = before["status"] not in ("draft", "requested")
        fixed = (*_AGREED, "owner") if answered else _AGREED
        fixed = () if before["status"] == "draft" else fixed
    return [
        Issue(
            IssueCode.BUSINESS_RULE,
            "What was asked for stays as it was sent: cancel this Task and send another.",
            (f"{prefix}.{name}",),
        )
        for name in fixed
        if before.get(name) != task.get(name)
    ]


def _is_sent(planned: Planned) -> bool:
    task, before = planned.resource, _before(planned)
    if task is None or task.get("status") != "requested":
        return False
    return (
        before is None
        or before.get("status") != "requested"
        or before.get("owner") != task.get("owner")
    )


async def _receivable(moment: Moment, sent: Sequence[Planned]) -> None:
    found = await _parties(moment, sent)
    for each in sent:
        task = each.resource or {}
        key = reading.local(task.get("owner"), moment.base_urls)
        owner = found.get("/".join(key)) if key else None
        if owner is None or {owner.rid, owner.organization} & {moment.caller.organization}:
            continue
        needed = {"Task": each.rid}
        focus = reading.local(task.get("focus"), moment.base_urls)
        for (name, _), target in (
            await parties_.read_keys(moment, [focus] if focus else [])
        ).items():
            needed[name] = target.rid
        seen = await receivers.seen_by(
            moment.connection, owner.identity(), list(needed.values()), moment.caller
        )
        missing = [name for name, rid in needed.items() if rid not in seen]
        if missing:
            raise await _not_receivable(moment, each, missing)


async def _not_receivable(moment: Moment, planned: Planned, missing: Sequence[str]) -> FhirError:
    where = planned.where or "Task"
    expression = f"{where}.owner" if where == "Task" else f"{where}.Task.owner"
    custodians = await receivers.custodians(moment.connection, planned.subjects)
    # What is missing tells of the survivor's choices: only whoever keeps the record is told.
    if planned.subjects and set(custodians.values()) == {moment.caller.organization}:
        return fhir_error(
            IssueCode.BUSINESS_RULE,
            f"No Consent in force lets the owner read the {' and the '.join(missing)}: record the survivor's "
            "Consent first, with a permit that names this owner, the purpose and these types.",
            expression,
        )
    return fhir_error(
        IssueCode.BUSINESS_RULE,
        "This Task cannot be sent to this owner; speak with the survivor or with who keeps their record.",
        expression,
    )
