"""JSON text: strict in, verbatim out."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import FhirError, IssueCode
from app.fhir_mappings.json_text import Number, dump, instant, parse, with_meta

NUMBERS = ["0.40", "1e2", "-0", "1.0E+3", "0", "-17", "123456789012345678901234567890", "0.000"]


def refusal(data: bytes, max_depth: int = 20) -> FhirError:
    with pytest.raises(FhirError) as caught:
        parse(data, max_depth=max_depth)
    assert caught.value.status == 400
    assert [each.code for each in caught.value.issues] == [IssueCode.STRUCTURE]
    return caught.value


@pytest.mark.parametrize("text", NUMBERS)
def test_numbers_are_written_as_they_were_sent(text: str) -> None:
    data = f'{{"resourceType":"Basic","a":{text}}}'.encode()
    assert dump(parse(data, max_depth=3)) == data


@given(
    st.from_regex(r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,2})?", fullmatch=True)
)
def test_any_number_keeps_its_text(text: str) -> None:
    data = f'{{"resourceType":"Basic","a":[{text}]}}'.encode()
    tree = parse(data, max_depth=3)
    assert dump(tree) == data
    assert Decimal(tree["a"][0]) == Decimal(text)


def test_a_number_computes_as_a_decimal_and_survives_copies() -> None:
    number = Number("1.20e1")
    assert number == 12
    assert number + 1 == Decimal(13)
    for twin in (copy.copy(number), copy.deepcopy(number), pickle.loads(pickle.dumps(number))):
        assert twin.text == "1.20e1"


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.text(st.characters(codec="utf-8", exclude_characters="\0")),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc"), inner),
        max_leaves=20,
    )
)
def test_what_is_dumped_is_parsed_again(value: object) -> None:
    resource = {"resourceType": "Basic", "x": value}
    plain = dump(resource) if _fits(value) else None
    if plain is not None:
        assert parse(plain, max_depth=200) == resource


def _fits(value: object) -> bool:
    """orjson itself writes whole numbers of 64 bits only; larger ones come as Number."""
    if isinstance(value, dict):
        return all(map(_fits, value.values()))
    if isinstance(value, list):
        return all(map(_fits, value))
    return not isinstance(value, int) or abs(value) < 10**18


def test_text_beyond_ascii_and_escapes_is_kept() -> None:
    data = r'{"resourceType":"Basic","a":"é \ud83d\ude00 \\ud800 \u00e9 \\"}'.encode()
    tree = parse(data, max_depth=3)
    assert tree["a"] == "é 😀 \\ud800 é \\"
    assert dump(tree) == '{"resourceType":"Basic","a":"é 😀 \\\\ud800 é \\\\"}'.encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b'{"resourceType":"Basic"} x',
        b'{"resourceType":"Basic","a":01}',
        b'{"resourceType":"Basic","a":.5}',
        b'{"resourceType":"Basic","a":1.}',
        b'{"resourceType":"Basic","a":NaN}',
        b'{"resourceType":"Basic","a":-Infinity}',
        b'{"resourceType":"Basic","a":"\t"}',
        b'{"resourceType":"Basic","a":"\\x"}',
        b"{'resourceType':'Basic'}",
        b'{"resourceType":"Basic",}',
        b'\xef\xbb\xbf{"resourceType":"Basic"}',
        b'{"resourceType":"Basic","a":"\xff"}',
        b'{"resourceType":"Basic","a":"\xed\xa0\x80"}',
        '{"resourceType":"Basic"}'.encode("utf-16"),
        b'{"resourceType":"Basic","a":"\\ud800"}',
        b'{"resourceType":"Basic","a":"\\ud800\\ud800\\udc00"}',
        b'{"resourceType":"Basic","a":"\\udc00"}',
        b'{"resourceType":"Basic","a":"\\ud800\\udc00\\udc00"}',
        b'{"resourceType":"Basic","a":"\\\\\\u0000"}',
        b'{"resourceType":"Basic","\\u0000":1}',
        b'{"resourceType":"Basic","a":1e1001}',
        b'{"resourceType":"Basic","a":1e-99999999999999999999}',
        b'{"resourceType":"Basic","a":' + b"9" * 5000 + b"}",
        b"[]",
        b"null",
        b'"Patient"',
        b"{}",
        b'{"resourceType":null}',
        b'{"resourceType":["Basic"]}',
        b'{"resourceType":"basic"}',
        b'{"resourceType":"HumanName"}',
    ],
)
def test_what_is_not_a_json_resource_is_refused(data: bytes) -> None:
    refusal(data)


def test_a_fault_of_syntax_is_located() -> None:
    fault = refusal(b'{"resourceType":"Basic",\n "a":tru}')
    assert "line 2, column 6" in fault.issues[0].diagnostics


def test_a_refusal_repeats_nothing_of_the_resource() -> None:
    for data in (
        b'{"resourceType":"Secretname"}',
        b'{"resourceType":"Basic","Secretname":1,"Secretname":2}',
        b'{"resourceType":"Basic","a":"\\Secretname"}',
        b'{"resourceType":"Basic","a":Secretname}',
    ):
        issue = refusal(data).issues[0]
        assert "Secretname" not in issue.diagnostics + "".join(issue.expression)


def test_a_repeated_property_is_refused_where_it_stands() -> None:
    data = b'{"resourceType":"Patient","name":[{"family":"a"},\n{"family":"b","family":"c"}]}'
    issue = refusal(data).issues[0]
    assert issue.expression == ("Patient.name[1].family",)
    assert "line 2, column 15" in issue.diagnostics


def test_a_property_repeated_by_an_escape_is_refused() -> None:
    issue = refusal(b'{"resourceType":"Basic","id":"a","\\u0069d":"b"}').issues[0]
    assert issue.expression == ("Basic.id",)


def test_depth_is_counted_outside_of_strings() -> None:
    brackets = "[{" * 30 + '\\"' + "[{" * 30 + "\\\\"
    data = f'{{"resourceType":"Basic","a":"{brackets}","b":[[1]]}}'.encode()
    assert parse(data, max_depth=3)["b"] == [[1]]
    assert "2 levels" in refusal(data, max_depth=2).issues[0].diagnostics


@pytest.mark.parametrize("opener", [b"[", b'{"a":', b'[{"a":'])
def test_no_depth_ends_in_a_recursion_error(opener: bytes) -> None:
    refusal(b'{"resourceType":"Basic","a":' + opener * 200_000)


def test_the_deepest_allowed_text_is_parsed_and_dumped() -> None:
    data = b'{"resourceType":"Basic","a":' + b"[" * 199 + b"]" * 199 + b"}"
    assert dump(parse(data, max_depth=200)) == data
    refusal(data, max_depth=199)


def test_a_depth_that_the_writer_cannot_write_is_no_setting() -> None:
    with pytest.raises(ValueError, match="max_depth"):
        parse(b"{}", max_depth=201)


NOW = datetime(2026, 3, 1, 12, 0, 0, 123, tzinfo=UTC)


def test_with_meta_sets_id_and_version_and_leaves_the_rest() -> None:
    sent = {
        "active": True,
        "meta": {"profile": ["http://a"], "versionId": "9", "tag": [{"code": "t"}]},
        "id": "sent",
        "resourceType": "Patient",
        "_active": {"id": "x"},
    }
    before = copy.deepcopy(sent)
    stored = with_meta(sent, "abc", "2", NOW, None)
    assert list(stored) == ["resourceType", "id", "meta", "active", "_active"]
    assert stored == {
        "resourceType": "Patient",
        "id": "abc",
        "meta": {
            "versionId": "2",
            "lastUpdated": "2026-03-01T12:00:00.000123Z",
            "profile": ["http://a"],
            "tag": [{"code": "t"}],
        },
        "active": True,
        "_active": {"id": "x"},
    }
    assert sent == before


def test_with_meta_adds_labels_that_are_not_there() -> None:
    own = {"system": "s", "code": "R", "display": "restricted"}
    sent = {"resourceType": "Patient", "meta": {"security": [own]}}
    labels = [{"system": "s", "code": "R"}, {"system": "s", "code": "HIV"}]
    stored = with_meta(sent, "abc", "1", NOW, labels)
    assert stored["meta"]["security"] == [own, {"system": "s", "code": "HIV"}]
    assert sent["meta"] == {"security": [own]}


def test_an_instant_is_utc_and_needs_a_zone() -> None:
    east = datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    assert instant(east) == "2026-03-01T10:00:00.000000Z"
    with pytest.raises(ValueError, match="zone"):
        instant(datetime(2026, 3, 1))
