"""Random consents, callers and resources: the compiled grants agree with the independent judge.

The number of examples is set by TL_FUZZ_EXAMPLES (default 2000); each example asks QUESTIONS
questions.
"""

from __future__ import annotations

import os
from typing import Any
from unittest import mock

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.consent import compile as compile_module
from app.consent import labels, purposes
from app.consent.compile import compile_grants
from app.consent.evaluate import holds
from app.consent.explain import Verdict, explain
from app.consent.model import (
    ANYONE,
    EMERGENCY,
    Action,
    CallerFacts,
    Grant,
    ResourceFacts,
    StoredConsent,
)
from app.fhir_mappings.hashing import hash64
from tests.consent.oracle import Caller, Given, Json, Judge, Thing
from tests.consent.situations import (
    GIVEN,
    KNOWN,
    NOW,
    ORGANIZATIONS,
    PATIENT,
    Asker,
    coding,
    consents,
)
from tests.consent.terms import TERMS, TYPES, rid_of

EXAMPLES = int(os.environ.get("TL_FUZZ_EXAMPLES", "2000"))
QUESTIONS = 16


def caller_facts(caller: Caller) -> CallerFacts:
    closure = {rid_of(r) for r in caller.identities} | {ANYONE}
    if caller.emergency:
        closure.add(EMERGENCY)
    return CallerFacts(
        frozenset(closure),
        frozenset(closure | {rid_of(r) for r in caller.wider}),
        purposes.purpose_bit(caller.purpose),
    )


def resource_facts(thing: Thing) -> ResourceFacts:
    return ResourceFacts(
        rid=rid_of(thing.reference),
        type_code=TYPES[thing.type],
        labels=labels.label_mask(coding(pair) for pair in thing.security),
        custodian=rid_of(thing.custodian),
        clinical_from=thing.clinical[0] if thing.clinical else None,
        clinical_to=thing.clinical[1] if thing.clinical else None,
        codes=frozenset(
            {hash64("code", *pair) for pair in thing.codes}
            | {hash64("profile", url) for url in thing.profiles}
        ),
        references=frozenset(map(rid_of, thing.references)),
        referenced_by=frozenset(map(rid_of, thing.referenced_by)),
        authors=frozenset(map(rid_of, thing.authors)),
    )


def compiled(judge: Judge, rows: int = 64) -> tuple[Grant, ...]:
    with mock.patch.object(compile_module, "ROWS_PER_GRANTEE", rows):
        return compile_grants(**known(judge), now=NOW)


def known(judge: Judge) -> dict[str, Any]:
    """What the compiler and the explanation are told alike."""
    stored = [
        StoredConsent(
            rid_of(f"Consent/{n}"),
            rid_of(g.recorder),
            rid_of(g.releases) if g.releases else None,
            g.resource,
        )
        for n, g in enumerate(judge.given)
    ]
    return {
        "patient": rid_of(PATIENT),
        "consents": stored,
        "custodians": [rid_of(o) for o in ORGANIZATIONS],
        "resolve": {reference: rid_of(reference) for reference in KNOWN},
        "terms": TERMS,
        "ceilings": judge.ceilings,
    }


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(GIVEN, min_size=1, max_size=3),
    st.one_of(st.just([]), st.just([]), st.lists(consents(), max_size=1)),
    st.sampled_from([64, 64, 1, 3]),
    st.integers(0, 1_000_000),
)
def test_compiled_grants_agree_with_an_independent_walk_of_the_consents(
    given_consents: list[Given], ceilings: list[Json], rows: int, seed: int
) -> None:
    ceilings = [c for c in ceilings if c["status"] == "active"]
    judge = Judge(PATIENT, given_consents, KNOWN, frozenset(TYPES), ceilings)
    grants = compiled(judge, rows)
    asker = Asker(given_consents, seed)
    for _ in range(QUESTIONS):
        caller, thing, action, now = asker.ask()
        who, what = caller_facts(caller), resource_facts(thing)
        does = Action.READ if action == "access" else Action.UPDATE
        found = any(holds(grant, who, what, does, now) for grant in grants)
        assert found == judge.permits(caller, thing, action, now), (caller, thing, action, now)
        explained = explain(**known(judge), caller=who, resource=what, action=does, now=now)
        assert (explained.verdict is Verdict.PERMIT) == found, explained
