"""The compiled form of consent: flat grants, and the masks that labels and purposes become.

A survivor's Consents (hl7.org/fhir/R4/consent.html) are compiled, in the transaction that writes
one of them, to a set of `Grant` rows with every deny already subtracted. A caller may see a
resource when for each of its data subjects at least one grant of that subject holds. Every field of
a grant is a condition; all must hold. What the columns cannot express exactly stays in
`residual` and is evaluated exactly, never approximated (docs/decisions/0001-the-spine.md).

The order of conditions, and their meaning, is the same here, in `app.consent.evaluate` (Python, for
explanations and tests) and in `app.storage.predicate` (SQL, for answers).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import IntFlag
from typing import Final

from app.ids import Rid

ANYONE: Final = Rid(0)
"""Grantee of a permit that names no actor: in every authenticated caller's closure."""

EMERGENCY: Final = Rid(-1)
"""Grantee of the emergency grant: in the closure of a caller whose token is an emergency token."""

CUSTODIAN: Final = Rid(-2)
"""Grantee and custodian of the grant that lets every organization read what it wrote itself.

It is in the closure of a caller with an organization, and as `Grant.custodian` it means that the
resource's custodian is the caller's organization. One row instead of one for each custodian.
"""


class Action(IntFlag):
    """What a permit lets its grantee do (Consent.provision.action, consentaction codes)."""

    READ = 1
    """`access`, or no action given."""
    UPDATE = 2
    """`correct`."""


Literal = tuple[bool, str, tuple[int | None, ...]]
"""One residual test: (negated, operator, arguments). Operators: see `app.consent.residual`."""

Clause = tuple[Literal, ...]
"""A disjunction of literals; a grant's residual is a conjunction of clauses."""


@dataclass(frozen=True, slots=True)
class Grant:
    """One flat permission of one data subject; all conditions must hold.

    grantee: Rid in the caller's closure (or ANYONE, EMERGENCY).
    actions: bit mask of `Action`.
    purposes: bit mask of `app.consent.purposes`; the caller's one purpose bit must be in it.
    valid_from, valid_to: half-open instants, None is unbounded; the statement's time lies inside.
    excluded: no Rid of these may be in the caller's *deny* closure (partOf widens it).
    custodian: the resource's custodian must be this one (None: any; CUSTODIAN: the caller's own).
    types: resource type codes allowed (None: all); not_types: codes refused.
    forbidden: label bits none of which the resource may carry.
    any_of: label bits of which the resource must carry at least one (0: no such condition).
    data_from, data_to: the resource's clinical time must be known and lie wholly inside (both
        inclusive, None is unbounded); both None: no such condition.
    residual: clauses that the columns above cannot carry; all must hold.
    consent: Rid of the Consent that permits (None: own record, custodian or emergency).
    provision: FHIRPath of the permitting provision, or "custodian", "own-record", "emergency".
    """

    grantee: Rid
    actions: int
    purposes: int
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    excluded: frozenset[Rid] = frozenset()
    custodian: Rid | None = None
    types: frozenset[int] | None = None
    not_types: frozenset[int] = frozenset()
    forbidden: int = 0
    any_of: int = 0
    data_from: datetime | None = None
    data_to: datetime | None = None
    residual: tuple[Clause, ...] = ()
    consent: Rid | None = None
    provision: str = ""


@dataclass(frozen=True, slots=True)
class CallerFacts:
    """What a decision knows of the caller (all from verified claims and the directory as of now).

    closure: identities for permits (Practitioner, its active PractitionerRoles, Organization,
        Groups, CareTeams, Device, Patient, always ANYONE; EMERGENCY for an emergency token).
    deny_closure: closure widened by `Organization.partOf` upwards (denies only).
    purpose: one bit of `app.consent.purposes`.
    """

    closure: frozenset[Rid]
    deny_closure: frozenset[Rid]
    purpose: int
    organization: Rid | None = None


@dataclass(frozen=True, slots=True)
class ResourceFacts:
    """What a decision knows of a resource, as stored beside it.

    type_code: `app.fhir_mappings.registry.type_code`. labels: bit mask of `app.consent.labels`,
    with exactly one confidentiality bit. clinical_from, clinical_to: inclusive instants, both None
    where the resource has no clinical time. codes: `hash64("code", system, code)` of every Coding
    at any depth (an absent system is the empty string), and
    `hash64("profile", url)` of every meta.profile. references: Rids it references. referenced_by:
    Rids that reference it. authors: Rids in author-like elements.
    """

    rid: Rid
    type_code: int
    labels: int
    custodian: Rid
    clinical_from: datetime | None = None
    clinical_to: datetime | None = None
    codes: frozenset[int] = frozenset()
    references: frozenset[Rid] = frozenset()
    referenced_by: frozenset[Rid] = frozenset()
    authors: frozenset[Rid] = frozenset()


@dataclass(frozen=True, slots=True)
class StoredConsent:
    """A Consent as the compiler needs it.

    recorder: who recorded it: the patient's own Rid, or the recording organization's, to which it
        can permit nothing more (self-grant).
    releases: only this custodian's records are permitted by it (None: the whole record, because
        the survivor, the custodian of the Patient resource or a privacy officer recorded it).
    resource: the Consent as plain JSON, already structurally valid R4.
    """

    rid: Rid
    recorder: Rid
    releases: Rid | None
    resource: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Terms:
    """The two mappings shared with `app.fhir_mappings`, handed in: neither floor imports the other.

    type_code: a resource type's code by name, None where R4 has no such type
        (`app.fhir_mappings.registry.type_code`). hash64: `app.fhir_mappings.hashing.hash64`, under
        which `ResourceFacts.codes` files codes and profiles.
    """

    type_code: Callable[[str], int | None]
    hash64: Callable[..., int]
