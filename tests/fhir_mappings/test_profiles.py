"""Profiles: what keeps each rule and what breaks it, on real and on stated profiles."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from app.fhir_mappings.json_text import parse
from app.fhir_mappings.profiles.definitions import Definitions
from app.fhir_mappings.profiles.elements import ProfileError, compile_profile
from app.fhir_mappings.terminology.terminology import Terminology
from app.fhir_mappings.validate import validate
from tests.fhir_mappings.profile_sources import (
    OURS,
    REFERRAL_PROFILES,
    SDOH,
    US_CORE,
    US_CORE_CATEGORY,
    coded,
    element,
    profile,
    us_core,
)
from tests.official_examples import examples

DIV = '<div xmlns="http://www.w3.org/1999/xhtml">x</div>'
PATIENT: dict[str, Any] = {"reference": "Patient/a"}
LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"

RESOURCES: dict[str, dict[str, Any]] = {
    "care-plan": {
        "resourceType": "CarePlan",
        "text": {"status": "generated", "div": DIV},
        "status": "active",
        "intent": "plan",
        "category": [{"text": "own"}, coded(US_CORE_CATEGORY, "assess-plan")],
        "subject": PATIENT,
    },
    "care-team": {
        "resourceType": "CareTeam",
        "subject": PATIENT,
        "participant": [{"role": [{"text": "x"}], "member": {"reference": "Practitioner/a"}}],
    },
    "goal": {
        "resourceType": "Goal",
        "lifecycleStatus": "active",
        "description": {"text": "x"},
        "subject": PATIENT,
        "target": [{"dueDate": "2026-05-01"}],
    },
    "condition": {
        "resourceType": "Condition",
        "clinicalStatus": coded(
            "http://terminology.hl7.org/CodeSystem/condition-clinical", "active"
        ),
        "category": [
            coded("http://terminology.hl7.org/CodeSystem/condition-category", "problem-list-item")
        ],
        "code": {"text": "x"},
        "subject": PATIENT,
    },
    "sdoh-service-request": {
        "resourceType": "ServiceRequest",
        "status": "active",
        "intent": "order",
        "category": [coded(SDOH, "sdoh-category-unspecified")],
        "code": {"text": "x"},
        "subject": PATIENT,
    },
    "sdoh-task": {
        "resourceType": "Task",
        "status": "requested",
        "intent": "order",
        "code": coded("http://hl7.org/fhir/CodeSystem/task-code", "fulfill"),
        "focus": {"reference": "ServiceRequest/a"},
        "owner": {"reference": "Organization/a"},
        "input": [
            {"type": coded(SDOH, "contact-entity"), "valueReference": {"reference": "Patient/a"}}
        ],
    },
}


def faults(
    name: str, definitions: Definitions, *, url: str | None = None, **members: Any
) -> list[tuple[str, str]]:
    """(code, expression) of what a profile adds, with members set (None: left out)."""
    resource = copy.deepcopy(RESOURCES[name]) | members
    resource = {key: value for key, value in resource.items() if value is not None}
    found = validate(resource, profiles=[url or OURS + name], definitions=definitions)
    return [(each.code.value, each.expression[0]) for each in found]


@pytest.fixture(scope="module")
def referral() -> Definitions:
    return Definitions(REFERRAL_PROFILES)


def test_each_profile_is_valid_and_compiled_as_a_whole() -> None:
    for source in REFERRAL_PROFILES:
        assert [each for each in validate(source) if each.severity == "error"] == []
        assert compile_profile(source).not_enforced == {}


@pytest.mark.parametrize("name", RESOURCES)
def test_a_resource_that_keeps_its_profile_has_no_fault(name: str, referral: Definitions) -> None:
    assert faults(name, referral) == []


@pytest.mark.parametrize(
    ("name", "members", "expected"),
    [
        # cardinality
        ("care-plan", {"text": None}, [("required", "CarePlan.text")]),
        ("care-team", {"participant": None}, [("required", "CareTeam.participant")]),
        (
            "care-team",
            {"participant": [{"role": [{"text": "x"}, {"text": "y"}], "member": PATIENT}]},
            [("structure", "CareTeam.participant[0].role")],
        ),
        (
            "care-team",
            {"participant": [{"role": [{"text": "x"}]}]},
            [("required", "CareTeam.participant[0].member")],
        ),
        # targets
        (
            "care-team",
            {"participant": [{"role": [{"text": "x"}], "member": {"reference": "CareTeam/a"}}]},
            [("value", "CareTeam.participant[0].member")],
        ),
        ("goal", {"subject": {"reference": "Group/a"}}, [("value", "Goal.subject")]),
        # slices by pattern
        ("care-plan", {"category": [{"text": "own"}]}, [("required", "CarePlan.category")]),
        (
            "care-plan",
            {"category": [coded(US_CORE_CATEGORY, "assess-plan")] * 2},
            [("structure", "CarePlan.category")],
        ),
        # slices by a value set
        ("condition", {"category": [{"text": "x"}]}, [("required", "Condition.category")]),
        # invariants
        (
            "condition",
            {"category": None},
            [("required", "Condition.category")] * 2,  # the element, and its slice
        ),
        ("condition", {"clinicalStatus": None}, [("invariant", "Condition")]),
        # fixed values and patterns
        ("sdoh-service-request", {"intent": "plan"}, [("value", "ServiceRequest.intent")]),
        ("sdoh-task", {"intent": "plan"}, [("value", "Task.intent")]),
        (
            "sdoh-task",
            {"code": {"text": "x"}},
            [("required", "Task.code.coding")],
        ),
        ("sdoh-task", {"focus": {"reference": "Patient/a"}}, [("value", "Task.focus")]),
        # a closed slicing, and the types inside a slice
        (
            "sdoh-task",
            {"input": [{"type": {"text": "other"}, "valueString": "x"}]},
            [("structure", "Task.input[0]")],
        ),
        (
            "sdoh-task",
            {"input": [{"type": coded(SDOH, "contact-entity"), "valueString": "x"}]},
            [("structure", "Task.input[0].value")],
        ),
    ],
)
def test_what_breaks_a_profile_is_found_at_its_place(
    name: str, members: dict[str, Any], expected: list[tuple[str, str]], referral: Definitions
) -> None:
    assert sorted(faults(name, referral, **members)) == sorted(expected)


def us_patient(**members: Any) -> dict[str, Any]:
    omb = {"system": "urn:oid:2.16.840.1.113883.6.238", "code": "2106-3"}
    return {
        "resourceType": "Patient",
        "identifier": [{"system": "http://a", "value": "1"}],
        "name": [{"family": "Sample"}],
        "gender": "female",
        "extension": [
            {
                "url": US_CORE + "us-core-race",
                "extension": [
                    {"url": "ombCategory", "valueCoding": omb},
                    {"url": "text", "valueString": "x"},
                ],
            },
            {"url": US_CORE + "us-core-birthsex", "valueCode": "F"},
            {"url": "http://example.org/other", "valueString": "x"},
        ],
    } | members


def blood_pressure(*codes: str, unit: str = "mm[Hg]", **members: Any) -> dict[str, Any]:
    def component(code: str) -> dict[str, Any]:
        quantity = {"value": 120, "unit": "mmHg", "system": UCUM, "code": unit}
        return {"code": coded(LOINC, code), "valueQuantity": quantity}

    return {
        "resourceType": "Observation",
        "status": "final",
        "category": [coded(CATEGORY, "vital-signs")],
        "code": coded(LOINC, "85354-9"),
        "subject": PATIENT,
        "effectiveDateTime": "2026-03-01",
        "component": [component(each) for each in codes or ("8480-6", "8462-4")],
    } | members


RACE_WITHOUT_TEXT = [
    {
        "url": US_CORE + "us-core-race",
        "extension": [{"url": "text", "valueCode": "x"}],
    }
]


@pytest.mark.parametrize(
    ("resource", "profile_name", "expected"),
    [
        (us_patient(), "us-core-patient", []),
        (
            us_patient(identifier=[{"value": "1"}]),
            "us-core-patient",
            [("required", "Patient.identifier[0].system")],
        ),
        (us_patient(name=[{"use": "usual"}]), "us-core-patient", [("invariant", "Patient")]),
        (
            us_patient(extension=RACE_WITHOUT_TEXT),
            "us-core-patient",
            [("structure", "Patient.extension[0].extension[0].value")],
        ),
        (
            us_patient(extension=RACE_WITHOUT_TEXT[:0] + us_patient()["extension"][:1] * 2),
            "us-core-patient",
            [("structure", "Patient.extension")],
        ),
        (blood_pressure(), "us-core-blood-pressure", []),
        (
            blood_pressure("8480-6", "1"),
            "us-core-blood-pressure",
            [("required", "Observation.component")],
        ),
        (
            blood_pressure(unit="cm"),
            "us-core-blood-pressure",
            [
                ("value", "Observation.component[0].value.code"),
                ("value", "Observation.component[1].value.code"),
            ],
        ),
        (
            blood_pressure(category=[coded(CATEGORY, "laboratory")]),
            "us-core-blood-pressure",
            [("required", "Observation.category")],
        ),
        (
            blood_pressure(subject={"reference": "Group/a"}),
            "us-core-blood-pressure",
            [("value", "Observation.subject")],
        ),
        (us_patient(), "us-core-blood-pressure", [("structure", "Patient.meta.profile")]),
    ],
)
def test_us_core_is_loaded_and_kept(
    resource: dict[str, Any], profile_name: str, expected: list[tuple[str, str]]
) -> None:
    definitions = Definitions(us_core())
    found = validate(resource, profiles=[US_CORE + profile_name], definitions=definitions)
    assert [(each.code.value, each.expression[0]) for each in found] == expected


def test_every_profile_of_the_official_package_is_compiled_and_kept_by_the_examples() -> None:
    sources, claiming = [], []
    for name, data in examples():
        if name.startswith(("StructureDefinition-", "Observation-")):
            resource = parse(data, max_depth=150)
            if resource["resourceType"] == "StructureDefinition":
                if resource.get("derivation") == "constraint":
                    sources.append(resource)
                    assert compile_profile(resource).not_enforced == {}
            elif "profile" in resource.get("meta", {}):
                claiming.append(resource)
    definitions = Definitions(sources)
    assert len(sources) == 441
    assert len(claiming) == 12
    for resource in claiming:
        urls = resource["meta"]["profile"]
        assert validate(resource, profiles=urls, definitions=definitions) == []
        del resource["effectiveDateTime"]
        found = validate(resource, profiles=urls, definitions=definitions)
        assert "Observation.effective" in {each.expression[0] for each in found}


def test_a_profile_without_snapshot_needs_its_base_profile() -> None:
    child = profile("child", "Goal", baseDefinition=OURS + "goal")
    bad = {"subject": {"reference": "Group/a"}}
    alone = faults("goal", Definitions([child]), url=OURS + "child")
    assert alone == [("processing", "Goal.meta.profile")]
    both = Definitions([child, *REFERRAL_PROFILES])
    assert faults("goal", both, url=OURS + "child") == []
    assert faults("goal", both, url=OURS + "child", **bad) == [("value", "Goal.subject")]
    assert both.missing([OURS + "child"]) == (set(), set())
    assert Definitions([child]).missing([OURS + "child"]) == ({OURS + "goal"}, set())


@pytest.mark.parametrize(
    "more",
    [
        {"derivation": "specialization"},
        {"fhirVersion": "5.0.0"},
        {"type": "Person2"},
        {"differential": {"element": []}},
        {"kind": "logical"},
    ],
)
def test_what_is_no_profile_of_r4_is_refused_with_the_reason(more: dict[str, Any]) -> None:
    source = profile("odd", "Goal", **more)
    with pytest.raises(ProfileError):
        compile_profile(source)
    found = validate(RESOURCES["goal"], profiles=[OURS + "odd"], definitions=Definitions([source]))
    assert found
    assert found[0].diagnostics.endswith(".")


def test_a_profile_that_is_not_known_is_told_and_a_type_of_r4_is_known() -> None:
    found = validate(RESOURCES["goal"], profiles=["http://a"], definitions=Definitions())
    assert [(each.code.value, each.expression[0]) for each in found] == [
        ("not-found", "Goal.meta.profile")
    ]
    core = "http://hl7.org/fhir/StructureDefinition/"
    assert validate(RESOURCES["goal"], profiles=[core + "Goal", core + "DomainResource"]) == []
    wrong = validate(RESOURCES["goal"], profiles=[core + "Patient"])
    assert [each.code.value for each in wrong] == ["structure"]


def test_bindings_are_checked_by_strength_and_what_is_not_known_is_told() -> None:
    value_set = {
        "resourceType": "ValueSet",
        "url": "http://example.org/vs",
        "status": "active",
        "compose": {"include": [{"system": "http://a", "concept": [{"code": "x"}]}]},
    }

    def found(strength: str, concept: dict[str, Any], *sets: dict[str, Any]) -> list[str]:
        binding = {"strength": strength, "valueSet": "http://example.org/vs|1.0"}
        source = profile("bound", "Goal", element("Goal.description", binding=binding))
        known = Definitions([source], Terminology(value_sets=sets))
        resource = RESOURCES["goal"] | {"description": concept}
        issues = validate(resource, profiles=[OURS + "bound"], definitions=known, warnings=True)
        return [each.severity for each in issues if each.expression == ("Goal.description",)]

    good, bad = coded("http://a", "x"), coded("http://a", "y")
    assert found("required", good, value_set) == []
    assert found("required", bad, value_set) == ["error"]
    assert found("required", {"text": "x"}, value_set) == ["error"]
    assert found("extensible", bad, value_set) == ["warning"]
    assert found("preferred", bad, value_set) == []
    assert found("required", bad) == ["information"]


def test_slices_are_told_apart_by_presence_type_and_target() -> None:
    def counted(discriminator: dict[str, str], *slices: dict[str, Any]) -> list[str]:
        slicing = {"discriminator": [discriminator], "rules": "open"}
        source = profile(
            "sliced", "CareTeam", element("CareTeam.participant", slicing=slicing), *slices
        )
        participants = [
            {"member": {"reference": "Practitioner/a"}, "period": {"start": "2026"}},
            {"member": {"reference": "Patient/a"}},
            {"member": {"reference": "Patient/b"}},
        ]
        resource = {"resourceType": "CareTeam", "participant": participants}
        issues = validate(resource, profiles=[OURS + "sliced"], definitions=Definitions([source]))
        return [each.diagnostics.partition(":")[0] for each in issues]

    name = "CareTeam.participant"
    assert counted(
        {"type": "exists", "path": "period"},
        element(f"{name}:dated", max="1"),
        element(f"{name}:dated.period", min=1),
        element(f"{name}:undated", max="1"),
        element(f"{name}:undated.period", max="0"),
    ) == ["Give the slice undated of it 1 times at most"]
    patient = [
        {"code": "Reference", "targetProfile": ["http://hl7.org/fhir/StructureDefinition/Patient"]}
    ]
    assert counted(
        {"type": "type", "path": "member.resolve()"},
        element(f"{name}:self", max="1"),
        element(f"{name}:self.member", type=patient),
    ) == ["Give the slice self of it 1 times at most"]


def test_faults_of_structure_do_not_stop_a_profile() -> None:
    definitions = Definitions([*us_core(), *REFERRAL_PROFILES])
    for broken in (
        {"category": 3, "text": [], "subject": "x"},
        {"category": [None, 3, {"coding": {}}, {"coding": [3, None]}]},
        {"contained": [3, {"resourceType": 4}], "extension": [{"url": 3}, 4]},
        {"subject": {"reference": [None]}},
        {"subject": {"reference": "#a"}, "contained": {"id": "a"}},
    ):
        found = validate(
            RESOURCES["care-plan"] | broken, profiles=[OURS + "care-plan"], definitions=definitions
        )
        assert found
    assert validate(us_patient(extension=7, name={}), profiles=[US_CORE + "us-core-patient"],
                    definitions=definitions)  # fmt: skip
