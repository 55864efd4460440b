"""Index rows: what each type of element is found by, and what it is not found by."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from app.errors import FhirError
from app.fhir_mappings import search_keys as keys
from app.fhir_mappings.index_rows import COLUMNS, IndexRows, extract
from app.fhir_mappings.json_text import parse
from app.fhir_mappings.path import extend
from app.fhir_mappings.registry import RESOURCE_TYPES
from app.fhir_mappings.row_writers import RowBuilder, writer
from app.fhir_mappings.search_parameters import parameters
from tests.official_examples import examples

BASE = ("https://records.example/fhir",)
LOINC = "http://loinc.org"


def tokens(resource: dict[str, Any]) -> set[int]:
    return set(extract(resource, BASE).tokens)


def strings(resource: dict[str, Any], code: str) -> set[tuple[str, str]]:
    row = keys.parameter_key(resource["resourceType"], code)
    return {(normal, exact) for key, normal, exact in extract(resource).strings if key == row}


def test_a_coding_is_found_by_its_three_forms() -> None:
    coding = {"system": LOINC, "code": "8480-6"}
    found = tokens({"resourceType": "Observation", "code": {"coding": [coding], "text": "x"}})
    for code in ("code", "combo-code"):
        assert keys.token_key("Observation", code, LOINC, "8480-6") in found
        assert keys.token_value_key("Observation", code, "8480-6") in found
        assert keys.token_system_key("Observation", code, LOINC) in found
        assert keys.token_key("Observation", code, "", "8480-6") not in found
        assert keys.token_value_key("Observation", code, "x") not in found
    assert keys.token_value_key("Observation", "component-code", "8480-6") not in found


def test_a_coding_without_system_is_found_as_having_none() -> None:
    found = tokens({"resourceType": "Observation", "code": {"coding": [{"code": "A"}]}})
    assert keys.token_key("Observation", "code", "", "A") in found
    assert keys.token_system_key("Observation", "code", "") not in found
    assert keys.token_value_key("Observation", "code", "a") not in found


def test_a_code_has_the_system_of_its_binding() -> None:
    found = tokens({"resourceType": "Observation", "status": "final"})
    system = "http://hl7.org/fhir/observation-status"
    assert keys.token_key("Observation", "status", system, "final") in found
    assert keys.token_value_key("Observation", "status", "final") in found
    assert keys.token_key("Observation", "status", "", "final") not in found


def test_a_code_of_a_system_outside_of_fhir_has_it_too() -> None:
    reference = {
        "resourceType": "DocumentReference",
        "content": [{"attachment": {"contentType": "text/plain"}}],
    }
    key = keys.token_key("DocumentReference", "contenttype", "urn:ietf:bcp:13", "text/plain")
    assert key in tokens(reference)


@pytest.mark.parametrize("active", [True, False])
def test_a_boolean_is_found_by_its_word(active: bool) -> None:
    found = tokens({"resourceType": "Patient", "active": active})
    assert (keys.token_value_key("Patient", "active", "true") in found) is active
    assert (keys.token_value_key("Patient", "active", "false") in found) is not active


def test_identifiers_and_contacts_are_found_by_system_and_value() -> None:
    found = tokens(
        {
            "resourceType": "Patient",
            "identifier": [{"system": "http://a.example/id", "value": "Ab|c"}],
            "telecom": [{"system": "phone", "value": "555"}],
        }
    )
    assert keys.token_key("Patient", "identifier", "http://a.example/id", "Ab|c") in found
    assert keys.token_value_key("Patient", "identifier", "ab|c") not in found
    assert keys.token_key("Patient", "phone", "phone", "555") in found
    assert keys.token_value_key("Patient", "telecom", "555") in found
    assert keys.token_value_key("Patient", "email", "555") not in found


def test_meta_is_found_in_every_type() -> None:
    meta = {
        "tag": [{"system": "http://a.example/t", "code": "x"}],
        "security": [{"system": "http://a.example/s", "code": "R"}],
        "profile": ["http://a.example/p|1.0"],
        "source": "http://a.example/source",
    }
    found = tokens({"resourceType": "Binary", "meta": meta})
    assert keys.token_key("Binary", "_tag", "http://a.example/t", "x") in found
    assert keys.token_key("Binary", "_security", "http://a.example/s", "R") in found
    assert keys.uri_key("Binary", "_profile", "http://a.example/p") in found
    assert keys.uri_key("Binary", "_profile", "http://a.example/p|1.0") in found
    assert keys.uri_key("Binary", "_source", "http://a.example/source") in found


@pytest.mark.parametrize(
    "text",
    ["Patient/a", "Patient/a/_history/2", "https://records.example/fhir/Patient/a"],
)
def test_a_local_reference_is_found_and_followed(text: str) -> None:
    rows = extract({"resourceType": "Condition", "subject": {"reference": text}}, BASE)
    for code in ("patient", "subject"):
        assert keys.reference_key("Condition", code, "Patient", "a") in rows.tokens
        assert (keys.parameter_key("Condition", code), "Patient", "a") in rows.references
    assert len(rows.references) == 2


def test_a_reference_to_another_server_is_found_by_its_address_and_not_followed() -> None:
    address = "https://elsewhere.example/fhir/Patient/a"
    rows = extract({"resourceType": "Condition", "subject": {"reference": address}}, BASE)
    assert keys.uri_key("Condition", "subject", address) in rows.tokens
    assert keys.uri_key("Condition", "patient", address) in rows.tokens
    assert keys.reference_key("Condition", "subject", "Patient", "a") not in rows.tokens
    assert rows.references == []


def test_a_logical_reference_is_found_by_its_identifier() -> None:
    identifier = {"system": "http://a.example/id", "value": "1"}
    found = tokens({"resourceType": "Condition", "subject": {"identifier": identifier}})
    name = keys.identifier_parameter("subject")
    assert keys.token_key("Condition", name, "http://a.example/id", "1") in found
    assert keys.presence_key("Condition", "subject") in found
    assert keys.presence_key("Condition", "patient") not in found


def test_a_contained_target_is_present_and_not_followed() -> None:
    rows = extract(
        {
            "resourceType": "Condition",
            "contained": [{"resourceType": "Patient", "id": "p"}],
            "subject": {"reference": "#p"},
        }
    )
    assert keys.presence_key("Condition", "patient") in rows.tokens
    assert rows.references == []


def test_a_canonical_is_found_with_and_without_version() -> None:
    url = "https://a.example/Questionnaire/q"
    found = tokens({"resourceType": "QuestionnaireResponse", "questionnaire": f"{url}|2"})
    assert keys.uri_key("QuestionnaireResponse", "questionnaire", url) in found
    assert keys.uri_key("QuestionnaireResponse", "questionnaire", f"{url}|2") in found
    assert keys.uri_key("QuestionnaireResponse", "questionnaire", f"{url}|3") not in found


def test_our_own_parameters_have_rows() -> None:
    task = {
        "resourceType": "Task",
        "output": [
            {"type": {"text": "x"}, "valueReference": {"reference": "DocumentReference/d"}},
            {"type": {"text": "x"}, "valueString": "y"},
        ],
    }
    assert keys.reference_key("Task", "output", "DocumentReference", "d") in tokens(task)
    request = {"resourceType": "ServiceRequest", "supportingInfo": [{"reference": "Binary/b"}]}
    key = keys.reference_key("ServiceRequest", "supporting-info", "Binary", "b")
    assert key in tokens(request)


def test_an_extension_is_found_by_its_value() -> None:
    url = "http://hl7.org/fhir/StructureDefinition/patient-mothersMaidenName"
    patient = {
        "resourceType": "Patient",
        "extension": [{"url": url, "valueString": "Pérez"}, {"url": "x:y", "valueString": "no"}],
    }
    assert strings(patient, "mothersMaidenName") == {("perez", "Pérez")}


def test_dates_have_rows_of_ranges() -> None:
    rows = extract(
        {
            "resourceType": "Observation",
            "effectivePeriod": {"start": "2015-01-02"},
            "valueDateTime": "2015-03",
        }
    )
    assert set(rows.dates) == {
        (keys.parameter_key("Observation", "date"), datetime(2015, 1, 2, tzinfo=UTC), None),
        (
            keys.parameter_key("Observation", "value-date"),
            datetime(2015, 3, 1, tzinfo=UTC),
            datetime(2015, 4, 1, tzinfo=UTC),
        ),
    }


def test_all_parts_of_names_and_addresses_are_found() -> None:
    patient = {
        "resourceType": "Patient",
        "name": [{"family": "Ñuñez", "given": ["Ana", "Lea"], "use": "official"}],
        "address": [{"line": ["Calle 1"], "city": "León", "use": "home"}],
    }
    assert strings(patient, "name") == {("nunez", "Ñuñez"), ("ana", "Ana"), ("lea", "Lea")}
    assert strings(patient, "given") == {("ana", "Ana"), ("lea", "Lea")}
    assert strings(patient, "address") == {("calle 1", "Calle 1"), ("leon", "León")}
    assert strings(patient, "address-city") == {("leon", "León")}


def test_presence_is_recorded_for_every_type_of_parameter() -> None:
    found = tokens(
        {"resourceType": "Observation", "code": {"text": "x"}, "valueQuantity": {"value": 1}}
    )
    assert keys.presence_key("Observation", "code") in found
    assert keys.presence_key("Observation", "value-quantity") in found
    assert keys.presence_key("Observation", "value-string") not in found
    assert keys.presence_key("Observation", "date") not in found


def test_a_living_patient_is_found_without_the_element() -> None:
    assert keys.token_value_key("Patient", "deceased", "false") in tokens(
        {"resourceType": "Patient"}
    )
    assert keys.token_value_key("Patient", "deceased", "true") in tokens(
        {"resourceType": "Patient", "deceasedDateTime": "2015"}
    )


def test_id_and_last_update_are_columns_and_have_no_rows() -> None:
    flag = {"resourceType": "Flag", "id": "a", "meta": {"lastUpdated": "2015-01-01T00:00:00Z"}}
    assert extract(flag) == IndexRows([], [], [], [])


def test_rows_are_distinct() -> None:
    coding = {"system": LOINC, "code": "a"}
    rows = extract(
        {
            "resourceType": "Observation",
            "category": [{"coding": [coding, coding]}, {"coding": [coding]}],
            "performer": [{"reference": "Group/a"}, {"reference": "Group/a"}],
        }
    )
    assert len(rows.tokens) == len(set(rows.tokens))
    assert len(rows.references) == 1


NOT_COMPARED = {
    ("date", "Age"): "An age is no time.",
    ("date", "Range"): "A range of ages is no time.",
    ("date", "string"): "Words are no time.",
    ("reference", "Attachment"): "Consent.source can hold the document itself.",
}


def test_every_element_that_a_built_parameter_names_gets_rows() -> None:
    sample: dict[str, Any] = {
        "CodeableConcept": {"coding": [{"code": "a"}]},
        "Coding": {"code": "a"},
        "Identifier": {"value": "a"},
        "ContactPoint": {"value": "a"},
        "Reference": {"reference": "Group/a"},
        "Resource": {"resourceType": "Flag", "id": "a"},
        "Period": {"start": "2015"},
        "Timing": {"event": ["2015"]},
        "HumanName": {"text": "a"},
        "Address": {"text": "a"},
        "boolean": True,
        "decimal": 1,
        "integer": 1,
        "positiveInt": 1,
        "Quantity": {"value": 1},
        "Age": {"value": 1},
        "Duration": {"value": 1},
        "Money": {"value": 1},
        "Range": {"low": {"value": 1}},
        "SampledData": {"origin": {"value": 1}, "data": "1 2"},
        "Location.position": {"latitude": 1, "longitude": 2},
        "date": "2015",
        "dateTime": "2015",
        "instant": "2015-01-01T00:00:00Z",
    }
    silent = set()
    for name in RESOURCE_TYPES:
        for each in parameters(name).values():
            if each.type == "composite":
                continue
            for track in each.path(name).tracks:
                if track.type == "Extension":
                    assert extend(track, "value")
                    continue
                rows = RowBuilder(())
                write = writer(name, each.code, each.type, track)
                if write is not None:
                    write(sample.get(track.type, "a"), rows)
                if not (rows.tokens or rows.dates or rows.strings or rows.numbers):
                    silent.add((each.type, track.type))
    assert silent == set(NOT_COMPARED)


def test_official_examples_are_indexed_as_their_expressions_evaluate() -> None:
    counts = Counter[str]()
    wrong = set()
    for position, (_, data) in enumerate(examples()):
        try:
            resource = parse(data, max_depth=100)
        except FhirError:  # an example that is not R4 is the business of another test
            continue
        rows = extract(resource)
        counts["tokens"] += len(rows.tokens)
        counts["references"] += len(rows.references)
        counts["dates"] += len(rows.dates)
        counts["strings"] += len(rows.strings)
        if position % 8:
            continue
        name = resource["resourceType"]
        for each in parameters(name).values():
            if each.code in COLUMNS or each.type == "composite":
                continue
            present = any(
                type_ != "Extension" or len(value) > 1
                for value, type_ in each.path(name).values(resource)
            )
            if present is not (keys.presence_key(name, each.code) in rows.tokens):
                wrong.add((name, each.code))
    assert wrong == set()
    assert len(counts) == 4
    assert min(counts.values()) > 1000
