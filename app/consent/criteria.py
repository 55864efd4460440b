"""The criteria of one provision as clauses, each by its permit or its deny reading.

One function a criterion; the table is in docs/decisions/0001-the-spine.md. A criterion that is
absent gives no clause and so matches all. What an item names but nothing here can be (a missing
actor, a missing resource, an unknown purpose) matches nothing. What we merely cannot recognise (a
class, a code in words, a label) matches nothing in a permit and everything in a deny.
Neighbours: `app.consent.provision` (the tree), `app.consent.residual` (the operators).
Pinned: hl7.org/fhir/R4/consent.html.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from app.consent import labels, purposes
from app.consent import residual as op
from app.consent.model import Action, Clause, Literal, Terms
from app.consent.periods import Span, period
from app.consent.reading import Json, coded, many, one, text
from app.consent.reasons import Reason, ReasonCode, reason
from app.consent.redaction import veiled_code
from app.ids import Rid

ACTION_SYSTEM: Final = "http://terminology.hl7.org/CodeSystem/consentaction"
RESOURCE_TYPES: Final = "http://hl7.org/fhir/resource-types"
URI_SYSTEM: Final = "urn:ietf:rfc:3986"
_ACTIONS: Final = frozenset({"collect", "access", "use", "disclose", "correct"})
_NAMED: Final = frozenset(
    {"Practitioner", "PractitionerRole", "Organization", "Device", "Patient", "RelatedPerson"}
)
_PERSONS: Final = frozenset({"Patient", "RelatedPerson"})
_TARGET: Final = re.compile(r"(?:^|/)([A-Z][A-Za-z]+)/[A-Za-z0-9\-.]{1,64}$")
_MEANINGS: Final = {
    "instance": op.INSTANCE,
    "related": op.RELATED,
    "dependents": op.DEPENDENTS,
    "authoredby": op.AUTHOR,
}

Resolve = Mapping[str, Rid]
"""Rids by literal reference (`Organization/river`); what is missing is not known here."""


class Scope(NamedTuple):
    """What every criterion reads with: the reading, the FHIRPath, and the outside mappings."""

    permits: bool
    path: str
    resolve: Resolve
    terms: Terms


class Criterion(NamedTuple):
    """One criterion as clauses, and what was wrong with it."""

    clauses: tuple[Clause, ...] = ()
    faults: tuple[Reason, ...] = ()
    unrecognised: bool = False


ABSENT: Final = Criterion()


def unit(literal: Literal) -> Clause:
    """A clause of one literal."""
    return (literal,)


def reference_of(element: Json) -> str | None:
    """The literal reference of a Reference, without a version."""
    reference = text(element, "reference")
    return reference.split("/_history/")[0] if reference else None


class Actors(NamedTuple):
    """The actors of a provision: known Rids, None where none is given; and whether any is named.

    relatives: those that are a Patient or a RelatedPerson. groups: those that stand for several.
    """

    rids: tuple[Rid, ...] | None
    named: bool
    relatives: frozenset[Rid]
    groups: frozenset[Rid]
    faults: tuple[Reason, ...]


def actors(provision: Json, scope: Scope) -> Actors:
    """The actors that are known here; displays and identifiers never match."""
    found: list[Rid] = []
    relatives: set[Rid] = set()
    groups: set[Rid] = set()
    named = False
    faults: list[Reason] = []
    given = many(provision, "actor")
    for position, actor in enumerate(given):
        path = f"{scope.path}.actor[{position}]"
        reference = reference_of(one(actor, "reference") or {})
        if reference is None:
            faults.append(reason(ReasonCode.ACTOR_WITHOUT_REFERENCE, path))
            continue
        target = _TARGET.search(reference)
        named |= target is not None and target[1] in _NAMED
        rid = scope.resolve.get(reference)
        if rid is None:
            faults.append(reason(ReasonCode.ACTOR_NOT_FOUND, path))
        else:
            found.append(rid)
            if target is not None and target[1] in _PERSONS:
                relatives.add(rid)
            elif target is None or target[1] not in _NAMED:
                groups.add(rid)
    rids = tuple(sorted(set(found))) if given else None
    return Actors(rids, named, frozenset(relatives), frozenset(groups), tuple(faults))


def actor_clause(rids: tuple[Rid, ...], *, permits: bool) -> Clause:
    """A permit asks the caller's closure, a deny the wider deny closure."""
    return unit(op.any_of(op.ACTOR if permits else op.DENY_ACTOR, rids))


def action(provision: Json, scope: Scope) -> Criterion:
    """`access` and `correct`; for a deny every other action stands for all of them."""
    given = many(provision, "action")
    if not given:
        return (
            Criterion((unit((False, op.ACTION, (int(Action.READ),))),)) if scope.permits else ABSENT
        )
    mask = 0
    faults: list[Reason] = []
    for position, concept in enumerate(given):
        codes = {
            code for system, code in map(coded, many(concept, "coding")) if system == ACTION_SYSTEM
        }
        if not codes & _ACTIONS:
            faults.append(reason(ReasonCode.UNKNOWN_ACTION, f"{scope.path}.action[{position}]"))
        if scope.permits:
            mask |= Action.READ if "access" in codes else 0
            mask |= Action.UPDATE if "correct" in codes else 0
        elif codes == {"correct"}:
            mask |= Action.UPDATE
        else:
            mask |= op.ALL_ACTIONS
    return Criterion((unit((False, op.ACTION, (int(mask),))),), tuple(faults))


def purpose(provision: Json, scope: Scope) -> Criterion:
    """A permit needs the exact code; a deny reaches the codes beneath it too."""
    given = many(provision, "purpose")
    if not given:
        return ABSENT
    mask = 0
    faults: list[Reason] = []
    for position, coding in enumerate(given):
        code = purpose_code(coding)
        if code is None:
            faults.append(reason(ReasonCode.UNKNOWN_PURPOSE, f"{scope.path}.purpose[{position}]"))
        else:
            mask |= purposes.purpose_bit(code) if scope.permits else purposes.closure(code)
    return Criterion((unit((False, op.PURPOSE, (mask,))),), tuple(faults))


def purpose_code(coding: Json) -> str | None:
    """The ActReason purpose of a Coding, or None where it is not one."""
    system, code = coded(coding)
    return code if labels.canonical(system) == purposes.SYSTEM and purposes.known(code) else None


def label_codes(provision: Json) -> frozenset[str]:
    """The sensitivity codes that `securityLabel` names themselves, nothing subsumed."""
    bits = {labels.label_bit(coding) for coding in many(provision, "securityLabel")}
    return frozenset(code for code, bit in labels.SENSITIVITY.items() if bit in bits)


def security_label(provision: Json, scope: Scope) -> Criterion:
    """A permit must cover every sensitivity label; a deny reaches any label it names."""
    given = many(provision, "securityLabel")
    if not given:
        return ABSENT
    if not scope.permits:
        return Criterion((unit((False, op.LABELS, (labels.deny_labels(given),))),))
    read = labels.permit_labels(given)
    faults = tuple(
        reason(ReasonCode.UNKNOWN_LABEL, f"{scope.path}.securityLabel[{position}]")
        for position in read.unreadable
    )
    clauses = (
        unit((True, op.LABELS, (read.refused,))),
        unit((False, op.LABELS, (read.required,))),
    )
    return Criterion(clauses, faults, unrecognised=bool(faults))


def resource_class(provision: Json, scope: Scope) -> Criterion:
    """Resource types and profile URLs, any of which will do."""
    given = many(provision, "class")
    if not given:
        return ABSENT
    types: set[int] = set()
    profiles: set[int] = set()
    faults: list[Reason] = []
    for position, coding in enumerate(given):
        system, code = coded(coding)
        type_code = scope.terms.type_code(code) if system == RESOURCE_TYPES else None
        if type_code is not None:
            types.add(type_code)
        elif code.startswith(("http://", "https://", "urn:")) and system in {URI_SYSTEM, ""}:
            profiles.add(scope.terms.hash64("profile", code))
        else:
            faults.append(reason(ReasonCode.UNKNOWN_CLASS, f"{scope.path}.class[{position}]"))
    clause = tuple(
        op.any_of(operator, members)
        for operator, members in ((op.TYPES, types), (op.CODES, profiles))
        if members
    )
    return _recognised(clause, tuple(faults), scope)


def code(provision: Json, scope: Scope) -> Criterion:
    """Any coding of any of the concepts, found at any depth of the resource.

    A permit looks at no element that carries labels of its own, a deny at every one.
    """
    given = many(provision, "code")
    if not given:
        return ABSENT
    hashes: set[int] = set()
    faults: list[Reason] = []
    for position, concept in enumerate(given):
        codings = [pair for pair in map(coded, many(concept, "coding")) if pair[1]]
        if not codings:
            faults.append(reason(ReasonCode.CODE_WITHOUT_CODING, f"{scope.path}.code[{position}]"))
        hashes.update(scope.terms.hash64("code", system, value) for system, value in codings)
    if not scope.permits:
        hashes |= set(map(veiled_code, hashes))
    clause = unit(op.any_of(op.CODES, hashes)) if hashes else ()
    return _recognised(clause, tuple(faults), scope)


def _recognised(clause: Clause, faults: tuple[Reason, ...], scope: Scope) -> Criterion:
    if faults and not scope.permits:
        return Criterion((), faults)
    return Criterion((clause or unit(op.any_of(op.CODES, ())),), faults, unrecognised=bool(faults))


def data_period(provision: Json, scope: Scope) -> Criterion:
    """The clinical time: wholly inside for a permit, any overlap or none known for a deny."""
    given = one(provision, "dataPeriod")
    if given is None:
        return ABSENT
    span, unreadable = period(given)
    path = f"{scope.path}.dataPeriod"
    faults = (reason(ReasonCode.UNREADABLE_PERIOD, path),) if unreadable else ()
    last = None if span.end is None else span.end - 1
    before = None if span.start is None else span.start - 1
    if scope.permits:
        bounds: tuple[Literal, ...] = (
            (False, op.INSIDE, (span.start, None)),
            (False, op.INSIDE, (None, last)),
        )
        given_bounds = [b for b in bounds if b[2] != (None, None)] or [bounds[0]]
        return Criterion(tuple(map(unit, given_bounds)), faults)
    outside: list[Literal] = []
    if before is not None:
        outside.append((True, op.INSIDE, (None, before)))
    if span.end is not None:
        outside.append((True, op.INSIDE, (span.end, None)))
    return Criterion(tuple(map(unit, outside)), faults)


def data(provision: Json, scope: Scope) -> Criterion:
    """The resources named, by their meaning; any of them will do."""
    given = many(provision, "data")
    if not given:
        return ABSENT
    found: dict[str, set[int]] = {}
    faults: list[Reason] = []
    for position, item in enumerate(given):
        rid = scope.resolve.get(reference_of(one(item, "reference") or {}) or "")
        operator = _MEANINGS.get(text(item, "meaning") or "")
        if rid is None or operator is None:
            faults.append(reason(ReasonCode.DATA_NOT_FOUND, f"{scope.path}.data[{position}]"))
        else:
            found.setdefault(operator, set()).add(rid)
    clause = tuple(op.any_of(operator, found[operator]) for operator in sorted(found))
    return Criterion((clause or unit(op.any_of(op.INSTANCE, ())),), tuple(faults))


def valid(span: Span) -> tuple[Clause, ...]:
    """A Period of the provision as clauses on the statement's time."""
    clauses: list[Clause] = []
    if span.start is not None:
        clauses.append(unit((False, op.VALID, (span.start, None))))
    if span.end is not None:
        clauses.append(unit((False, op.VALID, (None, span.end))))
    return tuple(clauses)


CRITERIA: Final[tuple[Callable[[Json, Scope], Criterion], ...]] = (
    action,
    purpose,
    security_label,
    resource_class,
    code,
    data_period,
    data,
)
"""Every criterion but actor and period, which the tree treats on its own."""
