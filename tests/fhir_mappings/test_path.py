"""Expressions of search parameters: what each construct yields, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from app.fhir_mappings.fhirpath.syntax import Member, Operation, TypeOperation
from app.fhir_mappings.path import (
    PathError,
    PathSyntaxError,
    compile_path,
    is_subtype,
    parse_path,
)


def values(expression: str, resource: dict[str, Any]) -> list[tuple[Any, str]]:
    return list(compile_path(expression, resource["resourceType"]).values(resource))


OBSERVATION: dict[str, Any] = {
    "resourceType": "Observation",
    "contained": [{"resourceType": "Patient", "id": "inside"}],
    "extension": [
        {"url": "http://a.example/x", "valueString": "one"},
        {"url": "http://a.example/y", "valueString": "two"},
    ],
    "subject": {"reference": "Patient/a"},
    "focus": [
        {"reference": "#inside"},
        {"reference": "https://elsewhere.example/fhir/Patient/b/_history/2"},
        {"reference": "Group/c"},
        {"type": "Patient", "identifier": {"value": "d"}},
        {"display": "somebody"},
    ],
    "valueCodeableConcept": {"text": "yes"},
    "component": [
        {"valueQuantity": {"value": 1}},
        {"valueString": "some"},
        {"valueQuantity": {"value": 2}},
    ],
}


def test_a_path_goes_through_every_repetition() -> None:
    patient = {
        "resourceType": "Patient",
        "name": [{"given": ["Ana", None, "Lea"]}, {"given": ["Eva"]}, {"text": "x"}],
    }
    assert values("Patient.name.given", patient) == [
        ("Ana", "string"),
        ("Lea", "string"),
        ("Eva", "string"),
    ]


def test_a_choice_yields_the_type_that_is_present() -> None:
    assert values("Observation.value", OBSERVATION) == [({"text": "yes"}, "CodeableConcept")]
    assert values("Observation.component.value", OBSERVATION) == [
        ({"value": 1}, "Quantity"),
        ({"value": 2}, "Quantity"),
        ("some", "string"),
    ]


@pytest.mark.parametrize(
    "expression",
    [
        "(Observation.component.value as Quantity)",
        "Observation.component.value.as(Quantity)",
        "Observation.component.value.ofType(Quantity)",
    ],
)
def test_a_cast_keeps_values_of_the_type(expression: str) -> None:
    assert values(expression, OBSERVATION) == [
        ({"value": 1}, "Quantity"),
        ({"value": 2}, "Quantity"),
    ]


def test_a_cast_keeps_types_that_specialize_the_one_named() -> None:
    assert is_subtype("canonical", "uri")
    assert not is_subtype("uri", "canonical")
    concept_map = {"resourceType": "ConceptMap", "sourceCanonical": "http://a.example/v"}
    assert values("(ConceptMap.source as uri)", concept_map) == [
        ("http://a.example/v", "canonical")
    ]


def test_a_path_goes_on_after_a_cast() -> None:
    assert values("(Observation.value as CodeableConcept).text", OBSERVATION) == [("yes", "string")]


def test_a_union_keeps_the_members_about_the_type() -> None:
    expression = "Condition.code | (Observation.value as CodeableConcept) | Observation.subject"
    assert [type_ for _, type_ in values(expression, OBSERVATION)] == [
        "CodeableConcept",
        "Reference",
    ]
    assert compile_path(expression, "Encounter").tracks == ()


def test_where_compares_an_element() -> None:
    patient = {
        "resourceType": "Patient",
        "telecom": [{"system": "email", "value": "a"}, {"system": "phone", "value": "b"}, {}],
    }
    found = values("Patient.telecom.where(system='email')", patient)
    assert found == [({"system": "email", "value": "a"}, "ContactPoint")]


def test_resolve_reads_the_type_from_the_reference() -> None:
    found = values("Observation.focus.where(resolve() is Patient)", OBSERVATION)
    assert [value for value, _ in found] == [
        OBSERVATION["focus"][0],
        OBSERVATION["focus"][1],
        OBSERVATION["focus"][3],
    ]


def test_extension_keeps_those_of_the_url() -> None:
    found = values("Observation.extension('http://a.example/y')", OBSERVATION)
    assert [value["valueString"] for value, _ in found] == ["two"]


def test_has_extension_is_asked_of_the_element_itself() -> None:
    url = "http://hl7.org/fhir/StructureDefinition/questionnaireresponse-isSubject"
    response = {
        "resourceType": "QuestionnaireResponse",
        "item": [
            {
                "extension": [{"url": url, "valueBoolean": True}],
                "answer": [{"valueReference": {"reference": "Patient/a"}}, {"valueString": "x"}],
            },
            {"answer": [{"valueReference": {"reference": "Patient/b"}}]},
        ],
    }
    expression = f"QuestionnaireResponse.item.where(hasExtension('{url}')).answer.value"
    assert values(f"{expression}.ofType(Reference)", response) == [
        ({"reference": "Patient/a"}, "Reference")
    ]


@pytest.mark.parametrize(
    ("deceased", "expected"),
    [
        ({}, False),
        ({"deceasedBoolean": False}, False),
        ({"deceasedBoolean": True}, True),
        ({"deceasedDateTime": "2015"}, True),
    ],
)
def test_a_statement_yields_a_boolean_also_where_nothing_is_present(
    deceased: dict[str, Any], expected: bool
) -> None:
    expression = "Patient.deceased.exists() and Patient.deceased != false"
    patient = {"resourceType": "Patient", **deceased}
    assert values(expression, patient) == [(expected, "boolean")]


def test_an_index_takes_one_and_a_resource_tells_its_own_type() -> None:
    bundle = {
        "resourceType": "Bundle",
        "entry": [
            {"resource": {"resourceType": "Composition", "id": "c"}},
            {"resource": {"resourceType": "Patient", "id": "p"}},
        ],
    }
    assert values("Bundle.entry[0].resource", bundle) == [
        ({"resourceType": "Composition", "id": "c"}, "Composition")
    ]


def test_a_name_without_a_type_begins_at_the_resource() -> None:
    plan = {"resourceType": "InsurancePlan", "name": "a", "alias": ["b"]}
    assert values("name | alias", plan) == [("a", "string"), ("b", "string")]


def test_a_supertype_stands_for_the_resource() -> None:
    tagged = {"resourceType": "Flag", "meta": {"tag": [{"code": "x"}]}}
    assert values("Resource.meta.tag", tagged) == [({"code": "x"}, "Coding")]


@pytest.mark.parametrize(
    "expression",
    [
        "Patient.nothing",
        "Nothing.name",
        "(Patient.name as Quantity)",
        "Patient.name.where(nothing='x')",
        "Patient.name.where(resolve() is Patient)",
        "Patient.name.first()",
        "Patient.name.where(family.exists() is Patient)",
        "'text'",
    ],
)
def test_what_the_structure_cannot_follow_is_refused(expression: str) -> None:
    with pytest.raises(PathError):
        compile_path(expression, "Patient")


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "Patient.",
        "Patient.name[x]",
        "(Patient",
        "Patient name",
        "Patient.name > 2",
        "%resource",
        "-Patient.name",
        "Patient.name[1.5]",
        "Patient.name.where(use = @2020)",
        "Patient.name or Patient.photo",
        "Patient.name.where($this = 'x')",
    ],
)
def test_what_is_outside_of_the_subset_is_no_syntax(expression: str) -> None:
    with pytest.raises(PathSyntaxError):
        parse_path(expression)


def test_a_cast_binds_tighter_than_a_union_and_a_union_than_a_comparison() -> None:
    name, alias = Member(None, "name"), Member(None, "alias")
    assert parse_path("name | alias as string") == Operation(
        "|", name, TypeOperation("as", alias, "string")
    )
    assert parse_path("name = name | alias") == Operation("=", name, Operation("|", name, alias))
