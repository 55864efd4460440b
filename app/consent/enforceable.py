"""May a Consent be enforced, and is it in force now? Typed, with reasons in plain words.

What is not enforceable contributes no permit, not even an exception inside one of its denies. Its
denies count all the same where the Consent is an active privacy consent: a survivor's refusal is
not undone by a fault elsewhere in the document. Such denies are read at their widest
(`Provision.wide`).

policyRule: OPTIN and OPTINR say that the base is a permit, OPTOUT and OPTOUTE that it is a deny,
NOCONSENT that nothing is consented to: a root provision of the other type contradicts. Other rules
(laws, forms) say nothing about the base. Pinned: hl7.org/fhir/R4/consent.html.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from app.consent import labels
from app.consent.criteria import Resolve, reference_of
from app.consent.model import Terms
from app.consent.periods import Span, micros
from app.consent.provision import ROOT, Provisions, parse
from app.consent.reading import Json, coded, many, one, text
from app.consent.reasons import Reason, ReasonCode, reason

SCOPE_SYSTEM: Final = "http://terminology.hl7.org/CodeSystem/consentscope"
_BASE_PERMITS: Final = {
    "OPTIN": True,
    "OPTINR": True,
    "OPTOUT": False,
    "OPTOUTE": False,
    "NOCONSENT": False,
}


@dataclass(frozen=True, slots=True)
class Enforcement:
    """The enforcement status of a Consent at an instant.

    enforceable: its permits count (while its periods last). in_force: and the root's period holds
    now. denies_count: its denies count though its permits may not. reasons: why not, in words.
    """

    enforceable: bool
    in_force: bool
    denies_count: bool
    reasons: tuple[Reason, ...]

    def with_faults(self, faults: tuple[Reason, ...]) -> Enforcement:
        """The same with further faults: its permits no longer count, its denies as before."""
        return Enforcement(False, False, self.denies_count, (*faults, *self.reasons))


def enforcement(consent: Json, resolve: Resolve, now: datetime, terms: Terms) -> Enforcement:
    """The enforcement status of a structurally valid R4 Consent at `now` (aware)."""
    return assess(consent, parse(consent, resolve, terms), now)


def assess(consent: Json, provisions: Provisions, now: datetime) -> Enforcement:
    """The same, of a Consent whose provisions are parsed already."""
    header = _header(consent, provisions)
    reasons = (*header, *provisions.faults)
    temporary = _out_of_time(provisions.root_span, micros(now))
    enforceable = not reasons
    return Enforcement(
        enforceable=enforceable,
        in_force=enforceable and not temporary,
        denies_count=not {ReasonCode.NOT_ACTIVE, ReasonCode.NOT_PRIVACY} & {r.code for r in header},
        reasons=(*reasons, *temporary),
    )


def _header(consent: Json, provisions: Provisions) -> tuple[Reason, ...]:
    """What is wrong outside the provisions."""
    found: list[Reason] = []
    if text(consent, "status") != "active":
        found.append(reason(ReasonCode.NOT_ACTIVE, "Consent.status"))
    scope = many(one(consent, "scope") or {}, "coding")
    if (SCOPE_SYSTEM, "patient-privacy") not in map(coded, scope):
        found.append(reason(ReasonCode.NOT_PRIVACY, "Consent.scope"))
    if reference_of(one(consent, "patient") or {}) is None:
        found.append(reason(ReasonCode.NO_PATIENT, "Consent.patient"))
    if one(consent, "provision") is None:
        found.append(reason(ReasonCode.NO_PROVISION, ROOT))
    for position, verification in enumerate(many(consent, "verification")):
        if verification.get("verified") is not True:
            where = f"Consent.verification[{position}].verified"
            found.append(reason(ReasonCode.NOT_VERIFIED, where))
    if provisions.root_permits is not None and _contradicts(
        consent, permits=provisions.root_permits
    ):
        found.append(reason(ReasonCode.POLICY_CONTRADICTS, "Consent.policyRule"))
    found += (
        reason(ReasonCode.UNKNOWN_MODIFIER, path)
        for path, element in _modifiable(consent)
        if "modifierExtension" in element
    )
    if "implicitRules" in consent:
        found.append(reason(ReasonCode.UNKNOWN_MODIFIER, "Consent.implicitRules"))
    return tuple(found)


def _modifiable(consent: Json) -> list[tuple[str, Json]]:
    places: list[tuple[str, Json]] = [("Consent", consent)]
    for name in ("policy", "verification"):
        places += (
            (f"Consent.{name}[{position}]", element)
            for position, element in enumerate(many(consent, name))
        )
    return places


def _contradicts(consent: Json, *, permits: bool) -> bool:
    codings = map(coded, many(one(consent, "policyRule") or {}, "coding"))
    return any(
        labels.canonical(system) == labels.ACT_CODE and _BASE_PERMITS.get(code, permits) != permits
        for system, code in codings
    )


def _out_of_time(span: Span, now: int) -> tuple[Reason, ...]:
    if span.start is not None and now < span.start:
        return (reason(ReasonCode.NOT_YET, f"{ROOT}.period"),)
    if span.end is not None and now >= span.end:
        return (reason(ReasonCode.ENDED, f"{ROOT}.period"),)
    return ()
