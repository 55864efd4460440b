"""FHIRPath Patch on resources, without a server (hl7.org/fhir/R4/fhirpatch.html)."""

from __future__ import annotations

from typing import Any

import pytest

from app.errors import FhirError
from app.fhir_mappings.fhirpath_patch import fhirpath_patch
from app.fhir_mappings.validate import validate

PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "p",
    "active": True,
    "name": [
        {"use": "official", "family": "A", "given": ["x", "y"], "_given": [None, {"id": "second"}]},
        {"use": "nickname", "family": "B"},
    ],
    "contact": [{"name": {"text": "other"}}],
    "deceasedBoolean": False,
    "identifier": [{"system": "urn:a", "value": "1"}, {"system": "urn:b", "value": "2"}],
    "extension": [{"url": "http://example.org/e", "valueString": "old"}],
}


def operation(**parts: Any) -> dict[str, Any]:
    """An operation; a part's value is the typed value itself, or a whole part given as a dict of it."""
    made = []
    for name, value in parts.items():
        if isinstance(value, dict):
            made.append({"name": name} | value)
        elif isinstance(value, int):
            made.append({"name": name, "valueInteger": value})
        else:
            kind = "valueCode" if name == "type" else "valueString"
            made.append({"name": name, kind: value})
    return {"name": "operation", "part": made}


def patched(*operations: dict[str, Any]) -> dict[str, Any]:
    document = {"resourceType": "Parameters", "parameter": list(operations)}
    assert validate(document) == []
    return fhirpath_patch(document)(PATIENT)


def test_add_fills_an_absent_element_and_appends_to_a_list() -> None:
    made = patched(
        operation(type="add", path="Patient", name="birthDate", value={"valueDate": "1990-01-01"}),
        operation(type="add", path="Patient.name[1]", name="given", value={"valueString": "z"}),
        operation(
            type="add",
            path="Patient.name.where(use = 'official')",
            name="given",
            value={"valueString": "w"},
        ),
        operation(
            type="add",
            path="Patient",
            name="maritalStatus",
            value={"valueCodeableConcept": {"text": "m"}},
        ),
    )
    assert made["birthDate"] == "1990-01-01"
    assert made["name"][1]["given"] == ["z"]
    assert made["name"][0]["given"] == ["x", "y", "w"]
    assert made["name"][0]["_given"] == [None, {"id": "second"}, None]
    assert validate(made) == []


def test_add_builds_an_element_of_its_own_from_parts() -> None:
    contact = {
        "part": [
            {"name": "name", "valueHumanName": {"family": "C"}},
            {"name": "relationship", "valueCodeableConcept": {"text": "sister"}},
        ]
    }
    made = patched(operation(type="add", path="Patient", name="contact", value=contact))
    assert made["contact"][1] == {"name": {"family": "C"}, "relationship": [{"text": "sister"}]}
    assert validate(made) == []


def test_insert_move_and_delete_work_on_lists_and_keep_extensions_aligned() -> None:
    made = patched(
        operation(
            type="insert",
            path="Patient.identifier",
            index=0,
            value={"valueIdentifier": {"value": "0"}},
        ),
        operation(type="move", path="Patient.identifier", source=2, destination=0),
        operation(type="delete", path="Patient.name.where(family = 'B')"),
        operation(type="move", path="Patient.name[0].given", source=1, destination=0),
        operation(type="delete", path="Patient.name[0].given[1]"),
        operation(type="delete", path="Patient.contact[0]"),
        operation(type="delete", path="Patient.photo"),
    )
    assert [each["value"] for each in made["identifier"]] == ["2", "0", "1"]
    assert made["name"] == [
        {"use": "official", "family": "A", "given": ["y"], "_given": [{"id": "second"}]}
    ]
    assert "contact" not in made
    assert validate(made) == []


def test_replace_changes_a_value_also_to_another_type_of_a_choice() -> None:
    made = patched(
        operation(type="replace", path="Patient.active", value={"valueBoolean": False}),
        operation(type="replace", path="Patient.deceased", value={"valueDateTime": "2020"}),
        operation(
            type="replace",
            path="Patient.extension('http://example.org/e').value",
            value={"valueString": "new"},
        ),
        operation(
            type="replace",
            path="Patient.identifier.where(system = 'urn:b').value",
            value={"valueString": "3"},
        ),
        operation(type="replace", path="Patient.name.last().family", value={"valueString": "Z"}),
    )
    assert made["active"] is False
    assert "deceasedBoolean" not in made
    assert made["deceasedDateTime"] == "2020"
    assert made["extension"][0]["valueString"] == "new"
    assert made["identifier"][1]["value"] == "3"
    assert made["name"][1]["family"] == "Z"
    assert PATIENT["active"] is True


@pytest.mark.parametrize(
    ("status", "bad"),
    [
        (422, operation(type="add", path="Patient", name="active", value={"valueBoolean": True})),
        (422, operation(type="add", path="Patient", name="colour", value={"valueString": "x"})),
        (422, operation(type="add", path="Patient.active", name="id", value={"valueString": "x"})),
        (422, operation(type="add", path="Patient.name", name="text", value={"valueString": "x"})),
        (422, operation(type="replace", path="Patient.birthDate", value={"valueDate": "2000"})),
        (
            422,
            operation(
                type="replace", path="Patient", value={"resource": {"resourceType": "Patient"}}
            ),
        ),
        (422, operation(type="replace", path="Patient.deceased", value={"valueString": "x"})),
        (422, operation(type="delete", path="Patient.name")),
        (422, operation(type="delete", path="Patient")),
        (422, operation(type="delete", path="Observation.status")),
        (
            422,
            operation(
                type="insert",
                path="Patient.identifier",
                index=3,
                value={"valueIdentifier": {"value": "0"}},
            ),
        ),
        (
            422,
            operation(type="insert", path="Patient.active", index=0, value={"valueBoolean": True}),
        ),
        (422, operation(type="move", path="Patient.identifier", source=0, destination=2)),
        (422, operation(type="add", path="Patient", name="birthDate")),
        (422, operation(type="delete", path="Patient.name.children()")),
        (400, operation(type="delete", path="Patient.name.where(")),
        (400, operation(type="paint", path="Patient.name")),
        (400, operation(type="delete")),
        (400, {"name": "other", "valueString": "x"}),
    ],
)
def test_an_operation_that_cannot_be_applied_names_its_parameter(
    status: int, bad: dict[str, Any]
) -> None:
    with pytest.raises(FhirError) as caught:
        patched(operation(type="delete", path="Patient.photo"), bad)
    assert caught.value.status == status
    assert caught.value.issues[0].expression == ("Parameters.parameter[1]",)
