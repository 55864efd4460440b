"""The official R4 examples: accepted, numbers kept; typed models give a second opinion.

The few examples that break R4 themselves are listed, with the reason, in
`official_examples_refused.json`. The list only shrinks: an entry that passes fails the test.
"""

from __future__ import annotations

import copy
import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from fhir.resources.R4B import get_fhir_model_class
from pydantic import ValidationError

from app.errors import FhirError
from app.fhir_mappings.json_text import JsonObject, dump, parse
from app.fhir_mappings.registry import RESOURCE_TYPES
from app.fhir_mappings.validate import validate
from tests.official_examples import examples

REFUSED: Final[dict[str, str]] = json.loads(
    Path(__file__).with_name("official_examples_refused.json").read_text()
)

SECOND_OPINION: Final = (
    "AllergyIntolerance",
    "Appointment",
    "CarePlan",
    "CareTeam",
    "ClinicalImpression",
    "Communication",
    "Condition",
    "Consent",
    "DocumentReference",
    "Encounter",
    "EpisodeOfCare",
    "Flag",
    "Goal",
    "Group",
    "Location",
    "MedicationRequest",
    "Observation",
    "Organization",
    "Patient",
    "Practitioner",
    "PractitionerRole",
    "Procedure",
    "Questionnaire",
    "QuestionnaireResponse",
    "RiskAssessment",
    "ServiceRequest",
    "Slot",
    "Task",
)
"""Types of the care domain that R4 and R4B define alike."""


@dataclass
class Findings:
    """What one pass over all examples found."""

    seen: Counter[str] = field(default_factory=Counter)
    refused: dict[str, list[str]] = field(default_factory=dict)
    altered: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def findings() -> Findings:
    found = Findings()
    for name, data in examples():
        try:
            resource = parse(data, max_depth=100)
        except FhirError as error:
            found.refused[name] = [each.diagnostics for each in error.issues]
            continue
        resource_type = resource["resourceType"]
        faults = [f"{each.expression} {each.diagnostics}" for each in validate(resource)]
        if faults:
            found.refused[name] = faults
        if verbatim(dump(resource)) != verbatim(data):
            found.altered.append(name)
        found.seen[resource_type] += 1
    return found


def verbatim(data: bytes) -> Any:
    """JSON with each number as its text, so that 0.40 differs from 0.4."""

    def number(text: str) -> tuple[str, str]:
        return ("number", text)

    return json.loads(data, parse_float=number, parse_int=number)


def test_every_official_example_is_valid_but_those_that_break_r4(findings: Findings) -> None:
    unexpected = {k: v for k, v in findings.refused.items() if k not in REFUSED}
    assert unexpected == {}


def test_the_list_of_refused_examples_only_shrinks(findings: Findings) -> None:
    assert set(REFUSED) <= set(findings.refused), "an example listed as refused passes: unlist it"
    assert len(REFUSED) <= 27


def test_the_examples_refused_for_sdf_4_and_bdl_7_break_them_by_plain_reading() -> None:
    # These two come from compiled FHIRPath: what they refuse is looked at once more without it.
    listed = {name: reason[:5] for name, reason in REFUSED.items()}
    broken = []
    for name, data in examples():
        if listed.get(name) == "sdf-4":
            resource = json.loads(data)
            broken.append(not resource["abstract"] and "baseDefinition" not in resource)
        elif listed.get(name) == "bdl-7":
            entries = json.loads(data)["entry"]
            urls = Counter(
                e["fullUrl"] for e in entries if "versionId" not in e["resource"]["meta"]
            )
            broken.append(urls.most_common(1)[0][1] > 1)
    assert broken == [True] * 5


def test_every_official_example_keeps_its_content_and_number_texts(findings: Findings) -> None:
    assert findings.altered == []


def test_the_examples_cover_the_resource_types(findings: Findings) -> None:
    assert sum(findings.seen.values()) == 5306
    # Parameters and the substance types come without example; that the set is this one tells a
    # smaller package from the whole.
    assert set(RESOURCE_TYPES) - set(findings.seen) == {
        "Parameters",
        "SubstanceNucleicAcid",
        "SubstancePolymer",
        "SubstanceProtein",
        "SubstanceReferenceInformation",
        "SubstanceSourceMaterial",
    }


Place = tuple[str | int, ...]

DAMAGE: Final[dict[str, Any]] = {
    "null": None,
    "empty object": {},
    "empty array": [],
    "text": "x y",
    "number": 7,
    "boolean": True,
    "code": "no-such-code",
}


def places(node: JsonObject | list[Any], at: Place = ()) -> Iterator[Place]:
    members = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in members:
        yield (*at, key)
        if isinstance(value, dict | list):
            yield from places(value, (*at, key))


def damaged(resource: JsonObject, place: Place, damage: str) -> JsonObject:
    result = copy.deepcopy(resource)
    node: Any = result
    for key in place[:-1]:
        node = node[key]
    key = place[-1]
    if damage == "delete":
        del node[key]
    elif damage == "unknown" and isinstance(node, dict):
        node["unknownElement"] = "x"
    elif damage == "wrap":
        node[key] = [node[key]]
    elif damage == "rename" and isinstance(node, dict):
        node[f"{key}X"] = node.pop(key)
    elif damage in DAMAGE:
        node[key] = DAMAGE[damage]
    return result


def refused_by_models(resource: JsonObject) -> bool:
    try:
        get_fhir_model_class(resource["resourceType"]).model_validate(resource)
    except (ValidationError, ValueError, KeyError, AttributeError, TypeError):
        # Beside its ValidationError the library lets KeyErrors and the like of its own out.
        return True
    return False


@pytest.fixture(scope="module")
def sample() -> dict[str, list[JsonObject]]:
    """Three valid examples of moderate size, or as many as there are, of each type."""
    found: dict[str, list[JsonObject]] = {name: [] for name in SECOND_OPINION}
    for name, data in examples():
        chosen = found.get(name.partition("-")[0])
        if chosen is not None and len(chosen) < 3 and len(data) < 20_000:
            resource = parse(data, max_depth=100)
            if not validate(resource):
                chosen.append(resource)
    return found


@pytest.mark.parametrize("resource_type", SECOND_OPINION)
def test_what_the_typed_models_refuse_is_refused(
    sample: dict[str, list[JsonObject]], resource_type: str
) -> None:
    pick = random.Random(resource_type)
    refused = 0
    for resource in sample[resource_type]:
        ours = [place for place in places(resource) if place[0] not in ("resourceType", "text")]
        for _ in range(40):
            place = pick.choice(ours)
            damage = pick.choice([*DAMAGE, "delete", "wrap", "rename", "unknown"])
            broken = damaged(resource, place, damage)
            if refused_by_models(broken):
                refused += 1
                assert validate(broken), (resource["id"], place, damage)
    assert refused > 10
