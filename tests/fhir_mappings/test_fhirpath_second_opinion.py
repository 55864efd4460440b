"""Another FHIRPath engine on the same invariants and resources: the two must agree.

`fhirpathpy` is slow (about a millisecond an invariant) and lacks `hasValue`; where it answers, it
answers as we do, over official examples and over what is left of them when an element is taken out.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import Any

from fhirpathpy import compile as compile_there
from fhirpathpy.models import models

from app.fhir_mappings.fhirpath.compiler import compile_fhirpath
from app.fhir_mappings.fhirpath.environment import environment_of
from app.fhir_mappings.json_text import parse
from app.fhir_mappings.structure import invariants
from tests.official_examples import examples

TYPES = (
    "AllergyIntolerance", "Appointment", "Bundle", "Condition", "Consent", "Group", "List",
    "MedicationDispense", "Observation", "Questionnaire", "Task", "ValueSet",
)  # fmt: skip
NOT_COMPARED = (
    "hasValue",  # not implemented there
    "matches",  # R4's patterns are written for a match of the whole; there, a part is enough
)
UCUM = "http://unitsofmeasure.org"


@cache
def there(expression: str) -> Callable[[Any, dict[str, Any]], list[Any]]:
    compiled: Callable[[Any, dict[str, Any]], list[Any]] = compile_there(expression, models["r4"])
    return compiled


def test_another_engine_gives_the_same_result_for_every_invariant_of_a_resource() -> None:
    pick = random.Random(7)
    seen: Counter[str] = Counter()
    compared = 0
    differing = []
    for name, data in examples():
        type_name = name.partition("-")[0]
        if type_name not in TYPES or len(data) > 15_000 or seen[type_name] >= 6:
            continue
        seen[type_name] += 1
        whole = json.loads(data)
        for dropped in [None, *pick.sample(sorted(whole.keys() - {"resourceType"}), 2)]:
            plain = {key: value for key, value in whole.items() if key != dropped}
            resource = parse(json.dumps(plain).encode(), max_depth=100)
            variables = {"resource": plain, "rootResource": plain, "context": plain, "ucum": UCUM}
            for invariant in invariants(type_name):
                if any(word in invariant.expression for word in NOT_COMPARED):
                    continue
                theirs = there(invariant.expression)(plain, variables)
                found = compile_fhirpath(invariant.expression).values(environment_of(resource))
                compared += 1
                if [each.value for each in found] != theirs:
                    differing.append((name, dropped, invariant.key))
    assert differing == []
    assert set(seen) == set(TYPES)
    assert compared > 400
