"""FHIRPath: what expressions give over a small resource, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from app.fhir_mappings.fhirpath.compiler import compile_fhirpath
from app.fhir_mappings.fhirpath.environment import environment_of
from app.fhir_mappings.fhirpath.guards import never_false
from app.fhir_mappings.fhirpath.items import Undecided
from app.fhir_mappings.fhirpath.syntax import MAX_NESTING, FhirPathError, parse_fhirpath
from app.fhir_mappings.json_text import parse

PATIENT = parse(
    b"""{"resourceType":"Patient","id":"a","active":true,"birthDate":"1980-02-29",
    "_birthDate":{"extension":[{"url":"http://t","valueDateTime":"1980-02-29T10:00:00+02:00"}]},
    "name":[{"family":"Doe","given":["A","B"]},{"text":"x","_family":{"extension":[
      {"url":"http://absent","valueCode":"unknown"}]}}],
    "multipleBirthInteger":2,"managingOrganization":{"reference":"#o"},
    "generalPractitioner":[{"reference":"Practitioner/1"},{"reference":"urn:uuid:a"}],
    "contained":[{"resourceType":"Organization","id":"o","name":"River"}]}""",
    max_depth=20,
)


def values(expression: str, resource: dict[str, Any] = PATIENT) -> list[Any]:
    found = compile_fhirpath(expression).values(environment_of(resource))
    return [each.value for each in found]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        # paths
        ("name.given", ["A", "B"]),
        ("Patient.name.given", ["A", "B"]),
        ("Person.name.given", []),
        ("name.given[1]", ["B"]),
        ("name.first().family", ["Doe"]),
        ("name.unknown", []),
        ("contained.name", ["River"]),
        ("managingOrganization.resolve().name", ["River"]),
        ("generalPractitioner.first().resolve() is Practitioner", [True]),
        ("children().where($this is HumanName).count()", [2]),
        ("descendants().where($this is HumanName).count()", [2]),
        ("birthDate.extension('http://t').value", ["1980-02-29T10:00:00+02:00"]),
        ("name.family.hasValue()", [False]),  # two values
        ("name[1].family.exists()", [True]),
        ("name[1].family.hasValue()", [False]),
        # choice elements and types
        ("multipleBirth", [2]),
        ("multipleBirth is integer", [True]),
        ("multipleBirth is Integer", [True]),
        ("multipleBirth is boolean", [False]),
        ("multipleBirth as boolean", []),
        ("multipleBirth.ofType(integer)", [2]),
        # collections
        ("name.given.count()", [2]),
        ("(name.given | name.given).count()", [2]),
        ("name.given.combine(name.given).count()", [4]),
        ("name.given.combine(name.given).isDistinct()", [False]),
        ("name.given.intersect('A' | 'C')", ["A"]),
        ("name.where(given = 'A').exists()", [False]),  # two values are not one
        ("name.exists(family = 'Doe')", [True]),
        ("name.all(family.exists())", [True]),
        ("name.select(given.first() & '.' & family)", ["A.Doe", "."]),
        ("name.given.skip(1)", ["B"]),
        ("name.tail().text", ["x"]),
        ("'A' in name.given", [True]),
        ("name.given contains 'Z'", [False]),
        ("{}", []),
        # three-valued logic
        ("{} and false", [False]),
        ("{} and true", []),
        ("{} or true", [True]),
        ("{} implies true", [True]),
        ("false implies {}", [True]),
        ("true xor {}", []),
        ("{}.not()", []),
        ("deceased.exists().not()", [True]),
        # comparison
        ("birthDate < @1990", [True]),
        ("birthDate = @1980", []),
        ("birthDate = @1980-02-29", [True]),
        ("@2020-01-01T12:00:00+02:00 = @2020-01-01T10:00:00Z", [True]),
        ("@2020-01-01T12:00:00+02:00 > @2020-01-01T11:00:00Z", [False]),
        ("@2020-01 <= @2020-01-05", []),
        ("1 = 1.0", [True]),
        ("active = 1", [False]),
        ("'a' < 'b'", [True]),
        ("'a' ~ 'A'", [True]),
        ("{} = {}", []),
        # arithmetic and text
        ("1 + 2 * 3", [7]),
        ("-1 + 2", [1]),
        ("7 mod 4", [3]),
        ("1 / 0", []),
        ("'1' + '2'", ["12"]),
        ("'abc'.substring(1)", ["bc"]),
        ("'abc'.startsWith('ab')", [True]),
        ("'abc'.matches('[a-c]+')", [True]),
        ("'a.b'.replaceMatches('\\\\..*', '')", ["a"]),
        ("'12'.toInteger() + 1", [13]),
        ("multipleBirth.toString()", ["2"]),
        ("iif(active, 'yes', 'no')", ["yes"]),
        ("name.family.trace('x') = 'Doe'", [False]),
        ("text.`div`.exists()", [False]),
        ("%resource.id = %context.id", [True]),
        ("%rootResource.contained.id", ["o"]),
        ("%ucum", ["http://unitsofmeasure.org"]),
    ],
)
def test_an_expression_gives(expression: str, expected: list[Any]) -> None:
    assert values(expression) == expected


@pytest.mark.parametrize(
    "expression",
    [
        "generalPractitioner[1].resolve() is Practitioner",
        "generalPractitioner.first().resolve().active",
        "active.memberOf('http://a')",
        "'a'.matches('(')",
    ],
)
def test_what_cannot_be_known_is_undecided(expression: str) -> None:
    with pytest.raises(Undecided):
        values(expression)


@pytest.mark.parametrize(
    "expression",
    ["", "name.", "name given", "name.unknownFunction()", "%secret", "where()", "name.where(a, b)",
     "1 +", "'a", "name[", "x is", "name.first(1)", "(" * (MAX_NESTING + 1), "a" * 10_001,
     "a" + ".a" * 3000, "1" + "+1" * 3000, "a" + "[0]" * 3000, "a" + ".where(b)" * 1000],
)  # fmt: skip
def test_an_expression_that_is_not_understood_is_refused(expression: str) -> None:
    with pytest.raises(FhirPathError):
        compile_fhirpath(expression)


@pytest.mark.parametrize(
    ("expression", "absent"),
    [
        ("value.empty() or code.exists()", [{"value"}]),
        ("a.exists() implies b.exists()", [{"a"}]),
        ("a.exists().not() or b >= c", [{"a"}, {"b"}, {"c"}]),
        ("a.empty() and b.empty()", [{"a", "b"}]),
        ("a.exists()", []),
        ("a.exists() and b.exists()", []),
        ("where(use = 'home').empty()", [{"use"}]),
        ("a.count() > 1", []),
        ("descendants().linkId.isDistinct()", []),
        ("a in (b | c)", [{"a"}]),
    ],
)
def test_a_guard_names_elements_without_which_an_invariant_holds(
    expression: str, absent: list[set[str]]
) -> None:
    assert list(never_false(parse_fhirpath(expression))) == absent
