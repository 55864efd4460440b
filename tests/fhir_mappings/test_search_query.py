"""Searches: what is sent is read exactly, and what cannot be searched is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import pytest

from app.errors import FhirError, IssueCode
from app.fhir_mappings.index_rows import extract
from app.fhir_mappings.search_keys import (
    parameter_key,
    presence_key,
    reference_key,
    token_key,
    token_system_key,
    token_value_key,
    uri_key,
)
from app.fhir_mappings.search_parameters import parameter
from app.fhir_mappings.search_query import (
    Clause,
    DateClause,
    DateRange,
    IdClause,
    Include,
    LastUpdatedClause,
    SearchQuery,
    SortKey,
    StringClause,
    TokenClause,
    parse,
    query_string,
)

BASE = "https://records.example/fhir"


def read(resource_type: str, *parameters: tuple[str, str], strict: bool = True) -> SearchQuery:
    return parse(
        resource_type,
        parameters,
        strict=strict,
        base_urls=(BASE,),
        max_count=100,
        default_count=20,
    )


def one(resource_type: str, name: str, value: str) -> Clause:
    (clause,) = read(resource_type, (name, value)).clauses
    return clause


def keys(resource_type: str, name: str, value: str) -> tuple[int, ...]:
    clause = one(resource_type, name, value)
    assert isinstance(clause, TokenClause)
    return clause.keys


def refused(
    resource_type: str, *parameters: tuple[str, str], strict: bool = False
) -> list[tuple[IssueCode, tuple[str, ...]]]:
    with pytest.raises(FhirError) as caught:
        read(resource_type, *parameters, strict=strict)
    assert caught.value.status == 400
    return [(issue.code, issue.expression) for issue in caught.value.issues]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("c", [token_value_key("Observation", "code", "c")]),
        ("urn:s|c", [token_key("Observation", "code", "urn:s", "c")]),
        ("|c", [token_key("Observation", "code", "", "c")]),
        ("urn:s|", [token_system_key("Observation", "code", "urn:s")]),
        (
            "urn:s|c,d",
            [
                token_key("Observation", "code", "urn:s", "c"),
                token_value_key("Observation", "code", "d"),
            ],
        ),
        (r"a\,b", [token_value_key("Observation", "code", "a,b")]),
        (r"a\|b", [token_value_key("Observation", "code", "a|b")]),
        (r"a\$b\\", [token_value_key("Observation", "code", "a$b\\")]),
        (
            "a\\\\,b",
            [
                token_value_key("Observation", "code", "a\\"),
                token_value_key("Observation", "code", "b"),
            ],
        ),
        ("c,c", [token_value_key("Observation", "code", "c")]),
    ],
)
def test_a_token_is_read_with_its_system_escapes_and_alternatives(
    value: str, expected: list[int]
) -> None:
    assert one("Observation", "code", value) == TokenClause(tuple(expected))


def test_repeated_parameters_are_clauses_of_their_own() -> None:
    clauses = read("Observation", ("code", "a"), ("code", "b")).clauses
    assert clauses == (one("Observation", "code", "a"), one("Observation", "code", "b"))
    assert clauses[0] != clauses[1]


def test_not_negates_and_missing_asks_for_presence() -> None:
    assert one("Observation", "status:not", "final") == TokenClause(
        (token_value_key("Observation", "status", "final"),), negated=True
    )
    present = (presence_key("Observation", "subject"),)
    assert one("Observation", "subject:missing", "true") == TokenClause(present, True, True)
    assert one("Observation", "subject:missing", "false") == TokenClause(present, False, False)


@pytest.mark.parametrize("value", ["Patient/a", f"{BASE}/Patient/a"])
def test_a_local_reference_is_read_relative_or_under_a_base_url(value: str) -> None:
    assert keys("Observation", "subject", value) == (
        reference_key("Observation", "subject", "Patient", "a"),
    )


def test_a_reference_without_a_type_is_looked_for_in_every_target() -> None:
    of = parameter("Observation", "subject")
    assert of is not None
    assert len(of.targets) > 1
    assert set(keys("Observation", "subject", "a")) == {
        reference_key("Observation", "subject", each, "a") for each in of.targets
    }


def test_a_type_modifier_narrows_a_reference() -> None:
    expected = (reference_key("Observation", "subject", "Patient", "a"),)
    assert keys("Observation", "subject:Patient", "a") == expected
    assert keys("Observation", "subject:Patient", "Patient/a") == expected
    fault = [(IssueCode.INVALID, ("subject:Patient",))]
    assert refused("Observation", ("subject:Patient", "Group/a")) == fault
    assert refused("Observation", ("subject:Binary", "a")) == [
        (IssueCode.INVALID, ("subject:Binary",))
    ]


def test_a_reference_elsewhere_is_matched_as_a_url() -> None:
    url = "https://elsewhere.example/Patient/a"
    assert keys("Observation", "subject", url) == (uri_key("Observation", "subject", url),)


def test_a_string_is_normalized_unless_it_is_exact() -> None:
    key = (parameter_key("Patient", "family"),)
    assert one("Patient", "family", "Éva  B") == StringClause(key, "starts", ("eva b",))
    assert one("Patient", "family:contains", "Éva,X") == StringClause(key, "contains", ("eva", "x"))
    assert one("Patient", "family:exact", "Éva") == StringClause(key, "exact", ("Éva",))


@pytest.mark.parametrize("prefix", ["", "eq", "ne", "gt", "ge", "lt", "le", "sa", "eb", "ap"])
def test_a_date_keeps_its_prefix_and_the_width_of_its_precision(prefix: str) -> None:
    expected = DateRange(
        prefix or "eq",  # type: ignore[arg-type]
        datetime(2024, 2, 1, tzinfo=UTC),
        datetime(2024, 3, 1, tzinfo=UTC),
    )
    assert one("Observation", "date", f"{prefix}2024-02") == DateClause(
        (parameter_key("Observation", "date"),), (expected,)
    )
    assert one("Observation", "_lastUpdated", f"{prefix}2024-02") == LastUpdatedClause((expected,))


def test_ids_are_alternatives() -> None:
    assert one("Patient", "_id", "a,b-1") == IdClause(("a", "b-1"))


RESOURCE: dict[str, Any] = {
    "resourceType": "Observation",
    "meta": {"profile": ["http://example.org/p|1"], "tag": [{"system": "urn:t", "code": "x"}]},
    "status": "final",
    "code": {"coding": [{"system": "http://loinc.org", "code": "1"}]},
    "subject": {"reference": "Patient/a", "identifier": {"system": "urn:mrn", "value": "7"}},
    "performer": [{"reference": "https://elsewhere.example/Practitioner/p"}],
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("status", "final"),
        ("status", "http://hl7.org/fhir/observation-status|final"),
        ("code", "http://loinc.org|1"),
        ("code", "1"),
        ("code", "http://loinc.org|"),
        ("code:missing", "false"),
        ("subject", "Patient/a"),
        ("subject", "a"),
        ("patient", "a"),
        ("subject:identifier", "urn:mrn|7"),
        ("performer", "https://elsewhere.example/Practitioner/p"),
        ("_profile", "http://example.org/p"),
        ("_profile", "http://example.org/p|1"),
        ("_tag", "urn:t|x"),
    ],
)
def test_a_query_asks_for_a_row_that_the_resource_has(name: str, value: str) -> None:
    assert set(keys("Observation", name, value)) & set(extract(RESOURCE, (BASE,)).tokens)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("status", "amended"),
        ("code", "|1"),
        ("subject", "Group/a"),
        ("subject:identifier", "urn:other|7"),
        ("performer", "p"),
    ],
)
def test_a_query_for_something_else_asks_for_no_row_of_it(name: str, value: str) -> None:
    assert not set(keys("Observation", name, value)) & set(extract(RESOURCE, (BASE,)).tokens)


@pytest.mark.parametrize(
    ("resource_type", "name", "value"),
    [
        ("Patient", "_contained", "both"),
        ("Observation", "date:exact", "2024"),
        ("Observation", "date:not", "2024"),
        ("Patient", "family:text", "x"),
        ("Patient", "_id:text", "x"),
        ("Observation", "subject:above", "Patient/a"),
        ("Observation", "_sort", "code-value-quantity"),
        ("Patient", "_query", "x"),
        ("Patient", "_list", "$current-problems"),
        ("Observation", "code-value-quantity:missing", "true"),
        ("Observation", "value-quantity:exact", "5"),
        ("Patient", "_include:recurse", "Patient:link"),
        ("Patient", "_count:exact", "1"),
    ],
)
def test_what_is_not_searched_is_refused_even_when_lenient(
    resource_type: str, name: str, value: str
) -> None:
    assert refused(resource_type, (name, value)) == [(IssueCode.NOT_SUPPORTED, (name,))]


@pytest.mark.parametrize(
    ("resource_type", "name", "value"),
    [
        ("Observation", "code", ""),
        ("Observation", "code", "a,"),
        ("Observation", "code", "|"),
        ("Observation", "code", "a|b|c"),
        ("Observation", "code", ",".join("a" * 1001)),
        ("Observation", "code:missing", "yes"),
        ("Observation", "subject", "#a"),
        ("Observation", "subject", "Patient/a/b"),
        ("Observation", "date", "2024-02-30"),
        ("Observation", "date", "xx2024"),
        ("Observation", "date", "2024-02-01T00:00:00 02:00"),
        ("Patient", "family", "\u0301"),
        ("Patient", "_id", "a b"),
        ("Patient", "_count", "-1"),
        ("Patient", "_count", "\u0661"),
        ("Patient", "_total", "some"),
        ("Patient", "_summary", "some"),
        ("Patient", "_pretty", "yes"),
        ("Patient", "_include", "Patient"),
        ("Patient", "_include", "Nothing:link"),
        ("Patient", "_include", "Patient:name"),
        ("Patient", "_include", "Patient:link:Nothing"),
        ("Patient", "_include", "Patient:link:Binary"),
        ("Patient", "_revinclude", "*:*"),
    ],
)
def test_a_value_that_cannot_be_is_refused_under_the_parameters_name(
    resource_type: str, name: str, value: str
) -> None:
    assert refused(resource_type, (name, value)) == [(IssueCode.INVALID, (name,))]


def test_every_fault_is_told_and_no_value_is_repeated() -> None:
    with pytest.raises(FhirError) as caught:
        read(
            "Observation",
            ("date", "s3cret"),
            ("subject", "s3cret/s3cret"),
            ("code:of-type", "s3cret"),
        )
    assert len(caught.value.issues) == 3
    assert "s3cret" not in repr(caught.value.issues)


def test_an_unknown_parameter_is_refused_when_strict_and_left_out_of_applied_otherwise() -> None:
    sent = (("colour", "red"), ("status", "final"), ("_elements", "code"), ("_summary", "true"))
    assert refused("Observation", *sent, strict=True) == [
        (IssueCode.NOT_SUPPORTED, ("colour",)),
    ]
    query = read("Observation", *sent, strict=False)
    assert query.applied == (("status", "final"), ("_elements", "code"), ("_summary", "true"))
    assert len(query.clauses) == 1


def test_a_name_that_is_no_name_is_not_repeated() -> None:
    assert refused("Patient", ("<b>\n", "x"), strict=True) == [(IssueCode.NOT_SUPPORTED, ())]


def test_result_options_have_defaults() -> None:
    query = read("Patient")
    assert query == SearchQuery(("Patient",), (), 20)


@pytest.mark.parametrize(
    ("value", "count", "only_total"),
    [
        ("5", 5, False),
        ("007", 7, False),
        ("101", 100, False),
        ("9" * 5000, 100, False),
        ("0", 0, True),
        ("000", 0, True),
    ],
)
def test_a_page_is_at_most_the_servers_maximum(value: str, count: int, only_total: bool) -> None:
    query = read("Patient", ("_count", value))
    assert (query.count, query.summary_count) == (count, only_total)


def test_result_options_are_read() -> None:
    query = read(
        "Observation",
        ("_sort", "-date,_lastUpdated"),
        ("_total", "accurate"),
        ("_summary", "count"),
        ("_format", "json"),
        ("_pretty", "true"),
    )
    assert query.sort == (
        SortKey("date", True, (parameter_key("Observation", "date"),), "date"),
        SortKey("_lastUpdated", False, (), "_lastUpdated"),
    )
    assert (query.total, query.summary_count, query.count) == ("accurate", True, 0)
    assert (query.format, query.pretty) == ("json", True)


def test_an_option_given_twice_is_refused() -> None:
    assert refused("Patient", ("_count", "1"), ("_count", "2")) == [
        (IssueCode.INVALID, ("_count",))
    ]


def test_includes_name_the_link_that_is_followed() -> None:
    query = read(
        "Observation",
        ("_include", "Observation:subject:Patient"),
        ("_include:iterate", "Patient:link"),
        ("_include", "*"),
        ("_revinclude", "Provenance:target"),
        ("_revinclude", "Provenance:target"),
        ("_revinclude", "DiagnosticReport:*"),
    )
    assert query.includes == (
        Include("Observation", "subject", parameter_key("Observation", "subject"), "Patient"),
        Include("Patient", "link", parameter_key("Patient", "link"), None, True),
        Include("Observation", "*", 0),
    )
    assert query.revincludes == (
        Include("Provenance", "target", parameter_key("Provenance", "target")),
        Include("DiagnosticReport", "*", 0),
    )


def test_a_query_string_is_read_back_as_it_was() -> None:
    sent = [
        ("code:not", "http://loinc.org|1,x y"),
        ("date", "ge2024-01-01T00:00:00+02:00"),
        ("family", r"a\,b&c=#é%"),
    ]
    text = query_string(sent)
    assert parse_qsl(text, strict_parsing=True) == sent
    assert text.isascii()
    assert not set(' |"<>+#') & set(text)
