"""What a resource holds finds it: queries built from values, held against the rows extracted.

Rows and queries are read apart (`index_rows`, `search_clauses`) and meet in `search_keys`; these
are the properties that must hold for every value, the four characters of the query syntax included.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.fhir_mappings.index_rows import IndexRows, extract
from app.fhir_mappings.registry import RESOURCE_TYPES
from app.fhir_mappings.search_clauses import Clause, DateClause, StringClause, TokenClause
from app.fhir_mappings.search_parameters import parameters
from app.fhir_mappings.search_query import parse

BASE = "https://records.example/fhir"


def clauses(resource_type: str, *sent: tuple[str, str]) -> tuple[Clause, ...]:
    return parse(
        resource_type, sent, strict=True, base_urls=(BASE,), max_count=100, default_count=20
    ).clauses


def holds(clause: Clause, rows: IndexRows) -> bool:
    """What storage says in SQL; of dates only `eq`: the row lies within the range asked."""
    match clause:
        case TokenClause(asked, negated):
            return bool(set(asked) & set(rows.tokens)) is not negated
        case StringClause(keys, mode, values):
            return any(
                row in keys
                and {
                    "starts": normal.startswith(value),
                    "contains": value in normal,
                    "exact": exact == value,
                }[mode]
                for row, normal, exact in rows.strings
                for value in values
            )
        case DateClause(keys, ranges):
            return any(
                row in keys
                and (asked.low is None or (low is not None and asked.low <= low))
                and (asked.high is None or (high is not None and high <= asked.high))
                for row, low, high in rows.dates
                for asked in ranges
            )
    raise AssertionError("no other clause is asked here")


def finds(resource: dict[str, Any], *sent: tuple[str, str]) -> bool:
    rows = extract(resource, (BASE,))
    return all(holds(each, rows) for each in clauses(resource["resourceType"], *sent))


def escaped(text: str) -> str:
    for each in "\\,|$":
        text = text.replace(each, "\\" + each)
    return text


words = st.text(
    st.characters(blacklist_categories=("C", "Z")) | st.sampled_from(r"\,|$:&=+ "), min_size=1
).filter(lambda text: text == text.strip())
uris = words.map(lambda text: "http://a.example/" + text.replace(" ", ""))
codings = st.fixed_dictionaries({"system": uris, "code": words})
ids = st.text("abcXYZ019-.", min_size=1, max_size=64)
dates = st.dates().map(str) | st.datetimes().map(
    lambda each: each.isoformat(timespec="seconds") + "Z"
)


@given(codings, codings)
def test_a_token_is_found_by_its_forms_and_not_by_those_of_another(
    own: dict[str, str], other: dict[str, str]
) -> None:
    resource = {"resourceType": "Observation", "code": {"coding": [own]}}
    system, code = escaped(own["system"]), escaped(own["code"])
    assert finds(resource, ("code", f"{system}|{code}"))
    assert finds(resource, ("code", code))
    assert finds(resource, ("code", f"{system}|"))
    assert not finds(resource, ("code", f"|{code}"))
    assert not finds(resource, ("code:not", f"{system}|{code}"))
    if own != other:
        pair = f"{escaped(other['system'])}|{escaped(other['code'])}"
        assert not finds(resource, ("code", pair))
        assert finds(resource, ("code:not", pair))
        assert finds(resource, ("code", f"{pair},{system}|{code}"))
        assert not finds(resource, ("code", f"{system}|{code}"), ("code", pair))


@given(words)
def test_a_token_without_system_is_found_as_having_none(code: str) -> None:
    resource = {"resourceType": "Observation", "code": {"coding": [{"code": code}]}}
    assert finds(resource, ("code", f"|{escaped(code)}"))
    assert finds(resource, ("code", escaped(code)))


@given(ids, st.sampled_from(["Patient", "Group", "Location"]))
def test_a_reference_is_found_by_each_way_to_write_it(target: str, target_type: str) -> None:
    resource = {
        "resourceType": "Observation",
        "subject": {"reference": f"{target_type}/{target}"},
    }
    assert finds(resource, ("subject", target))
    assert finds(resource, ("subject", f"{target_type}/{target}"))
    assert finds(resource, ("subject", f"{BASE}/{target_type}/{target}"))
    assert finds(resource, (f"subject:{target_type}", target))
    assert not finds(resource, ("subject:Device", target))
    assert not finds(resource, ("subject", f"Device/{target}"))
    assert finds(resource, ("patient", target)) is (target_type == "Patient")
    assert not finds(resource, ("subject", f"https://elsewhere.example/{target_type}/{target}"))


@given(words, words)
def test_a_reference_is_found_by_identifier(value: str, other: str) -> None:
    identifier = {"system": "http://a.example/id", "value": value}
    resource = {"resourceType": "Task", "owner": {"identifier": identifier}}
    assert finds(resource, ("owner:identifier", f"http://a.example/id|{escaped(value)}"))
    if value != other:
        assert not finds(resource, ("owner:identifier", f"http://a.example/id|{escaped(other)}"))


@given(uris)
def test_a_uri_is_found_exactly(uri: str) -> None:
    resource = {"resourceType": "Task", "meta": {"source": uri}}
    assert finds(resource, ("_source", escaped(uri)))
    assert not finds(resource, ("_source", escaped(uri) + "x"))


def test_a_canonical_under_our_own_address_is_found_in_each_form() -> None:
    resource = {
        "resourceType": "QuestionnaireResponse",
        "questionnaire": f"{BASE}/Questionnaire/q|2",
    }
    for text in ("Questionnaire/q", f"{BASE}/Questionnaire/q", rf"{BASE}/Questionnaire/q\|2"):
        assert finds(resource, ("questionnaire", text))
    assert not finds(resource, ("questionnaire", rf"{BASE}/Questionnaire/q\|3"))


@given(words, words)
def test_an_exact_string_is_found_and_no_other(text: str, other: str) -> None:
    resource = {"resourceType": "Patient", "name": [{"family": text}]}
    assert finds(resource, ("family:exact", escaped(text)))
    assert finds(resource, ("family:exact", escaped(other))) is (text == other)


@given(st.text("abcéÑß Ö", max_size=250), st.integers(0, 8), st.integers(1, 8))
def test_a_string_is_found_by_its_beginning_and_a_part(text: str, start: int, length: int) -> None:
    name = f"Ana{text}"
    resource = {"resourceType": "Patient", "name": [{"family": name}]}
    assert finds(resource, ("family", name[:length]))
    assert finds(resource, ("family", name[:length].upper()))
    assert not finds(resource, ("family", f"x{name[:length]}"))
    if (part := name[start : start + length]).strip():
        assert finds(resource, ("family:contains", part))


@given(dates)
def test_a_date_is_found_by_itself_and_by_its_wider_forms(date: str) -> None:
    resource = {"resourceType": "Observation", "effectiveDateTime": date}
    for text in (date, date[:10], date[:7], date[:4]):
        assert finds(resource, ("date", text))
    other = str((int(date[:4]) + 1) % 10000 or 1).zfill(4)
    assert not finds(resource, ("date", other))


def test_missing_asks_for_presence_in_every_type_of_parameter() -> None:
    resource = {
        "resourceType": "Observation",
        "code": {"text": "x"},
        "effectiveDateTime": "2015",
    }
    for code, present in (
        ("code", True),
        ("date", True),
        ("subject", False),
        ("value-string", False),
    ):
        assert finds(resource, (f"{code}:missing", "false")) is present
        assert finds(resource, (f"{code}:missing", "true")) is not present


def test_every_parameter_of_the_built_types_is_taken() -> None:
    samples = {"token": "a", "reference": "Patient/a", "uri": "a", "date": "2015", "string": "a"}
    for name in RESOURCE_TYPES:
        sent = tuple(
            (each.code, samples[each.type])
            for each in parameters(name).values()
            if each.type in samples and each.expression
        )
        assert len(clauses(name, *sent)) == len(sent)
