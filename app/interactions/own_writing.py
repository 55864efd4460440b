"""A survivor's own app writes: what it writes is the survivor's, who keeps it and is its custodian.

Nobody else sees it but by a Consent, the agency that keeps the Patient no more than others, and it is about
the survivor alone. Neighbours: `writing` carries it out; `app.care.own_record` says which types, and who
speaks in them. Pinned: docs/decisions/0001-the-spine.md, "Who may release"; docs/care/own-app.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from app.consent.model import CUSTODIAN
from app.errors import FhirError, Issue, IssueCode
from app.interactions.write_plan import Plan
from app.interactions.write_references import placed
from app.storage import person
from app.storage.database import Caller, WriteConnection


def writer_of(caller: Caller) -> Caller:
    """The caller as it writes: a survivor's own app in its own name, everybody else as they are."""
    if caller.organization is not None or caller.person is None:
        return caller
    closure = tuple(sorted({*caller.closure, int(CUSTODIAN)}))
    return replace(caller, organization=caller.person, closure=closure)


async def check_own(connection: WriteConnection, caller: Caller, plans: Sequence[Plan]) -> None:
    """FhirError 403 for whatever a person's own app writes that is not about that person alone.

    The app of a relative writes nothing: it acts for nobody's record but reads one.
    """
    if caller.person is None:
        return
    own = set(await person.same(connection, caller.person))
    issues = [
        Issue(
            IssueCode.FORBIDDEN,
            "A person's own app writes about that person alone.",
            (placed(plan.operation.where, plan.operation.type),),
        )
        for plan in plans
        if plan.resource is not None and not (plan.subjects and set(plan.subjects) <= own)
    ]
    if issues:
        raise FhirError(issues)
