"""Random consents, callers and resources: the compiled grants agree with the independent judge.

The number of examples is set by TL_FUZZ_EXAMPLES (default 2000).
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, given, settings

from tests.consent.agreement import Compared
from tests.consent.situations import SITUATIONS, Situation

EXAMPLES = int(os.environ.get("TL_FUZZ_EXAMPLES", "2000"))


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(SITUATIONS)
def test_compiled_grants_agree_with_an_independent_walk_of_the_consents(
    situation: Situation,
) -> None:
    compared = Compared(situation)
    for question in compared.questions():
        answers = compared.answers(question)
        assert answers.agree, (answers, question)
