"""Value sets as searches ask for them: exact, or refused."""

from __future__ import annotations

from typing import Any

import pytest

from app.fhir_mappings.terminology.expansion import (
    CannotExpand,
    Expansion,
    above,
    below,
    expand,
    hierarchy,
)

URL = "http://example.org/animals"


def animals(**more: Any) -> dict[str, Any]:
    cat = {"code": "cat", "concept": [{"code": "kitten"}]}
    dog = {"code": "dog", "property": [{"code": "wild", "valueBoolean": False}]}
    return {
        "resourceType": "CodeSystem",
        "content": "complete",
        "concept": [{"code": "mammal", "concept": [cat, dog]}, {"code": "bird"}],
    } | more


def of(*filters: dict[str, str], system: dict[str, Any] | None = None) -> Expansion:
    value_set = {"compose": {"include": [{"system": URL, "filter": list(filters)}]}}
    stored = system or animals()
    return expand(value_set, lambda _: None, lambda url: stored if url == URL else None)


def codes(found: Expansion) -> set[str]:
    return {code for _, code in found.codes}


@pytest.mark.parametrize(
    ("operator", "property_", "value", "expected"),
    [
        ("is-a", "concept", "cat", {"cat", "kitten"}),
        ("descendent-of", "concept", "mammal", {"cat", "kitten", "dog"}),
        ("is-not-a", "concept", "mammal", {"bird"}),
        ("generalizes", "concept", "kitten", {"kitten", "cat", "mammal"}),
        ("in", "concept", "cat,bird", {"cat", "bird"}),
        ("not-in", "concept", "cat,bird", {"mammal", "kitten", "dog"}),
        ("=", "wild", "false", {"dog"}),
        ("exists", "wild", "true", {"dog"}),
        ("=", "parent", "cat", {"kitten"}),
        ("regex", "code", ".*[td]", {"cat", "bird"}),
    ],
)
def test_a_filter_finds_its_codes(
    operator: str, property_: str, value: str, expected: set[str]
) -> None:
    assert codes(of({"op": operator, "property": property_, "value": value})) == expected


@pytest.mark.parametrize("operator", ["is-a", "is-not-a", "descendent-of", "generalizes"])
def test_an_unknown_code_is_refused_and_not_taken_for_nothing(operator: str) -> None:
    with pytest.raises(CannotExpand, match="no such code"):
        of({"op": operator, "property": "concept", "value": "fish"})


def test_what_is_not_complete_or_not_stored_is_refused() -> None:
    is_a = {"op": "is-a", "property": "concept", "value": "cat"}
    with pytest.raises(CannotExpand, match="not complete"):
        of(is_a, system=animals(content="fragment"))
    with pytest.raises(CannotExpand, match="not stored"):
        expand(
            {"compose": {"include": [{"system": URL, "filter": [is_a]}]}},
            lambda _: None,
            lambda _: None,
        )
    with pytest.raises(CannotExpand, match="cannot be computed"):
        of({"op": "regex", "property": "code", "value": "("})


def test_above_and_below_walk_what_is_a_kind_of_what() -> None:
    system = hierarchy(animals(), URL)
    assert below(system, "mammal") == {"mammal", "cat", "kitten", "dog"}
    assert above(system, "kitten") == {"kitten", "cat", "mammal"}
    parts = hierarchy(animals(hierarchyMeaning="part-of"), URL)
    assert below(parts, "mammal") == {"mammal"}
    assert above(parts, "kitten") == {"kitten"}
    with pytest.raises(CannotExpand, match="no such code"):
        below(system, "fish")
