"""Whatever is sent, the parser and the validator answer with faults, never with an error of their own.

Bounded here; `make fuzz-validation` runs it for longer (TL_FUZZ_EXAMPLES says how many each).
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.errors import FhirError, Issue
from app.fhir_mappings.faults import MAX_ISSUES
from app.fhir_mappings.fhirpath.compiler import compile_fhirpath
from app.fhir_mappings.fhirpath.environment import environment_of
from app.fhir_mappings.fhirpath.items import Undecided
from app.fhir_mappings.fhirpath.syntax import FhirPathError
from app.fhir_mappings.json_text import Number, dump, parse
from app.fhir_mappings.profiles.definitions import Definitions
from app.fhir_mappings.profiles.elements import ProfileError, compile_profile
from app.fhir_mappings.registry import RESOURCE_TYPES
from app.fhir_mappings.structure import TypeDefinition, definition, invariants, type_names
from app.fhir_mappings.validate import validate
from tests.fhir_mappings.profile_sources import OURS, REFERRAL_PROFILES, US_CORE, us_core
from tests.official_examples import examples

EXAMPLES = int(os.environ.get("TL_FUZZ_EXAMPLES", "120"))
BOUNDED = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
DEFINITIONS = Definitions([*us_core(), *REFERRAL_PROFILES])
PROFILES = [
    *(OURS + name for name in ("care-plan", "sdoh-task", "condition", "goal")),
    *(US_CORE + name for name in ("us-core-patient", "us-core-blood-pressure")),
]


def judge(data: bytes) -> list[Issue]:
    """The faults, whether the parser or the validator tells them."""
    try:
        resource = parse(data, max_depth=64)
    except FhirError as error:
        return list(error.issues)
    found = validate(resource, warnings=True, profiles=PROFILES, definitions=DEFINITIONS)
    assert len(found) <= MAX_ISSUES
    assert all(each.diagnostics and each.expression for each in found)
    json.loads(dump(resource))
    return found


PATIENT = b'{"resourceType":"Patient","name":[{"family":"x"}]}'


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00",
        b"\xff\xfe{\x00}\x00",
        b"\xef\xbb\xbf" + PATIENT,
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"resourceType":"Patient","extension":' + b'[{"extension":' * 63 + b"1",
        b'{"resourceType":"Patient","x":NaN}',
        b'{"resourceType":"Patient","x":-Infinity}',
        b'{"resourceType":"Patient","multipleBirthInteger":1e999999999}',
        b'{"resourceType":"Patient","multipleBirthInteger":' + b"9" * 10_000 + b"}",
        b'{"resourceType":"Patient","multipleBirthInteger":1e-999}',
        b'{"resourceType":"Patient","birthDate":"\\ud800"}',
        b'{"resourceType":"Patient","birthDate":"\xed\xa0\x80"}',
        b'{"resourceType":"Patient","birthDate":"\\u0000"}',
        b'{"resourceType":"Patient","birthDate":"\x01"}',
        b'{"resourceType":"Patient","birthDate":"a\nb"}',
        b'{"resourceType":"Patient","id":"a","id":"b"}',
        b'{"resourceType":"Patient","name":[{"family":"x","family":"y"}]}',
        b'{"resourceType":"Patient","resourceType":"Task"}',
        b'{"resourceType":["Patient"]}',
        b'{"resourceType":"Patient","gender":"' + b"x" * 10_000_000 + b'"}',
        b'{"resourceType":"Patient","name":[' + b"{}," * 200_000 + b"{}]}",
        b'{"resourceType":"Patient","' + b"k" * 1_000_000 + b'":1}',
        b'{"resourceType":"Patient","text":{"status":"generated","div":"'
        + b"<div>" * 10_000
        + b'"}}',
        b'{"resourceType":"Binary","contentType":"a","data":"' + b"A " * 2_000_000 + b'"}',
        (
            b'{"resourceType":"Observation","effectivePeriod":{"start":"9999-12-31T23:59:59-14:00",'
            b'"end":"0001-01-01T00:00:00+14:00"}}'
        ),
    ],
    ids=range(27),
)
def test_a_hostile_text_is_refused_with_a_fault(data: bytes) -> None:
    assert judge(data)


@cache
def small_examples() -> list[bytes]:
    return [data for _, data in examples() if len(data) < 3_000][:400]


TOKENS = (
    b'"', b"{", b"}", b"[", b"]", b",", b":", b"null", b"true", b"1e5", b"-0", b"\\", b"\\u0041",
    b"\x00", b"\xff", b" ", b'""', b"{}", b"[]", b'"#"', b'"resourceType"', b"0.10", b"9" * 30,
)  # fmt: skip


@BOUNDED
@given(st.data())
def test_a_broken_text_of_an_example_is_never_an_error_of_ours(data: st.DataObject) -> None:
    text = bytearray(data.draw(st.sampled_from(small_examples())))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = min(len(text), start + data.draw(st.integers(0, 12)))
        text[start:end] = data.draw(st.sampled_from(TOKENS))
    judge(bytes(text))


@BOUNDED
@given(st.binary(max_size=200))
def test_random_bytes_are_never_an_error_of_ours(data: bytes) -> None:
    assert judge(data)


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.sampled_from(["", "x", " ", "#", "#a", "Patient/a", "2020", "2020-02-30", "urn:uuid:x", "<div/>",
                     "http://a", "P1D", "active", "final", "é", "\u2028", "10:00:00"]),
    st.text(max_size=5).filter(lambda text: text.isprintable()),
    st.sampled_from(["0.1", "1e300", "-0", "1.0"]).map(Number),
    st.just([]),
    st.just({}),
    st.just([None]),
)  # fmt: skip


def tree(draw: Any, shape: TypeDefinition, depth: int) -> dict[str, Any]:
    """An object whose properties are mostly those of its type, and whose values are often not."""
    node: dict[str, Any] = {}
    names = list(shape.slots)
    for key in draw(st.lists(st.sampled_from(names), max_size=4, unique=True)) if names else ():
        slot = shape.slots[key]
        values = [value(draw, slot.type, depth) for _ in range(draw(st.integers(1, 2)))]
        node[key] = values if slot.many is not (draw(st.integers(0, 9)) == 0) else values[0]
        if draw(st.integers(0, 4)) == 0:
            node["_" + key] = draw(
                st.one_of(JUNK, st.just({"id": "a"}), st.just([{"id": "a"}, None]))
            )
    if draw(st.integers(0, 6)) == 0:
        node[draw(st.sampled_from(["unknown", "_id", "value", "resourceType", "Ana Doe"]))] = draw(
            JUNK
        )
    return node


def value(draw: Any, type_name: str, depth: int) -> Any:
    shape = definition(type_name)
    if depth <= 0 or shape.kind == "primitive" or draw(st.integers(0, 7)) == 0:
        return draw(JUNK)
    if type_name == "Resource":
        return resource(draw, depth - 1)
    return tree(draw, shape, depth - 1)


PROFILED = ("CarePlan", "Condition", "Goal", "Observation", "Patient", "Task")


def resource(draw: Any, depth: int) -> dict[str, Any]:
    name = draw(st.one_of(st.sampled_from(RESOURCE_TYPES), st.sampled_from(PROFILED)))
    return {"resourceType": name, **tree(draw, definition(name), depth)}


@BOUNDED
@given(st.data())
def test_a_tree_of_the_right_names_and_wrong_values_is_told_its_faults(data: st.DataObject) -> None:
    made = resource(data.draw, 5)
    found = validate(made, warnings=True, profiles=PROFILES, definitions=DEFINITIONS)
    assert all(isinstance(each, Issue) and each.diagnostics for each in found)


EXPRESSIONS = sorted({each.expression for name in type_names() for each in invariants(name)})


@BOUNDED
@given(st.data())
def test_no_invariant_raises_on_any_tree(data: st.DataObject) -> None:
    made = resource(data.draw, 4)
    made["resourceType"] = data.draw(st.sampled_from(RESOURCE_TYPES))
    compiled = compile_fhirpath(data.draw(st.sampled_from(EXPRESSIONS)))
    assert compiled.holds(environment_of(made)) in (True, False, None)


@BOUNDED
@given(st.data())
def test_a_broken_expression_is_refused_or_evaluated(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(EXPRESSIONS))
    parts = st.sampled_from(
        ["(", ")", ".", "'", "|", "first()", " and ", "%x", "$this", "1.5", "{}",
                             "as(", "is ", "[0]", "/", "-", "@2020", "`a`", "\\", "é", "resolve()"]
    )  # fmt: skip
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        text = text[:at] + data.draw(parts) + text[at + data.draw(st.integers(0, 3)) :]
    with suppress(FhirPathError, Undecided):
        compile_fhirpath(text).values(environment_of({"resourceType": "Patient", "active": True}))


@BOUNDED
@given(st.data())
def test_a_broken_profile_is_refused_or_used(data: st.DataObject) -> None:
    source = json.loads(json.dumps(data.draw(st.sampled_from(REFERRAL_PROFILES))))
    elements = source["differential"]["element"]
    for _ in range(data.draw(st.integers(1, 4))):
        each = data.draw(st.sampled_from(elements))
        key = data.draw(st.sampled_from(sorted(each)))
        each[key] = data.draw(st.one_of(JUNK, st.just(each[key])))
    if [each for each in validate(source) if each.severity == "error"]:
        return  # it would not be stored
    definitions = Definitions([source])
    with suppress(ProfileError):
        compile_profile(source)
    made = {"resourceType": source["type"], **tree(data.draw, definition(source["type"]), 3)}
    validate(made, profiles=[source["url"]], definitions=definitions, warnings=True)
