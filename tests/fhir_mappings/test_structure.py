"""Structure: the data is what the official definitions say, and what the tool makes of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from app.fhir_mappings.structure import (
    Slot,
    definition,
    narrative_names,
    presence_rules,
    type_names,
    unexpanded,
    value_set,
)
from tests.official_examples import tarball
from tools.build_structure import DATA, build, known_numbers, resource_types
from tools.existence_rules import existence_rule


def test_a_backbone_element_is_a_type_of_its_own() -> None:
    assert definition("Patient").slots["contact"] == Slot(
        element="contact", type="Patient.contact", many=True, required=False
    )
    contact = definition("Patient.contact")
    assert contact.kind == "backbone"
    assert contact.slots["gender"].systems == ("http://hl7.org/fhir/administrative-gender",)


def test_a_choice_element_has_a_slot_for_each_type() -> None:
    slots = definition("Observation").slots
    assert slots["valueQuantity"] == Slot(
        element="value", type="Quantity", many=False, required=False, choice=True
    )
    assert "value" not in slots
    assert "value[x]" not in slots


def test_a_required_choice_element_is_required_in_each_slot() -> None:
    slots = definition("MedicationRequest").slots
    assert slots["medicationReference"].required
    assert slots["medicationReference"].targets == ("Medication",)
    assert slots["medicationCodeableConcept"].targets == ()


def test_a_content_reference_is_resolved_to_the_path_it_names() -> None:
    assert definition("Questionnaire.item").slots["item"].type == "Questionnaire.item"
    assert definition("Bundle.entry").slots["link"].type == "Bundle.link"


def test_a_reference_to_any_resource_has_no_targets() -> None:
    assert definition("Provenance").slots["target"].targets == ()
    assert definition("Patient").slots["managingOrganization"].targets == ("Organization",)


def test_ids_have_the_type_that_the_text_of_r4_gives_them() -> None:
    assert definition("Patient").slots["id"].type == "id"
    assert definition("HumanName").slots["id"].type == "string"
    assert definition("Extension").slots["url"].type == "uri"


def test_resources_in_resources_have_the_type_resource() -> None:
    assert definition("Patient").slots["contained"].type == "Resource"
    assert definition("Bundle.entry").slots["resource"].type == "Resource"


def test_every_slot_leads_to_a_type() -> None:
    for name in type_names():
        for slot in definition(name).slots.values():
            assert definition(slot.type).name == slot.type


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(KeyError):
        definition("Pateint")


def test_value_sets_of_required_bindings_are_expanded_by_system() -> None:
    systems = value_set("http://hl7.org/fhir/ValueSet/task-intent")
    assert systems is not None
    assert {system: set(codes) for system, codes in systems.items()} == {
        "http://hl7.org/fhir/task-intent": {"unknown"},
        "http://hl7.org/fhir/request-intent": {
            "proposal",
            "plan",
            "order",
            "original-order",
            "reflex-order",
            "filler-order",
            "instance-order",
            "option",
        },
    }


def test_value_sets_that_cannot_be_expanded_are_listed_with_a_reason() -> None:
    assert set(unexpanded()) == {
        "http://hl7.org/fhir/ValueSet/currencies",
        "http://hl7.org/fhir/ValueSet/mimetypes",
        "http://hl7.org/fhir/ValueSet/ucum-units",
        "http://loinc.org/vs/LL379-9",
    }
    assert value_set("http://hl7.org/fhir/ValueSet/mimetypes") is None


def test_narrative_names_leave_out_what_runs() -> None:
    elements, attributes = narrative_names()
    assert "table" in elements
    assert {"script", "form", "iframe", "object", "link", "base"}.isdisjoint(elements)
    assert not [name for name in attributes if name.startswith("on")]


def test_presence_rules_name_elements_that_the_type_has() -> None:
    for name in type_names():
        known = {slot.element for slot in definition(name).slots.values()}
        for rule in presence_rules(name):
            assert known.issuperset(rule.elements), (name, rule.key)


@pytest.mark.parametrize(
    ("expression", "rule"),
    [
        ("extension.exists() != value.exists()", ("exactly_one", ["extension", "value"])),
        ("data.empty() or contentType.exists()", ("requires", ["data", "contentType"])),
        ("age.exists() or estimatedAge.empty()", ("requires", ["estimatedAge", "age"])),
        ("emptyReason.empty() or entry.empty()", ("at_most_one", ["emptyReason", "entry"])),
        ("start.exists() = end.exists()", ("all_or_none", ["start", "end"])),
        ("(answer.exists() and item.exists()).not()", ("at_most_one", ["answer", "item"])),
        ("(identifier.count() + name.count()) > 0", ("any_of", ["identifier", "name"])),
        ("comparator.empty()", ("none_of", ["comparator"])),
        ("low.empty() or high.empty() or (low <= high)", None),
        ("contained.contained.empty()", None),
    ],
)
def test_rules_of_presence_are_read_from_fhirpath(
    expression: str, rule: tuple[str, list[str]] | None
) -> None:
    assert existence_rule(expression) == rule


def test_the_committed_data_is_what_the_tool_makes_of_the_official_package() -> None:
    made = build(tarball(), known_numbers())
    assert len(made) == 5
    for name, content in made.items():
        assert (DATA / name).read_text() == content, f"run tools/build_structure.py: {name}"


def test_the_tool_never_reassigns_a_number() -> None:
    types = {name: {"kind": "resource"} for name in ("Alpha", "Beta", "Gamma")}
    assert resource_types(types, {"Beta": 7}) == {"Beta": 7, "Alpha": 8, "Gamma": 9}


def test_loading_the_definitions_is_quick_and_lazy() -> None:
    # The data is parsed at the first question, not at import: a start without writes needs none.
    program = (
        "import app.fhir_mappings.validate\n"
        "from app.fhir_mappings import structure\n"
        "assert structure._data.cache_info().currsize == 0\n"
        "structure.definition('Patient')\n"
        "assert structure.definition.cache_info().currsize == 1\n"
    )
    root = Path(__file__).parent.parent.parent
    subprocess.run([sys.executable, "-c", program], check=True, cwd=root)
