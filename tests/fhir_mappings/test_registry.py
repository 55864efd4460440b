"""Registry: names, stored numbers, directory types."""

from __future__ import annotations

import pytest

from app.fhir_mappings import registry
from app.fhir_mappings.structure import definition, type_names


def test_all_146_concrete_resource_types_are_registered() -> None:
    concrete = [
        name
        for name in type_names()
        if definition(name).kind == "resource" and not definition(name).abstract
    ]
    assert list(registry.RESOURCE_TYPES) == concrete
    assert len(registry.RESOURCE_TYPES) == 146


def test_type_codes_never_change() -> None:
    # Rows hold these numbers. The first assignment was alphabetical; a type of a later release
    # gets a number above 146, and nothing here may move.
    first_assignment = {name: 1 + n for n, name in enumerate(registry.RESOURCE_TYPES)}
    assert {name: registry.type_code(name) for name in registry.RESOURCE_TYPES} == first_assignment
    assert (registry.type_code("Account"), registry.type_code("VisionPrescription")) == (1, 146)
    assert registry.type_code("Patient") == 103


def test_type_name_is_the_inverse_of_type_code() -> None:
    for name in registry.RESOURCE_TYPES:
        assert registry.type_name(registry.type_code(name)) == name


@pytest.mark.parametrize("name", ["patient", "Resource", "DomainResource", "HumanName", "", "Foo"])
def test_other_names_are_no_resource_types(name: str) -> None:
    assert not registry.is_resource_type(name)
    with pytest.raises(KeyError):
        registry.type_code(name)


def test_an_unknown_type_code_has_no_name() -> None:
    with pytest.raises(KeyError):
        registry.type_name(0)


def test_directory_types_are_resource_types_with_a_reason_each() -> None:
    assert set(registry.RESOURCE_TYPES) > registry.DIRECTORY_TYPES
    assert all(reason.endswith(".") for reason in registry.DIRECTORY_REASONS.values())


@pytest.mark.parametrize(
    "name",
    [
        "AuditEvent",
        "Basic",
        "Binary",
        "Bundle",
        "Composition",
        "Consent",
        "DocumentReference",
        "Group",
        "List",
        "Media",
        "MessageHeader",
        "Observation",
        "Parameters",
        "Patient",
        "Person",
        "Provenance",
        "QuestionnaireResponse",
        "RelatedPerson",
        "Specimen",
        "Subscription",
        "Task",
    ],
)
def test_types_that_may_tell_of_a_person_are_not_directory(name: str) -> None:
    assert name not in registry.DIRECTORY_TYPES


def test_no_type_that_must_have_a_patient_is_directory() -> None:
    for name in registry.DIRECTORY_TYPES:
        for slot in definition(name).slots.values():
            only_people = {"Patient", "Group", "RelatedPerson"}.issuperset(slot.targets)
            assert not (slot.required and slot.targets and only_people), (name, slot.element)


def test_patient_compartment_names_parameters_of_resource_types() -> None:
    assert registry.PATIENT_COMPARTMENT["Observation"] == ("subject", "performer")
    assert set(registry.PATIENT_COMPARTMENT) < set(registry.RESOURCE_TYPES)
    assert "Task" not in registry.PATIENT_COMPARTMENT
