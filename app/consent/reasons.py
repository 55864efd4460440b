"""Why a Consent is not enforced, in plain words, and where in it.

The reasons stand in a Consent's enforcement status (`app.consent.enforceable`), for whoever wrote
it. They never repeat a value of the resource.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class ReasonCode(StrEnum):
    """The faults that keep a Consent's permits from counting, and the two that only time mends."""

    NOT_ACTIVE = "not-active"
    NOT_PRIVACY = "not-privacy"
    NO_PATIENT = "no-patient"
    NO_PROVISION = "no-provision"
    UNTYPED_PROVISION = "untyped-provision"
    UNKNOWN_ACTION = "unknown-action"
    ACTOR_NOT_FOUND = "actor-not-found"
    ACTOR_WITHOUT_REFERENCE = "actor-without-reference"
    DATA_NOT_FOUND = "data-not-found"
    UNKNOWN_PURPOSE = "unknown-purpose"
    UNKNOWN_LABEL = "unknown-label"
    UNKNOWN_CLASS = "unknown-class"
    CODE_WITHOUT_CODING = "code-without-coding"
    UNREADABLE_PERIOD = "unreadable-period"
    POLICY_CONTRADICTS = "policy-contradicts"
    NOT_VERIFIED = "not-verified"
    UNKNOWN_MODIFIER = "unknown-modifier"
    PERFORMER_EXCLUDED = "performer-excluded"
    NOT_YET = "not-yet"
    ENDED = "ended"


SENTENCES: Final = MappingProxyType(
    {
        ReasonCode.NOT_ACTIVE: "The consent is not active, so it neither permits nor denies.",
        ReasonCode.NOT_PRIVACY: (
            "The scope is not patient-privacy, so it says nothing about who may see the record."
        ),
        ReasonCode.NO_PATIENT: "The consent does not say whose record it is about.",
        ReasonCode.NO_PROVISION: "There is no provision, so nothing is permitted or denied.",
        ReasonCode.UNTYPED_PROVISION: "This provision does not say whether it permits or denies.",
        ReasonCode.UNKNOWN_ACTION: "This action is not one of the consent actions of FHIR R4.",
        ReasonCode.ACTOR_NOT_FOUND: "This actor is not known here.",
        ReasonCode.ACTOR_WITHOUT_REFERENCE: (
            "This actor has no reference; names and identifiers never match a caller."
        ),
        ReasonCode.DATA_NOT_FOUND: "The resource named here as data is not known here.",
        ReasonCode.UNKNOWN_PURPOSE: "This purpose is not a purpose of use of ActReason.",
        ReasonCode.UNKNOWN_LABEL: "A permit cannot be read with this security label.",
        ReasonCode.UNKNOWN_CLASS: "This class is neither a resource type nor a profile URL.",
        ReasonCode.CODE_WITHOUT_CODING: "This code has no coding; text alone never matches.",
        ReasonCode.UNREADABLE_PERIOD: (
            "This period has a bound without a value, or ends before it starts."
        ),
        ReasonCode.POLICY_CONTRADICTS: (
            "The policy rule opts in while the root provision denies, or the other way round."
        ),
        ReasonCode.NOT_VERIFIED: "A verification says that the consent is not verified.",
        ReasonCode.UNKNOWN_MODIFIER: (
            "There is an extension that changes the meaning and that is not understood here."
        ),
        ReasonCode.PERFORMER_EXCLUDED: (
            "The person who gave this consent is shut out by another one and cannot consent."
        ),
        ReasonCode.NOT_YET: "The period of the consent has not begun.",
        ReasonCode.ENDED: "The period of the consent has ended.",
    }
)
"""The sentence of each reason."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason: its code, its sentence, and the FHIRPath of the element at fault."""

    code: ReasonCode
    diagnostics: str
    expression: str


def reason(code: ReasonCode, expression: str) -> Reason:
    """The reason with its sentence."""
    return Reason(code, SENTENCES[code], expression)
