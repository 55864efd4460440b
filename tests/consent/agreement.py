"""What production and the independent oracle say of one situation, side by side.

Production twice: the compiled grants, and the explanation. Neighbours: `tests.consent.oracle`,
`tests.consent.situations`, `tests.consent.questions`; the short form is `test_against_oracle`, the long one
`tests.consent.long`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final
from unittest import mock

from app.consent import compile as compile_module
from app.consent import labels, purposes
from app.consent.compile import Judged, active_policies, compile_judged, judge
from app.consent.evaluate import holds
from app.consent.explain import Verdict, explain
from app.consent.model import (
    ANYONE,
    CUSTODIAN,
    EMERGENCY,
    Action,
    CallerFacts,
    Grant,
    ResourceFacts,
    StoredConsent,
)
from app.consent.provision import Provisions
from app.ids import Rid
from tests.consent.oracle import Caller, Coded, Judge, Thing
from tests.consent.questions import Asker, Question
from tests.consent.situations import KNOWN, NOW, PATIENT, Situation, coding
from tests.consent.terms import TERMS, TYPES, rid_of

QUESTIONS: Final = 16
"""Asked about each situation."""

CUSTODIANS: Final = (CUSTODIAN,)
"""As production compiles and explains."""

RESOLVE: Final = {reference: rid_of(reference) for reference in KNOWN}


def caller_facts(caller: Caller) -> CallerFacts:
    closure = _rids(caller.identities) | {ANYONE}
    if caller.emergency:
        closure |= {EMERGENCY}
    if caller.organization:
        closure |= {CUSTODIAN}
    return CallerFacts(
        closure,
        closure | _rids(caller.wider),
        purposes.purpose_bit(caller.purpose),
        rid_of(caller.organization) if caller.organization else None,
    )


def resource_facts(thing: Thing) -> ResourceFacts:
    return ResourceFacts(
        rid=rid_of(thing.reference),
        type_code=TYPES[thing.type],
        labels=_mask(thing.security),
        custodian=rid_of(thing.custodian),
        clinical_from=thing.clinical[0] if thing.clinical else None,
        clinical_to=thing.clinical[1] if thing.clinical else None,
        codes=_hashes(thing.codes, thing.profiles),
        references=_rids(thing.references),
        referenced_by=_rids(thing.referenced_by),
        authors=_rids(thing.authors),
    )


@lru_cache(maxsize=1 << 14)
def _rids(references: frozenset[str]) -> frozenset[Rid]:
    return frozenset(map(rid_of, references))


@lru_cache(maxsize=1 << 14)
def _hashes(codes: frozenset[Coded], profiles: frozenset[str]) -> frozenset[int]:
    return frozenset(
        {TERMS.hash64("code", *pair) for pair in codes}
        | {TERMS.hash64("profile", url) for url in profiles}
    )


@lru_cache(maxsize=1 << 14)
def _mask(security: tuple[Coded, ...]) -> int:
    return labels.label_mask(coding(pair) for pair in security)


@dataclass(frozen=True)
class Compared:
    """A situation as the oracle has it, and as production has it."""

    situation: Situation

    @cached_property
    def oracle(self) -> Judge:
        ceilings = [c for c in self.situation.ceilings if c["status"] == "active"]
        return Judge(PATIENT, self.situation.given, KNOWN, frozenset(TYPES), ceilings)

    @cached_property
    def stored(self) -> list[StoredConsent]:
        return [
            StoredConsent(
                rid_of(f"Consent/{n}"),
                rid_of(g.recorder),
                rid_of(g.releases) if g.releases else None,
                g.resource,
            )
            for n, g in enumerate(self.situation.given)
        ]

    @cached_property
    def grants(self) -> tuple[Grant, ...]:
        with mock.patch.object(compile_module, "ROWS_PER_GRANTEE", self.situation.rows):
            return compile_judged(
                self.patient,
                self.judged,
                CUSTODIANS,
                now=NOW,
                terms=TERMS,
                ceilings=self.policies,
            )

    @cached_property
    def judged(self) -> list[Judged]:
        return judge(self.patient, self.stored, RESOLVE, TERMS, NOW)

    @cached_property
    def policies(self) -> tuple[Provisions, ...]:
        return active_policies(self.situation.ceilings, RESOLVE, TERMS)

    @property
    def patient(self) -> Rid:
        return rid_of(PATIENT)

    def questions(self) -> list[Question]:
        asker = Asker(self.situation.given, self.situation.seed)
        return [asker.ask() for _ in range(QUESTIONS)]

    def answers(self, question: Question) -> Answers:
        """What each of the three says to one question."""
        who, what = caller_facts(question.caller), resource_facts(question.thing)
        does = Action.READ if question.action == "access" else Action.UPDATE
        explained = explain(
            self.patient,
            self.judged,
            CUSTODIANS,
            who,
            what,
            does,
            now=question.now,
            terms=TERMS,
            ceilings=self.policies,
        )
        return Answers(
            oracle=self.oracle.permits(*question),
            grants=any(holds(grant, who, what, does, question.now) for grant in self.grants),
            explanation=explained.verdict is Verdict.PERMIT,
            because=explained.because,
        )


@dataclass(frozen=True)
class Answers:
    """True is permit; because: what the explanation gives as its reason."""

    oracle: bool
    grants: bool
    explanation: bool
    because: str

    @property
    def agree(self) -> bool:
        return self.oracle == self.grants == self.explanation
