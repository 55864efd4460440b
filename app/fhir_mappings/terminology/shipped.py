"""The code systems and value sets that R4 itself binds its elements to, security labels among them.

The data is `data/r4-terminology.json`, made by `tools/build_terminology.py`. What R4 binds to but
keeps elsewhere (LOINC, SNOMED CT, UCUM, countries) is not here.

Pinned: hl7.org/fhir/R4/terminologies-systems.html.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

import orjson

from app.fhir_mappings.terminology.code_system import CodeSystem, Concept


@cache
def _data() -> dict[str, Any]:
    file = resources.files("app.fhir_mappings") / "data" / "r4-terminology.json"
    content: dict[str, Any] = orjson.loads(file.read_bytes())
    return content


@cache
def shipped_code_systems() -> tuple[CodeSystem, ...]:
    """Complete code systems, without definitions and designations."""
    return tuple(_code_system(url, facts) for url, facts in _data()["codeSystems"].items())


@cache
def shipped_value_sets() -> tuple[Mapping[str, Any], ...]:
    """ValueSet resources with a compose, and nothing that is for people only."""
    return tuple(
        {"resourceType": "ValueSet", "url": url, "status": "active", **facts}
        for url, facts in _data()["valueSets"].items()
    )


def _code_system(url: str, facts: Mapping[str, Any]) -> CodeSystem:
    concepts = {row[0]: Concept(row[0], row[1]) for row in facts["concepts"]}
    for code, _, parents, *flags in facts["concepts"]:
        concept = concepts[code]
        concept.properties = [{"code": flag, "valueBoolean": True} for flag in flags]
        for parent in parents:
            concept.parents.append(parent)
            concepts[parent].children.append(code)
    return CodeSystem(
        url,
        concepts.values(),
        version=facts["version"],
        name=facts["name"],
        case_sensitive=facts["caseSensitive"],
    )
