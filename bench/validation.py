"""What validating costs: the walker with all invariants, beside parsing and beside fhir.resources.

    python -m bench.validation

The data: the official 4.0.1 examples of the care domain's types (fetched once, see
tests/official_examples.py). Each resource is validated three times, the best counts; printed are
medians over resources, so that ratios hold on a busy machine. `fhir.resources` checks less (no
required bindings, no invariants, no reference types): its figure is a floor, not a rival.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from fhir.resources.R4B import get_fhir_model_class

from app.fhir_mappings.json_text import JsonObject, parse
from app.fhir_mappings.profiles.definitions import Definitions
from app.fhir_mappings.validate import validate
from tests.fhir_mappings.profile_sources import US_CORE, us_core
from tests.fhir_mappings.test_profiles import blood_pressure
from tests.official_examples import examples

TYPES = frozenset(
    {
        "AllergyIntolerance", "Appointment", "CarePlan", "CareTeam", "ClinicalImpression",
        "Communication", "Condition", "Consent", "DetectedIssue", "DocumentReference", "Encounter",
        "EpisodeOfCare", "Flag", "Goal", "Group", "MedicationRequest", "MedicationStatement",
        "Observation", "Organization", "Patient", "Practitioner", "PractitionerRole", "Procedure",
        "Provenance", "QuestionnaireResponse", "RiskAssessment", "ServiceRequest", "Slot", "Task",
    }
)  # fmt: skip


def best_us(work: Callable[[], Any], repeats: int = 3) -> float:
    """Microseconds of the quickest of a few runs."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter_ns()
        work()
        times.append(time.perf_counter_ns() - start)
    return min(times) / 1000


def refuses(work: Callable[[Any], Any], value: Any) -> bool:
    try:
        work(value)
    except Exception:  # noqa: BLE001 - whatever the library raises, the resource is left out
        return True
    return False


def main() -> None:
    parsing, ours, warned, models = [], [], [], []
    for name, data in examples():
        if name.partition("-")[0] not in TYPES:
            continue
        resource: JsonObject = parse(data, max_depth=100)
        model = get_fhir_model_class(resource["resourceType"])
        if validate(resource) or refuses(model.model_validate, resource):
            continue
        parsing.append(best_us(partial(parse, data, max_depth=100)))
        ours.append(best_us(partial(validate, resource)))
        warned.append(best_us(partial(validate, resource, warnings=True)))
        models.append(best_us(partial(model.model_validate, resource)))
    walked = statistics.median(ours)
    print(f"{len(ours)} official examples of {len(TYPES)} types, median µs a resource")
    for what, times in (
        ("parse the JSON", parsing),
        ("validate", ours),
        ("validate with warnings", warned),
        ("fhir.resources model_validate", models),
    ):
        median = statistics.median(times)
        print(f"  {what:30} {median:8.1f}   {median / walked:5.2f} of validate")
    profiled()


def profiled() -> None:
    """The US Core blood pressure profile on top: many slices, patterns and invariants."""
    definitions = Definitions(us_core())
    observation, urls = blood_pressure(), [US_CORE + "us-core-blood-pressure"]
    plain = best_us(partial(validate, observation), 20)
    judged = partial(validate, observation, profiles=urls, definitions=definitions)
    judged()  # compiles the profile
    on_top = best_us(judged, 20)
    print(f"  a US Core blood pressure       {plain:8.1f}")
    print(f"  and by its profile             {on_top:8.1f}   {on_top / plain:5.2f} of plain")


if __name__ == "__main__":
    main()
