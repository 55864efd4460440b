"""Why a decision came out as it did: the provision that decided, in the order of the decision.

Walks the provisions, not the grants, so that a deny can be named; for audit, for the survivor's view of
who may see what, and for tests. It must always agree with `app.consent.evaluate.decide`. An explanation is
never shown to a caller who was denied: a refusal must not say that there is something to refuse.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from app.consent import labels, purposes
from app.consent.compile import CUSTODIAN_RECORD, EMERGENCY_ACCESS, OWN_RECORD, Judged
from app.consent.model import (
    ANYONE,
    CUSTODIAN,
    EMERGENCY,
    Action,
    CallerFacts,
    Clause,
    ResourceFacts,
    StoredConsent,
    Terms,
)
from app.consent.periods import micros
from app.consent.provision import ROOT, Provision, Provisions
from app.consent.residual import clause_holds
from app.consent.statutes import Release, limits
from app.ids import Rid

NO_CONSENT = "no consent"
CEILING = "ceiling"


class Verdict(StrEnum):
    """What an explanation explains."""

    PERMIT = "permit"
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class Explanation:
    """One data subject's side of a decision.

    because: "root" or "provision[0].provision[1]" (the deciding provision, as it stands in the
    Consent), "custodian", "own-record", "emergency", "ceiling" or "no consent". consent: the Consent
    the provision stands in, None where none decided.
    """

    verdict: Verdict
    because: str
    consent: Rid | None = None


@dataclass(frozen=True, slots=True)
class _Question:
    caller: CallerFacts
    resource: ResourceFacts
    action: Action
    now: int

    def all(self, clauses: tuple[Clause, ...]) -> bool:
        return all(
            clause_holds(clause, self.caller, self.resource, self.action, self.now)
            for clause in clauses
        )

    def denying(self, provisions: Provisions, *, trusted: bool) -> Iterator[Provision]:
        """The denies that decide: all on the way match, and no exception does."""
        for path in provisions.paths:
            deny = path[-1]
            if deny.permits or not all(self.all(p.clauses if trusted else p.wide) for p in path):
                continue
            if not (trusted and any(self.all(inner.clauses) for inner in deny.exceptions)):
                yield deny

    def permitting(self, provisions: Provisions) -> Iterator[tuple[Provision, ...]]:
        """The paths to permits with all on the way matching, the innermost first."""
        matching = [
            path
            for path in provisions.paths
            if path[-1].permits and all(self.all(p.clauses) for p in path)
        ]
        yield from sorted(matching, key=len, reverse=True)

    def lawful(
        self, path: tuple[Provision, ...], whole: Release, patient: Rid, terms: Terms
    ) -> bool:
        """Whether no limit of the law takes this caller and this resource off the permit."""
        chooser = next((p for p in reversed(path) if p.permits and p.actors is not None), None)
        grantees = (ANYONE,) if chooser is None else chooser.actors or ()
        return any(
            grantee in self.caller.closure
            and all(
                any(self.all(part) for part in limit.denial.parts)
                for limit in limits(path, whole, patient, grantee, terms)
            )
            for grantee in grantees
        )


def explain(
    patient: Rid,
    consents: Sequence[Judged],
    custodians: Collection[Rid],
    caller: CallerFacts,
    resource: ResourceFacts,
    action: Action,
    *,
    now: datetime,
    terms: Terms,
    ceilings: Sequence[Provisions] = (),
) -> Explanation:
    """Explain the decision of one data subject; arguments as of `compile_grants` and `decide`.

    consents: as `judge` gives them, at whatever instant: what lasts for a time only is judged here, at `now`.
    ceilings: as `active_policies` gives them.
    """
    question = _Question(caller, resource, action, micros(now))
    if any(any(question.denying(policy, trusted=True)) for policy in ceilings):
        return Explanation(Verdict.DENY, CEILING)
    denies: list[tuple[StoredConsent, Provision]] = []
    permits: list[tuple[StoredConsent, Provision]] = []
    for stored, provisions, status, whole in consents:
        if status.denies_count:
            found = question.denying(provisions, trusted=status.enforceable)
            denies += ((stored, provision) for provision in found)
        if status.enforceable and _releases(stored, patient, question):
            permits += (
                (stored, path[-1])
                for path in question.permitting(provisions)
                if question.lawful(path, whole, patient, terms)
            )
    named = [pair for pair in denies if pair[1].named]
    if named:
        return _because(Verdict.DENY, named[0])
    if _wrote(custodians, caller, resource):
        return Explanation(Verdict.PERMIT, CUSTODIAN_RECORD)
    if _own(patient, question):
        return Explanation(Verdict.PERMIT, OWN_RECORD)
    if _urgent(question) and not any(p.actors is not None or p.emergency for _, p in denies):
        return Explanation(Verdict.PERMIT, EMERGENCY_ACCESS)
    if denies:
        return _because(Verdict.DENY, denies[0])
    if permits:
        return _because(Verdict.PERMIT, permits[0])
    return Explanation(Verdict.DENY, NO_CONSENT)


def _because(verdict: Verdict, found: tuple[StoredConsent, Provision]) -> Explanation:
    stored, provision = found
    below = provision.path.removeprefix(ROOT).removeprefix(".")
    return Explanation(verdict, below or "root", stored.rid)


def _releases(stored: StoredConsent, patient: Rid, question: _Question) -> bool:
    """Whether this Consent can permit this caller this custodian's records at all."""
    to_itself = stored.recorder != patient and stored.recorder in question.caller.deny_closure
    return not to_itself and stored.releases in {None, question.resource.custodian}


def _wrote(custodians: Collection[Rid], caller: CallerFacts, resource: ResourceFacts) -> bool:
    if CUSTODIAN in custodians and CUSTODIAN in caller.closure:
        return resource.custodian == caller.organization
    return resource.custodian in custodians and resource.custodian in caller.closure


def _own(patient: Rid, question: _Question) -> bool:
    kept_back = labels.sensitivity_closure("PSYTHPN") | labels.NOPAT
    return (
        patient in question.caller.closure
        and question.action == Action.READ
        and not question.resource.labels & kept_back
    )


def _urgent(question: _Question) -> bool:
    return (
        EMERGENCY in question.caller.closure
        and question.action == Action.READ
        and bool(question.caller.purpose & purposes.EMERGENCY)
    )
