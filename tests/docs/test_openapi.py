"""The OpenAPI document is valid, complete and true to the schemas that it shows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from app.fhir_mappings import json_text
from app.fhir_mappings.validate import validate
from app.main import create_app
from app.settings import Settings
from tools.openapi import parts, shown
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


def test_every_operation_links_to_a_page_of_docs_and_a_fhir_one_to_its_section_of_r4() -> None:
    for method, path, operation in described():
        (page,) = re.findall(r"\]\(/docs/#/pages/([^)]+)\)", operation["description"])
        assert (FILE.parents[1] / "docs" / page).exists(), (method, path)
        if path.startswith("/fhir"):
            url = operation["externalDocs"]["url"]
            assert url.startswith("https://hl7.org/fhir/R4/"), (method, path)
            assert url.endswith(".html") or ".html#" in url, (method, path)


def test_every_operation_is_filed_under_a_task_that_is_told_of() -> None:
    told = {each["name"]: each["description"] for each in made()["tags"]}
    assert told.keys() <= parts.TAGS.keys()
    assert {"records", "referrals", "questionnaires", "consent", "administration"} <= told.keys()


def test_no_operation_takes_a_parameter_that_is_not_named() -> None:
    """But searches, whose parameters are those of a type: the CapabilityStatement lists them."""
    for method, path, operation in described():
        for each in operation.get("parameters", ()):
            found = made()["components"]["parameters"].get(
                each.get("$ref", "").rpartition("/")[2], each
            )
            assert found["description"], (method, path)
            assert "additionalProperties" not in found["schema"] or found["name"] == "parameters"


@pytest.mark.parametrize(
    ("method", "path", "disclosing"),
    [
        *(("get", path, True) for path in (
            "/fhir/{type}/{id}", "/fhir/{type}/{id}/_history/{version}", "/fhir/{type}/{id}/_history",
            "/fhir/{type}", "/fhir", "/fhir/Patient/{id}/$everything", "/fhir/Patient/{id}/$summary",
            "/fhir/Task/{id}/$referral-package", "/fhir/Patient/{id}/{type}",
        )),
        *(("post", path, True) for path in ("/fhir", "/fhir/{type}/_search", "/fhir/Patient/$match")),
        ("put", "/fhir/{type}/{id}", True),
        ("get", "/fhir/metadata", False),
        ("get", "/fhir/AuditEvent", False),
        ("get", "/fhir/ValueSet/$expand", False),
        ("delete", "/fhir/{type}/{id}", False),
        ("post", "/oauth/token", False),
    ],
)  # fmt: skip
def test_what_may_disclose_protected_records_tells_of_the_notice_and_the_scope(
    method: str, path: str, disclosing: bool
) -> None:
    answers = made()["paths"][path][method]["responses"]
    good = [answer for status, answer in answers.items() if status.startswith("2")]
    for answer in good:
        headers = answer.get("headers", {}).keys()
        assert ({"Redisclosure-Notice", "Consent-Scope"} <= headers) == disclosing
    refused = [answer for status, answer in answers.items() if status.startswith("4")]
    assert not any("Redisclosure-Notice" in answer.get("headers", {}) for answer in refused)


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


def bodies() -> Iterator[tuple[str, Json]]:
    """Every body of a request and of an answer of success, but those in XML: where it stands, and it."""
    for method, path, operation in described():
        found = {"request": operation.get("requestBody", {})} | operation["responses"]
        for what, holder in found.items():
            for media, content in holder.get("content", {}).items():
                if what[0] in "r2" and media != parts.XML:
                    yield f"{method} {path}: {what} as {media}", content


def test_every_body_that_is_sent_or_answered_has_an_example() -> None:
    assert [where for where, content in bodies() if not content.get("examples")] == []


def test_every_answer_of_the_demo_is_shown() -> None:
    known = {f"{method} {path}" for method, path, _ in described()}
    assert shown.answers().keys() <= known
    assert shown.examples().keys() <= made()["components"]["examples"].keys()


def _resolved(schema: Json) -> Draft202012Validator:
    components = {"components": made()["components"]}
    return Draft202012Validator(components | schema)


JUDGED: Final = {"postFhirTypeValidate.sent"}
"""Examples of what is wrong: a resource that $validate finds fault with."""


@pytest.mark.parametrize("name", sorted(made()["components"]["examples"].keys() - JUDGED))
def test_every_example_satisfies_its_schema_and_is_valid_r4(name: str) -> None:
    value = made()["components"]["examples"][name]["value"]
    if not isinstance(value, dict) or "resourceType" not in value:
        return
    type_ = value["resourceType"]
    known = type_ if type_ in made()["components"]["schemas"] else "Resource"
    validator = _resolved({"$ref": f"#/components/schemas/{known}"})
    assert [error.message for error in validator.iter_errors(value)] == []
    sent = json_text.parse(json.dumps(value).encode(), max_depth=json_text.MAX_DEPTH_LIMIT)
    assert [i for i in validate(sent) if i.severity == "error"] == []


def test_every_example_is_one_of_what_its_operation_takes_or_gives() -> None:
    wrong = []
    for where, content in bodies():
        validator = _resolved(content["schema"])
        for name in content["examples"].keys() - JUDGED:
            value = made()["components"]["examples"][name]["value"]
            wrong += [(where, name, each.message) for each in validator.iter_errors(value)]
    assert not wrong, wrong


def test_a_schema_refuses_what_r4_refuses() -> None:
    validator = _resolved({"$ref": "#/components/schemas/Task"})
    assert not validator.is_valid({"resourceType": "Task", "status": "accepted"})
    assert not validator.is_valid({"resourceType": "Task", "status": "so-so", "intent": "order"})
    assert validator.is_valid({"resourceType": "Task", "status": "accepted", "intent": "order"})


def test_the_document_is_small_enough_to_open_at_once() -> None:
    assert len(json.dumps(made())) < 1_000_000
