"""Rules that a Consent must keep to be written at all, whichever way it is written.

Everything else that may be wrong with a Consent lets it be stored without effect, with its reasons
(`app.consent.enforceable`). Pinned: hl7.org/fhir/R4/consent.html; docs/consent.md, "What the law asks".
"""

from __future__ import annotations

from collections.abc import Sequence

from app.consent import labels, victim_release
from app.errors import FhirError, Issue, IssueCode
from app.interactions.write_plan import Plan
from app.interactions.write_references import placed


def check_consents(plans: Sequence[Plan]) -> None:
    """FhirError 422 naming what a victim-service provider's release lacks."""
    issues = [
        Issue(
            IssueCode.BUSINESS_RULE,
            fault.diagnostics,
            (placed(plan.operation.where, fault.expression),),
        )
        for plan in plans
        if plan.operation.type == "Consent" and plan.resource and plan.program & labels.VICTIM
        for fault in victim_release.faults(plan.resource)
    ]
    if issues:
        raise FhirError(issues)
