"""Each provision that a decision looks at: whether it matches, and which of its criteria do not.

For `$explain-access` and for tests; shares the clauses of the compiler, and so never says more than it does.
Neighbours: `app.consent.explain` (which provision decided), `app.consent.statutes` (limits of the law).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final

from app.consent import residual as op
from app.consent.compile import Judged
from app.consent.model import ANYONE, Action, CallerFacts, ResourceFacts, Terms
from app.consent.periods import micros
from app.consent.provision import Provision
from app.consent.residual import clause_holds
from app.consent.statutes import limits
from app.ids import Rid

CRITERION: Final = MappingProxyType(
    {
        op.ACTOR: "actor",
        op.DENY_ACTOR: "actor",
        op.ACTION: "action",
        op.PURPOSE: "purpose",
        op.VALID: "period",
        op.TYPES: "class",
        op.LABELS: "securityLabel",
        op.INSIDE: "dataPeriod",
        op.CODES: "code or class",
        op.INSTANCE: "data",
        op.RELATED: "data",
        op.DEPENDENTS: "data",
        op.AUTHOR: "data",
    }
)
"""The element of a provision that an operator stands for."""


@dataclass(frozen=True, slots=True)
class Considered:
    """One provision of one Consent.

    path: below Consent.provision, "root" for itself. missing: what keeps it from mattering: criteria of it or
    of a provision around it, limits of the law, or the Consent not being enforced.
    """

    consent: Rid
    path: str
    permits: bool
    matches: bool
    missing: tuple[str, ...]


def consider(
    patient: Rid,
    consents: Sequence[Judged],
    caller: CallerFacts,
    resource: ResourceFacts,
    action: Action,
    *,
    now: datetime,
    terms: Terms,
) -> list[Considered]:
    """Every provision of every Consent, in the order of the Consents; arguments as of `explain`."""
    at = micros(now)
    found: list[Considered] = []
    for stored, provisions, status, whole in consents:
        for path in provisions.paths:
            last = path[-1]
            missing = [
                name
                for provision in path
                for name in _failing(provision, caller, resource, action, at)
            ]
            if last.permits:
                if not status.enforceable:
                    missing.append("the Consent is not enforceable")
                if stored.recorder != patient and stored.recorder in caller.deny_closure:
                    missing.append("an organization permits itself nothing")
                if stored.releases not in {None, resource.custodian}:
                    missing.append("the recorder may not release this custodian's records")
                grantees = [g for p in path if p.permits for g in p.actors or ()] or [ANYONE]
                missing += [
                    limit.because
                    for limit in limits(path, whole, patient, grantees[-1], terms)
                    if not any(
                        all(clause_holds(c, caller, resource, action, at) for c in part)
                        for part in limit.denial.parts
                    )
                ]
            elif not status.denies_count:
                missing.append("the Consent is not an active privacy consent")
            below = last.path.removeprefix("Consent.provision").removeprefix(".") or "root"
            found.append(
                Considered(
                    stored.rid, below, last.permits, not missing, tuple(dict.fromkeys(missing))
                )
            )
    return found


def _failing(
    provision: Provision, caller: CallerFacts, resource: ResourceFacts, action: Action, at: int
) -> list[str]:
    return [
        CRITERION[clause[0][1]]
        for clause in provision.clauses
        if not clause_holds(clause, caller, resource, action, at)
    ]
