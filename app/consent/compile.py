"""Compile a survivor's Consents to grants, every deny already subtracted.

The regions are those of docs/decisions/0001-the-spine.md, "From a Consent to grants": one for every
permit provision (with all provisions on its path) and known actor, one for each custodian's own
records, one for the survivor's own record, one for emergencies. Pure and deterministic:
the same Consents give the same rows in the same order.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final, NamedTuple

from app.consent import labels, purposes
from app.consent.algebra import Disjunction, Region, absorbed, meet_all, tidy, unsaid
from app.consent.criteria import Resolve, reference_of
from app.consent.enforceable import Enforcement, assess
from app.consent.model import ANYONE, EMERGENCY, Action, Clause, Grant, StoredConsent, Terms
from app.consent.periods import instant, micros
from app.consent.provision import Provisions, parse
from app.consent.reading import Json, many, text
from app.consent.reasons import ReasonCode, reason
from app.consent.statutes import Release, limits, release
from app.consent.subtraction import Denial, bearing, denial, subtract, united
from app.ids import Rid

ROWS_PER_GRANTEE: Final = 64
"""Past so many rows of one grantee a deny no longer splits rows but adds to their residual."""

ROWS_WITH_RESIDUAL: Final = 2
"""The same where a split would leave rows with residuals all the same."""

ROWS: Final = 1_000
"""The same for all rows of one survivor."""

CUSTODIAN_RECORD: Final = "custodian"
OWN_RECORD: Final = "own-record"
EMERGENCY_ACCESS: Final = "emergency"


class _Base(NamedTuple):
    """A region before denies, and where it comes from."""

    region: Region
    consent: Rid | None
    provision: str


class _Permit(NamedTuple):
    """A base and what the law takes off it."""

    base: _Base
    lawful: list[Denial]


class Judged(NamedTuple):
    """A stored Consent with its trees, what of it counts, and what the law looks at in the whole."""

    stored: StoredConsent
    provisions: Provisions
    status: Enforcement
    whole: Release

    @property
    def enforceable(self) -> bool:
        """Its permits count."""
        return self.status.enforceable

    @property
    def denies_count(self) -> bool:
        """Its denies count."""
        return self.status.denies_count


def compile_grants(
    patient: Rid,
    consents: Sequence[StoredConsent],
    custodians: Collection[Rid],
    *,
    now: datetime,
    resolve: Resolve,
    terms: Terms,
    ceilings: Sequence[Json] = (),
) -> tuple[Grant, ...]:
    """The grants of one survivor.

    patient: Rid of the Patient. consents: the present versions of all Consents about that patient
    (whether `Consent.patient` is this patient is not checked). custodians: the organizations that
    wrote about the patient, or `CUSTODIAN` alone for all of them. now: aware; what has wholly
    passed by then gives no row, and the grants must not be asked about an earlier time. resolve:
    Rids by literal reference. ceilings: administrative policies, shaped as Consents; their active
    denies come off every grant and their permits count for nothing.
    """
    judged = judge(patient, consents, resolve, terms, now)
    policies = active_policies(ceilings, resolve, terms)
    return compile_judged(patient, judged, custodians, now=now, terms=terms, ceilings=policies)


def compile_judged(
    patient: Rid,
    judged: Sequence[Judged],
    custodians: Collection[Rid],
    *,
    now: datetime,
    terms: Terms,
    ceilings: Sequence[Provisions] = (),
) -> tuple[Grant, ...]:
    """The same of Consents that `judge` has judged, and of policies that `active_policies` has read."""
    at = micros(now)
    denials = [
        d
        for one in judged
        if one.denies_count
        for d in _denials(one.provisions, trusted=one.enforceable)
    ]
    ceiling = [d for policy in ceilings for d in _denials(policy, trusted=True)]
    named = united([*ceiling, *(d for d in denials if d.named)], at)
    urgent = united([*ceiling, *(d for d in denials if d.with_actor or d.emergency)], at)
    rows = _Rows(at)
    for custodian in sorted(set(custodians)):
        own = Region(custodian, at, custodian=custodian)
        rows.add(_Base(own, None, CUSTODIAN_RECORD), named)
    rows.add(_Base(_own_record(patient, at), None, OWN_RECORD), named)
    rows.add(_Base(_emergency(at), None, EMERGENCY_ACCESS), urgent)
    everything = united([*ceiling, *denials], at)
    for base, lawful in _widest(
        found for one in judged if one.enforceable for found in _permits(one, patient, at, terms)
    ):
        rows.add(base, [*lawful, *everything])
    return rows.grants()


def _widest(found: Iterable[_Permit]) -> list[_Permit]:
    """The bases without those that lie within another from which the law takes the same."""
    groups: dict[tuple[int, tuple[tuple[tuple[Clause, ...], ...], ...]], list[_Permit]] = {}
    for permit in found:
        key = (permit.base.region.grantee, tuple(each.parts for each in permit.lawful))
        groups.setdefault(key, []).append(permit)
    return [
        permit
        for group in groups.values()
        for kept in [absorbed(each.base.region for each in group)]
        for region in kept
        for permit in group
        if permit.base.region is region
    ]


def judge(
    patient: Rid,
    consents: Sequence[StoredConsent],
    resolve: Resolve,
    terms: Terms,
    now: datetime,
) -> list[Judged]:
    """Every Consent with its trees and its enforcement status, in the order of their rids.

    A relative whom a counting deny names cannot consent for the patient: a Consent given by that
    person permits nothing, though its denies count.
    """
    parsed = [
        (stored, parse(stored.resource, resolve, terms))
        for stored in sorted(consents, key=lambda each: each.rid)
    ]
    assessed = [(s, p, assess(s.resource, p, now)) for s, p in parsed]
    shut_out = {
        rid
        for _, provisions, status in assessed
        if status.denies_count
        for path in provisions.paths
        if not path[-1].permits
        for rid in path[-1].relatives - {patient}
    }
    return [
        Judged(
            stored,
            provisions,
            _given_by(status, stored.resource, shut_out, resolve),
            release(provisions),
        )
        for stored, provisions, status in assessed
    ]


def active_policies(
    ceilings: Iterable[Json], resolve: Resolve, terms: Terms
) -> tuple[Provisions, ...]:
    """The provisions of the administrative policies that are active; others count for nothing."""
    return tuple(
        parse(policy, resolve, terms) for policy in ceilings if text(policy, "status") == "active"
    )


def _given_by(
    status: Enforcement, consent: Json, shut_out: Collection[Rid], resolve: Resolve
) -> Enforcement:
    faults = tuple(
        reason(ReasonCode.PERFORMER_EXCLUDED, f"Consent.performer[{position}]")
        for position, performer in enumerate(many(consent, "performer"))
        if resolve.get(reference_of(performer) or "") in shut_out
    )
    return status.with_faults(faults) if faults else status


def _denials(provisions: Provisions, *, trusted: bool) -> list[Denial]:
    return [denial(path, trusted=trusted) for path in provisions.paths if not path[-1].permits]


def _own_record(patient: Rid, at: int) -> Region:
    kept_back = labels.sensitivity_closure("PSYTHPN") | labels.NOPAT
    return Region(patient, at, actions=int(Action.READ), forbidden=kept_back)


def _emergency(at: int) -> Region:
    return Region(
        EMERGENCY,
        at,
        actions=int(Action.READ),
        purposes=purposes.EMERGENCY,
        forbidden=labels.GRANTEES,
    )


def _permits(judged: Judged, patient: Rid, at: int, terms: Terms) -> Iterator[_Permit]:
    """The regions of the permit provisions of one Consent, and what the law takes off each."""
    stored = judged.stored
    # An organization cannot release records to itself (decision 0001, "who may release").
    excluded = frozenset() if stored.recorder == patient else frozenset({int(stored.recorder)})
    for path in judged.provisions.paths:
        if not path[-1].permits:
            continue
        # The first of the innermost known actors becomes the grantee; further ones are residual.
        chooser = next((p for p in reversed(path) if p.permits and p.actors is not None), None)
        grantees = (ANYONE,) if chooser is None else chooser.actors or ()
        for grantee in grantees:
            if grantee in excluded:
                continue
            start = Region(
                grantee,
                at,
                excluded=excluded,
                custodian=stored.releases,
                forbidden=labels.GRANTEES,
            )
            region = meet_all(start, (c for p in path for c in p.clauses))
            if region is not None:
                lawful = [
                    each.denial for each in limits(path, judged.whole, patient, grantee, terms)
                ]
                yield _Permit(_Base(region, stored.rid, path[-1].path), lawful)


class _Rows:
    """The rows so far, by grantee, within their bounds."""

    def __init__(self, at: int) -> None:
        self._at = at
        self._bases: dict[Region, tuple[Rid | None, str]] = {}
        self._by_grantee: dict[int, list[Region]] = {}
        self._count = 0

    def add(self, base: _Base, denials: Sequence[Denial]) -> None:
        """Subtract the denies from a base region and keep what is left of it."""
        held = len(self._by_grantee.get(base.region.grantee, ()))
        regions = [base.region]
        for each in bearing(base.region, denials):
            used = max(held, self._count * ROWS_PER_GRANTEE // ROWS)
            following: list[Region] = []
            for position, region in enumerate(regions):
                waiting = len(regions) - position - 1
                room = ROWS_PER_GRANTEE - used - len(following) - waiting
                spare = room - ROWS_PER_GRANTEE + ROWS_WITH_RESIDUAL
                following += subtract(region, each, room, spare)
            regions = absorbed(following) if len(following) > len(regions) else following
        for region in regions:
            tidied = tidy(region)
            if tidied is not None:
                self._bases.setdefault(tidied, (base.consent, base.provision))
                self._by_grantee.setdefault(tidied.grantee, []).append(tidied)
                self._count += 1

    def grants(self) -> tuple[Grant, ...]:
        """The rows as grants, those within another left out."""
        return tuple(
            _grant(region, *self._bases[region], self._at)
            for regions in self._by_grantee.values()
            for region in absorbed(regions)
        )


def _grant(region: Region, consent: Rid | None, provision: str, at: int) -> Grant:
    return Grant(
        grantee=Rid(region.grantee),
        actions=region.actions,
        purposes=region.purposes,
        valid_from=None if region.valid_from <= at else instant(region.valid_from),
        valid_to=instant(region.valid_to),
        excluded=frozenset(map(Rid, region.excluded)),
        custodian=None if region.custodian is None else Rid(region.custodian),
        types=region.types,
        not_types=region.not_types,
        forbidden=region.forbidden,
        any_of=region.any_of,
        data_from=instant(region.data_from),
        data_to=instant(region.data_to),
        residual=tuple(map(_written, unsaid(region))),
        consent=consent,
        provision=provision,
    )


@lru_cache(maxsize=1 << 13)
def _written(clause: Disjunction) -> Clause:
    return tuple(sorted(clause, key=lambda literal: (literal[1], str(literal))))
