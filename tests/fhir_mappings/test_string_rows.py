"""Text as the string search compares it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.fhir_mappings.string_rows import MAX_TEXT, exact, normalize, searchable


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ana", "ana"),
        ("  José \t María\n", "jose maria"),
        ("STRAẞE", "strasse"),
        ("Straße", "strasse"),
        ("Łódź", "łodz"),
        ("ﬁnd", "find"),
        ("℡", "tel"),
        ("İzmir", "izmir"),
        ("Ναυσικᾶ", "ναυσικα"),
        ("e\u0301", "e"),
    ],
)
def test_case_accents_and_repeated_space_do_not_count(text: str, expected: str) -> None:
    assert normalize(text) == expected


@given(st.text())
def test_normalizing_twice_changes_nothing(text: str) -> None:
    assert normalize(normalize(text)) == normalize(text)


@given(st.text(min_size=1, max_size=3 * MAX_TEXT))
def test_rows_are_short_enough_for_a_tree(text: str) -> None:
    assert len(searchable(text)) <= MAX_TEXT
    assert len(exact(text)) <= MAX_TEXT + 17


def test_long_texts_that_differ_at_the_end_are_told_apart() -> None:
    text = "a" * MAX_TEXT
    assert exact(text) == text
    assert len({exact(text), exact(text + "b"), exact(text + "c")}) == 3
    assert exact(text + "b") == exact(text + "b")
