"""Search parameters: all of R4's are there, and every expression is understood."""

from __future__ import annotations

import json
from collections import Counter
from importlib import resources
from typing import Any

import pytest

from app.fhir_mappings.path import PathError, PathSyntaxError, compile_path
from app.fhir_mappings.registry import RESOURCE_TYPES
from app.fhir_mappings.search_parameters import not_built, parameter, parameters
from app.fhir_mappings.structure import definition


def load(name: str) -> Any:
    return json.loads((resources.files("app.fhir_mappings") / "data" / name).read_text())


R4: list[dict[str, Any]] = load("search-parameters.json")
LEFT_OUT: dict[str, dict[str, str]] = load("search-parameters-left-out.json")
OWN: list[dict[str, Any]] = load("search-parameters-own.json")


def test_the_data_holds_all_parameters_of_r4_once() -> None:
    assert len(R4) == 1390
    assert len({each["url"] for each in R4}) == 1390


def test_every_r4_expression_compiles_for_each_of_its_types() -> None:
    failed = []
    without_track = []
    for each in R4:
        if each["url"] in LEFT_OUT["notOfR4"] or each["url"] in LEFT_OUT["notBuilt"]:
            continue
        for base in each["base"]:
            concrete = "Patient" if base in ("Resource", "DomainResource") else base
            try:
                if not compile_path(each["expression"], concrete).tracks:
                    without_track.append((each["url"], base))
            except (PathError, PathSyntaxError) as error:
                failed.append((each["url"], base, str(error)))
    assert failed == []
    assert without_track == []


def test_what_is_left_out_is_of_r4_and_could_not_be_built() -> None:
    expressions = {each["url"]: each.get("expression") for each in R4}
    assert set(LEFT_OUT["notBuilt"]) == {url for url, each in expressions.items() if not each}
    assert set(LEFT_OUT["notOfR4"]) == {url for url in expressions if "/example" in url}
    assert dict(not_built()) == LEFT_OUT["notBuilt"]


def test_two_parameters_of_a_type_never_share_a_name() -> None:
    kept = [each for each in R4 if each["url"] not in LEFT_OUT["notOfR4"]]
    replaced = {each["url"] for each in OWN}
    kept = [each for each in kept if each["url"] not in replaced] + OWN
    names = [(base, each["code"]) for each in kept for base in each["base"]]
    assert [name for name, count in Counter(names).items() if count > 1] == []


def test_our_own_parameters_say_why_and_have_their_own_address_or_correct_one_of_r4() -> None:
    known = {each["url"] for each in R4}
    for each in OWN:
        assert each["comment"]
        ours = each["url"].startswith("https://throughline.example/fhir/SearchParameter/")
        assert ours != (each["url"] in known)
        for base in each["base"]:
            found = parameter(base, each["code"])
            assert found is not None
            assert (found.url, found.expression) == (each["url"], each["expression"])
            assert found.path(base).tracks


def test_every_type_has_the_parameters_of_all_resources() -> None:
    common = {"_id", "_lastUpdated", "_profile", "_security", "_source", "_tag"}
    for name in RESOURCE_TYPES:
        assert common <= set(parameters(name))


def test_parameters_of_domain_resources_are_not_those_of_bundle_and_binary() -> None:
    with_text = {name for name in RESOURCE_TYPES if "_text" in parameters(name)}
    assert with_text == {
        name for name in RESOURCE_TYPES if definition(name).base == "DomainResource"
    }
    assert not with_text & {"Bundle", "Binary", "Parameters"}


def test_a_parameter_carries_type_targets_and_components() -> None:
    subject = parameter("Condition", "subject")
    assert subject is not None
    assert (subject.type, set(subject.targets)) == ("reference", {"Group", "Patient"})
    composite = parameter("Observation", "code-value-quantity")
    assert composite is not None
    assert [each.expression for each in composite.components] == [
        "code",
        "value.as(Quantity)",
    ]
    assert subject.url == "http://hl7.org/fhir/SearchParameter/Condition-subject"


def test_a_name_of_another_type_is_not_known() -> None:
    assert parameter("Patient", "code") is None
    with pytest.raises(KeyError):
        parameters("Nothing")
