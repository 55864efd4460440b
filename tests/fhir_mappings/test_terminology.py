"""Terminology in memory: hierarchies, composed value sets, and the operations on them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from app.errors import FhirError
from app.fhir_mappings.terminology import operations
from app.fhir_mappings.terminology.code_system import CodeSystem
from app.fhir_mappings.terminology.operations import Asked, Expand
from app.fhir_mappings.terminology.terminology import Terminology
from app.fhir_mappings.validate import validate
from tests.official_examples import tarball
from tools.build_structure import DATA, definitions, text
from tools.build_terminology import NAME, terminology

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
URL = "http://example.org/needs"

NEEDS: dict[str, Any] = {
    "resourceType": "CodeSystem",
    "url": URL,
    "version": "1",
    "name": "Needs",
    "status": "active",
    "content": "complete",
    "caseSensitive": True,
    "concept": [
        {
            "code": "housing",
            "display": "Housing",
            "concept": [
                {
                    "code": "shelter",
                    "display": "Emergency shelter",
                    "definition": "A bed tonight.",
                    "designation": [{"language": "es", "value": "Refugio de emergencia"}],
                },
                {
                    "code": "rent",
                    "display": "Rent",
                    "property": [{"code": "inactive", "valueBoolean": True}],
                },
            ],
        },
        {
            "code": "legal",
            "display": "Legal aid",
            "property": [{"code": "notSelectable", "valueBoolean": True}],
        },
        {
            "code": "visa",
            "display": "Visa",
            "property": [
                {"code": "parent", "valueCode": "legal"},
                {"code": "urgency", "valueString": "high"},
            ],
        },
    ],
}


def value_set(*include: dict[str, Any], exclude: Any = None, **more: Any) -> dict[str, Any]:
    compose: dict[str, Any] = {"include": list(include)}
    if exclude:
        compose["exclude"] = exclude
    return {
        "resourceType": "ValueSet",
        "url": "http://example.org/vs",
        "status": "active",
        "compose": compose,
    } | more


def codes(source: dict[str, Any], *others: dict[str, Any], **ask: Any) -> list[str]:
    known = Terminology([CodeSystem.of(NEEDS)], others)
    made = operations.expand(known, source, Expand(**ask), NOW)
    assert validate(made) == []
    return [each["code"] for each in made["expansion"].get("contains", ())]


def filtered(property_: str, op: str, value: str) -> dict[str, Any]:
    return value_set({"system": URL, "filter": [{"property": property_, "op": op, "value": value}]})


def test_the_shipped_data_is_what_the_tool_makes_of_the_official_package() -> None:
    made = text(terminology(list(definitions(tarball()))))
    assert (DATA / NAME).read_text() == made, "run tools/build_terminology.py"


def test_security_labels_subsume_as_consent_reads_them() -> None:
    known = Terminology()
    assert known.subsumes(ACT_CODE, "SUD", "ETHUD")
    assert not known.subsumes(ACT_CODE, "ETHUD", "SUD")
    assert known.closure(ACT_CODE, "SUD") == ["SUD", "ETHUD", "OPIOIDUD"]
    assert known.closure(ACT_CODE, "nothing") is None
    assert "SUD" in (known.closure(ACT_CODE, "ETHUD", above=True) or ())


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (value_set({"system": URL}), ["housing", "shelter", "rent", "legal", "visa"]),
        (value_set({"system": URL, "concept": [{"code": "rent"}]}), ["rent"]),
        (filtered("concept", "is-a", "housing"), ["housing", "shelter", "rent"]),
        (filtered("concept", "descendent-of", "housing"), ["shelter", "rent"]),
        (filtered("concept", "is-not-a", "housing"), ["legal", "visa"]),
        (filtered("concept", "generalizes", "visa"), ["legal", "visa"]),
        (filtered("urgency", "=", "high"), ["visa"]),
        (filtered("urgency", "exists", "false"), ["housing", "shelter", "rent", "legal"]),
        (filtered("code", "in", "rent,visa"), ["rent", "visa"]),
        (filtered("code", "not-in", "rent,visa"), ["housing", "shelter", "legal"]),
        (filtered("code", "regex", "[hr].*"), ["housing", "rent"]),
        (filtered("parent", "=", "legal"), ["visa"]),
        (
            value_set({"system": URL}, exclude=[{"system": URL, "concept": [{"code": "rent"}]}]),
            ["housing", "shelter", "legal", "visa"],
        ),
        (value_set({"valueSet": ["http://example.org/other"]}), ["shelter", "visa"]),
        (
            value_set(
                {
                    "system": URL,
                    "filter": [{"property": "concept", "op": "is-a", "value": "housing"}],
                    "valueSet": ["http://example.org/other"],
                }
            ),
            ["shelter"],
        ),
    ],
)
def test_a_value_set_is_composed(source: dict[str, Any], expected: list[str]) -> None:
    assert not [each for each in validate(source) if each.severity == "error"]
    listed = {"system": URL, "concept": [{"code": "shelter"}, {"code": "visa"}]}
    other = value_set(listed, url="http://example.org/other")
    assert codes(source, other) == expected


def test_an_expansion_is_filtered_and_paged_with_its_total() -> None:
    source = value_set({"system": URL})
    assert codes(source, filter="EMERGENCY shel") == ["shelter"]
    assert codes(source, active_only=True) == ["housing", "shelter", "legal", "visa"]
    assert codes(source, exclude_not_for_ui=True) == ["housing", "shelter", "rent", "visa"]
    assert codes(source, offset=1, count=2) == ["shelter", "rent"]
    known = Terminology([CodeSystem.of(NEEDS)])
    page = operations.expand(known, source, Expand(offset=3, count=9, designations=True), NOW)
    assert page["expansion"]["total"] == 5
    assert page["expansion"]["offset"] == 3
    whole = operations.expand(known, source, Expand(designations=True), NOW)
    assert whole["expansion"]["contains"][1]["designation"][0]["value"] == "Refugio de emergencia"


def test_what_cannot_be_expanded_is_said_and_never_left_out() -> None:
    elsewhere = value_set({"system": "http://snomed.info/sct"})
    for source in (
        elsewhere,
        value_set({"valueSet": ["http://example.org/unknown"]}),
        value_set({"valueSet": ["http://example.org/vs"]}),
    ):
        with pytest.raises(FhirError) as refused:
            operations.expand(Terminology(value_sets=[source]), source, Expand(), NOW)
        assert refused.value.status == 422
    with pytest.raises(FhirError) as missing:
        operations.expand(Terminology(), "http://example.org/none", Expand(), NOW)
    assert missing.value.status == 404
    fragment = CodeSystem.of(NEEDS | {"content": "fragment"})
    known = Terminology([fragment], [value_set({"system": URL})])
    assert known.contains("http://example.org/vs", URL, "rent") is None


def result(resource: dict[str, Any]) -> bool:
    assert validate(resource) == []
    return bool(resource["parameter"][0]["valueBoolean"])


def test_a_code_is_validated_against_a_value_set() -> None:
    known = Terminology(
        [CodeSystem.of(NEEDS)],
        [
            value_set({"system": URL}),
            value_set(
                {"system": "http://snomed.info/sct", "concept": [{"code": "1"}]},
                {"system": "http://loinc.org"},
                url="http://example.org/mixed",
            ),
        ],
    )
    vs = "http://example.org/vs"
    assert result(operations.validate_code(known, vs, [Asked("rent", URL)]))
    assert result(operations.validate_code(known, vs, [Asked("rent")]))
    assert result(operations.validate_code(known, vs, [Asked("x"), Asked("rent", URL)]))
    assert not result(operations.validate_code(known, vs, [Asked("rent", "http://a")]))
    assert not result(operations.validate_code(known, vs, [Asked("rent", URL, "Food")]))
    assert result(operations.validate_code(known, vs, [Asked("rent", URL, " rent ")]))
    mixed = "http://example.org/mixed"
    assert result(operations.validate_code(known, mixed, [Asked("1", "http://snomed.info/sct")]))
    assert not result(operations.validate_code(known, mixed, [Asked("1", "http://a")]))
    with pytest.raises(FhirError) as refused:
        operations.validate_code(known, mixed, [Asked("1", "http://loinc.org")])
    assert refused.value.status == 422
    gender = "http://hl7.org/fhir/ValueSet/administrative-gender"
    assert result(operations.validate_code(known, gender, [Asked("female")]))


def test_lookup_tells_what_is_known_of_a_concept() -> None:
    known = Terminology([CodeSystem.of(NEEDS)])
    found = operations.lookup(known, URL, "shelter")
    assert validate(found) == []
    told = {each["name"]: each for each in found["parameter"]}
    assert told["display"]["valueString"] == "Emergency shelter"
    assert told["definition"]["valueString"] == "A bed tonight."
    assert told["property"]["part"] == [
        {"name": "code", "valueCode": "parent"},
        {"name": "value", "valueCode": "housing"},
    ]
    for url, code in ((URL, "none"), ("http://example.org/none", "a")):
        with pytest.raises(FhirError) as refused:
            operations.lookup(known, url, code)
        assert refused.value.status == 404


@pytest.mark.parametrize(
    ("first", "second", "outcome"),
    [
        ("housing", "rent", "subsumes"),
        ("rent", "housing", "subsumed-by"),
        ("rent", "rent", "equivalent"),
        ("rent", "visa", "not-subsumed"),
    ],
)
def test_subsumption_has_four_outcomes(first: str, second: str, outcome: str) -> None:
    known = Terminology([CodeSystem.of(NEEDS)])
    made = operations.subsumes(known, URL, first, second)
    assert validate(made) == []
    assert made["parameter"] == [{"name": "outcome", "valueCode": outcome}]


def test_a_grouping_that_is_no_is_a_subsumes_nothing() -> None:
    grouped = Terminology([CodeSystem.of(NEEDS | {"hierarchyMeaning": "part-of"})])
    assert grouped.subsumes(URL, "housing", "rent") is False
    assert grouped.closure(URL, "housing") == ["housing"]


def test_a_code_system_that_ignores_case_finds_codes_in_any() -> None:
    lax = CodeSystem.of(NEEDS | {"caseSensitive": False})
    assert lax.concept("RENT") is lax.concept("rent")
    assert CodeSystem.of(NEEDS).concept("RENT") is None


def test_a_circle_of_parents_ends() -> None:
    concept = [
        {"code": "a", "property": [{"code": "parent", "valueCode": "b"}]},
        {"code": "b", "property": [{"code": "parent", "valueCode": "a"}]},
    ]
    circle = CodeSystem.of(NEEDS | {"concept": concept})
    assert list(circle.descendants("a")) == ["b"]
    assert list(circle.ancestors("a")) == ["b"]


def test_versions_of_one_url_are_kept_apart() -> None:
    old, new = NEEDS | {"version": "1"}, NEEDS | {"version": "2", "concept": [{"code": "new"}]}
    known = Terminology([CodeSystem.of(old), CodeSystem.of(new)])
    assert known.code_system(URL).concept("new")  # type: ignore[union-attr]
    assert known.code_system(f"{URL}|1").concept("rent")  # type: ignore[union-attr]
