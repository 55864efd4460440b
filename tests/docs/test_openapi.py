"""The OpenAPI document is valid, complete and true to the schemas that it shows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from app.fhir_mappings.validate import validate
from app.main import create_app
from app.settings import Settings
from tools.openapi.document import FILE, document, text

Json = dict[str, Any]


@cache
def made() -> Json:
    return document(create_app(Settings.model_construct(), "postgresql://nowhere"))


def described() -> Iterator[tuple[str, str, Json]]:
    for path, item in made()["paths"].items():
        for method, operation in item.items():
            yield method, path, operation


def test_the_committed_document_is_the_one_that_the_routes_give() -> None:
    # Not compared by ==: the difference of two texts of this length takes pytest minutes to show.
    same = FILE.read_text() == text()
    assert same, "openapi/openapi.json is not what the routes give: run make openapi"


def test_the_document_is_valid_openapi_3_1() -> None:
    OpenAPIV31SpecValidator(made()).validate()


def test_every_operation_says_what_it_does_and_what_it_answers() -> None:
    identifiers = [operation["operationId"] for _, _, operation in described()]
    assert len(set(identifiers)) == len(identifiers)
    for method, path, operation in described():
        where = f"{method} {path}"
        assert operation["summary"], where
        assert operation["description"], where
        assert len(operation["tags"]) == 1, where
        assert any(status.startswith("2") for status in operation["responses"]), where


def test_every_operation_but_the_open_ones_asks_for_a_token() -> None:
    without = {path for _, path, operation in described() if not operation["security"]}
    assert "/fhir/metadata" in without
    assert {path for path in without if path.startswith("/fhir")} == {"/fhir/metadata"}


def test_every_error_of_a_fhir_operation_is_an_operation_outcome() -> None:
    answers = made()["components"]["responses"]
    for method, path, operation in described():
        for status, answer in operation["responses"].items():
            if path.startswith("/fhir") and status.startswith("4"):
                shown = answers[answer["$ref"].rpartition("/")[2]]["content"]
                schema = shown["application/fhir+json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/OperationOutcome"}, (method, path)


def test_the_operations_that_a_newcomer_needs_have_examples() -> None:
    shown = {path for _, path, operation in described() if '"examples"' in json.dumps(operation)}
    needed = {"/fhir", "/fhir/{type}", "/fhir/{type}/{id}", "/fhir/Task/{id}/$referral-package"}
    assert needed <= shown


def _resolved(schema: Json) -> Draft202012Validator:
    components = {"components": made()["components"]}
    return Draft202012Validator(components | schema)


@pytest.mark.parametrize("name", sorted(made()["components"]["examples"]))
def test_every_example_satisfies_its_schema_and_is_valid_r4(name: str) -> None:
    value = made()["components"]["examples"][name]["value"]
    if not isinstance(value, dict):
        return
    type_ = value["resourceType"]
    validator = _resolved({"$ref": f"#/components/schemas/{type_}"})
    assert [error.message for error in validator.iter_errors(value)] == []
    assert [i for i in validate(value) if i.severity == "error"] == []


def test_a_schema_refuses_what_r4_refuses() -> None:
    validator = _resolved({"$ref": "#/components/schemas/Task"})
    assert not validator.is_valid({"resourceType": "Task", "status": "accepted"})
    assert not validator.is_valid({"resourceType": "Task", "status": "so-so", "intent": "order"})
    assert validator.is_valid({"resourceType": "Task", "status": "accepted", "intent": "order"})


def test_the_document_is_small_enough_to_open_at_once() -> None:
    assert len(json.dumps(made())) < 1_000_000
