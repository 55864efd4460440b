"""CapabilityStatement: what is registered, all of it, and valid."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from fhir.resources.R4B.capabilitystatement import CapabilityStatement

from app.fhir_mappings.capability import (
    OperationCapability,
    SearchParameterCapability,
    SecurityCapability,
    TypeCapability,
    capability_statement,
)
from app.fhir_mappings.json_text import JsonObject, dump, parse
from app.fhir_mappings.registry import RESOURCE_TYPES
from app.fhir_mappings.validate import validate

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
BASE = "https://example.org/fhir"

TYPE_INTERACTIONS = (
    "read",
    "vread",
    "update",
    "patch",
    "delete",
    "history-instance",
    "history-type",
    "create",
    "search-type",
)

PATIENT = TypeCapability(
    interactions=TYPE_INTERACTIONS,
    search_parameters=(
        SearchParameterCapability(
            "birthdate",
            "date",
            "http://hl7.org/fhir/SearchParameter/individual-birthdate",
            "To the day",
        ),
        SearchParameterCapability("identifier", "token"),
    ),
    search_include=("Patient:organization",),
    search_rev_include=("Observation:subject",),
    operations=(
        OperationCapability(
            "everything", "http://hl7.org/fhir/OperationDefinition/Patient-everything"
        ),
    ),
    supported_profiles=("http://example.org/StructureDefinition/patient",),
    reference_policy=("literal", "local"),
    versioning="versioned-update",
    read_history=True,
    update_create=True,
    conditional_create=True,
    conditional_read="full-support",
    conditional_update=True,
    conditional_delete="single",
    documentation="Patients that have consented",
)


def statement(**types: TypeCapability) -> JsonObject:
    return capability_statement(
        base_url=BASE,
        software_version="0.1.0",
        date=NOW,
        types=types,
        security=SecurityCapability(
            token_endpoint="https://example.org/oauth/token",
            authorization_endpoint="https://example.org/oauth/authorize",
        ),
        system_interactions=("transaction", "batch", "history-system", "search-system"),
        system_operations=(
            OperationCapability("export", "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/x"),
        ),
        patch_formats=("application/json-patch+json",),
    )


def test_the_statement_is_valid_by_walker_and_typed_model() -> None:
    made = statement(Patient=PATIENT, Observation=TypeCapability(("read",)))
    assert validate(parse(dump(made), max_depth=50)) == []
    model = CapabilityStatement.model_validate(made)
    resources = model.model_dump()["rest"][0]["resource"]
    assert [each["type"] for each in resources] == ["Observation", "Patient"]


def test_a_statement_of_nothing_and_of_every_type_is_valid() -> None:
    for types in ({}, dict.fromkeys(RESOURCE_TYPES, TypeCapability(("read",)))):
        made = capability_statement(base_url=BASE, software_version="1", date=NOW, types=types)
        assert validate(parse(dump(made), max_depth=50)) == []


def test_a_type_is_told_as_it_is_registered() -> None:
    rest = statement(Patient=PATIENT)["rest"][0]
    assert rest["resource"] == [
        {
            "type": "Patient",
            "profile": "http://hl7.org/fhir/StructureDefinition/Patient",
            "supportedProfile": ["http://example.org/StructureDefinition/patient"],
            "documentation": "Patients that have consented",
            "interaction": [{"code": code} for code in TYPE_INTERACTIONS],
            "versioning": "versioned-update",
            "readHistory": True,
            "updateCreate": True,
            "conditionalCreate": True,
            "conditionalRead": "full-support",
            "conditionalUpdate": True,
            "conditionalDelete": "single",
            "referencePolicy": ["literal", "local"],
            "searchInclude": ["Patient:organization"],
            "searchRevInclude": ["Observation:subject"],
            "searchParam": [
                {
                    "name": "birthdate",
                    "definition": "http://hl7.org/fhir/SearchParameter/individual-birthdate",
                    "type": "date",
                    "documentation": "To the day",
                },
                {"name": "identifier", "type": "token"},
            ],
            "operation": [
                {
                    "name": "everything",
                    "definition": "http://hl7.org/fhir/OperationDefinition/Patient-everything",
                }
            ],
        }
    ]


def test_what_is_not_registered_is_not_told() -> None:
    rest = statement(Observation=TypeCapability(("read",)))["rest"][0]
    assert rest["resource"] == [
        {
            "type": "Observation",
            "profile": "http://hl7.org/fhir/StructureDefinition/Observation",
            "interaction": [{"code": "read"}],
            "versioning": "versioned",
            "readHistory": False,
            "updateCreate": False,
            "conditionalCreate": False,
            "conditionalRead": "not-supported",
            "conditionalUpdate": False,
            "conditionalDelete": "not-supported",
        }
    ]


def test_types_are_in_alphabetical_order() -> None:
    made = statement(Patient=PATIENT, Account=TypeCapability(("read",)))
    assert [each["type"] for each in made["rest"][0]["resource"]] == ["Account", "Patient"]


def test_security_names_the_smart_endpoints_that_are_there() -> None:
    security = statement()["rest"][0]["security"]
    assert security["service"][0]["coding"][0]["code"] == "SMART-on-FHIR"
    assert security["extension"] == [
        {
            "url": "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris",
            "extension": [
                {"url": "token", "valueUri": "https://example.org/oauth/token"},
                {"url": "authorize", "valueUri": "https://example.org/oauth/authorize"},
            ],
        }
    ]


def test_a_search_parameter_registered_twice_is_refused() -> None:
    twice = TypeCapability(("read",), (SearchParameterCapability("a", "token"),) * 2)
    with pytest.raises(ValueError, match="cpb-12"):
        statement(Patient=twice)
