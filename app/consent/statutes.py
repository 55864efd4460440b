"""What the law takes off a permit, whatever the permit says: denies that come with every Consent.

Each limit is the complement of a region, as `app.consent.subtraction.Denial` has it, so that the
compiler subtracts it exactly and an explanation can name it:

- psychotherapy notes (45 CFR 164.508(a)(2), (b)(3)(ii)) need an authorization of their own: every
  permit of the Consent names `PSYTHPN` itself; a label above it does not do;
- records of a 42 CFR Part 2 program (2.31) need a named recipient, a purpose, and an end unless
  every purpose is treatment, payment or operations; use in legal proceedings (`HLEGAL`) needs a
  Consent for nothing else (2.31(d));
- a victim-service provider's records (34 USC 12291(b)(2)) need a recipient, a purpose and an end;
- what carries `NOPAT` is not opened to the patient or a relative, named or among everybody;
- no permit lets anybody but its custodian correct a Consent: who may change it could permit itself.

Neighbours: `app.consent.compile` subtracts them, `app.consent.explain` names them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from app.consent import labels, purposes
from app.consent import residual as op
from app.consent.model import ANYONE, Action, Clause, Terms
from app.consent.provision import Provision, Provisions
from app.consent.subtraction import Denial
from app.ids import Rid

PSYCHOTHERAPY: Final = "psychotherapy notes need a consent of their own (45 CFR 164.508(a)(2))"
PART2: Final = "42 CFR 2.31: a recipient, a purpose and an end are needed"
LEGAL: Final = "42 CFR 2.31(d): legal proceedings need a consent of their own"
VICTIM: Final = "34 USC 12291(b)(2): a recipient, a purpose and an end are needed"
NOT_FOR_PATIENT: Final = "the resource is kept from the patient (NOPAT)"
CONSENT_CORRECTED: Final = "a Consent is corrected by its custodian alone"

_NOTES: Final = labels.sensitivity_closure("PSYTHPN")
_ROUTINE: Final = (
    purposes.closure("TREAT") | purposes.closure("HPAYMT") | purposes.closure("HOPERAT")
)
_LEGAL: Final = purposes.closure("HLEGAL")


class Limit(NamedTuple):
    """One limit: in what words, and the denial that it is."""

    because: str
    denial: Denial


class Release(NamedTuple):
    """What a whole Consent permits, as far as the law looks at a Consent and not at a provision."""

    notes_only: bool
    legal_only: bool


def release(provisions: Provisions) -> Release:
    """Whether all permits of the Consent name psychotherapy notes, and nothing but legal use."""
    permits = [path[-1] for path in provisions.paths if path[-1].permits]
    return Release(
        notes_only=all("PSYTHPN" in p.label_codes for p in permits),
        legal_only=all((used := _purposes(p)) is not None and not used & ~_LEGAL for p in permits),
    )


def _purposes(provision: Provision) -> int | None:
    """The purposes that the provision itself lists, None where it lists none."""
    found: int | None = None
    for clause in provision.clauses:
        for negated, operator, args in clause:
            if operator == op.PURPOSE and not negated:
                mask = args[0] or 0
                found = mask if found is None else found & mask
    return found


def _ends(provision: Provision) -> bool:
    return any(
        operator == op.VALID and args[1] is not None
        for clause in provision.clauses
        for _, operator, args in clause
    )


def limits(
    path: Sequence[Provision], whole: Release, patient: Rid, grantee: int, terms: Terms
) -> list[Limit]:
    """The limits on the permit at the end of a path.

    whole: of the Consent that it stands in. grantee: the rid it is compiled for (ANYONE included).
    """
    permits = [provision for provision in path if provision.permits]
    listed = [mask for mask in map(_purposes, permits) if mask is not None]
    shared = purposes.ALL
    for mask in listed:
        shared &= mask
    complete = bool(listed) and any(p.actors is not None for p in permits)
    ends = any(map(_ends, permits))
    found: list[Limit] = []
    if not whole.notes_only:
        found.append(_limit(PSYCHOTHERAPY, _no_label(_NOTES)))
    if not complete or not (ends or not shared & ~_ROUTINE):
        found.append(_limit(PART2, _no_label(labels.PART2)))
    elif not whole.legal_only:
        other = (False, op.PURPOSE, (purposes.ALL & ~_LEGAL,))
        found.append(_limit(LEGAL, _no_label(labels.PART2), other))
    if not (complete and ends):
        found.append(_limit(VICTIM, _no_label(labels.VICTIM)))
    if any(grantee in p.relatives for p in permits):
        found.append(_limit(NOT_FOR_PATIENT, _no_label(labels.NOPAT)))
    elif grantee == ANYONE or any(grantee in p.groups for p in permits):
        # The patient may belong to a group or a care team.
        stranger = (True, op.DENY_ACTOR, (patient,))
        found.append(_limit(NOT_FOR_PATIENT, _no_label(labels.NOPAT), stranger))
    consent_type = terms.type_code("Consent")
    if consent_type is not None:
        other_type = (True, op.TYPES, (consent_type,))
        reading = (False, op.ACTION, (int(Action.READ),))
        found.append(_limit(CONSENT_CORRECTED, other_type, reading))
    return found


def _no_label(mask: int) -> tuple[bool, str, tuple[int | None, ...]]:
    return (True, op.LABELS, (mask,))


def _limit(because: str, *refused: tuple[bool, str, tuple[int | None, ...]]) -> Limit:
    parts: tuple[tuple[Clause, ...], ...] = tuple(((literal,),) for literal in refused)
    return Limit(because, Denial(parts, named=False, with_actor=False, emergency=False))
