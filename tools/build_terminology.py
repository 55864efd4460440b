"""Turn the code systems and value sets that R4 binds its elements to into compact data.

Reads the npm package `hl7.fhir.r4.examples` 4.0.1 (CC0) and writes
`app/fhir_mappings/data/r4-terminology.json`: of each ValueSet with a required, extensible or
preferred binding its compose; of each code system in them that the package has whole, the concepts:
code, display, parents, and `notSelectable` or `inactive`. Code systems of more than `MOST` concepts
are left out.

Usage: python -m tools.build_terminology hl7.fhir.r4.examples-4.0.1.tgz
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from app.fhir_mappings.terminology.code_system import CodeSystem
from tools.build_structure import DATA, Json, core_types, definitions, text

MOST = 1500
NAME = "r4-terminology.json"
ALWAYS = (
    "http://hl7.org/fhir/ValueSet/security-labels",
    "http://terminology.hl7.org/ValueSet/v3-PurposeOfUse",
)


def terminology(resources: list[Json]) -> Json:
    """The content of `r4-terminology.json`."""
    value_sets = {r["url"]: r for r in resources if r["resourceType"] == "ValueSet"}
    systems = {r["url"]: r for r in resources if r["resourceType"] == "CodeSystem"}
    wanted = sorted(with_imports({*bound(resources), *ALWAYS}, value_sets))
    parts = [part for url in wanted for part in includes(value_sets[url])]
    used = sorted({part["system"] for part in parts if part.get("system") in systems})
    made = {url: code_system(systems[url]) for url in used if is_whole(systems[url])}
    return {
        "codeSystems": {url: each for url, each in made.items() if len(each["concepts"]) <= MOST},
        "valueSets": {url: value_set(value_sets[url]) for url in wanted},
    }


def bound(resources: Iterable[Json]) -> set[str]:
    """URLs of the value sets that elements of R4's types are bound to."""
    return {
        element["binding"]["valueSet"].partition("|")[0]
        for source in core_types(resources)
        for element in source["snapshot"]["element"]
        if element.get("binding", {}).get("strength") in ("required", "extensible", "preferred")
        and "valueSet" in element["binding"]
    }


def with_imports(urls: set[str], value_sets: dict[str, Json]) -> set[str]:
    found: set[str] = set()
    pending = [url for url in urls if url in value_sets]
    while pending:
        url = pending.pop()
        found.add(url)
        imported = [each for part in includes(value_sets[url]) for each in part.get("valueSet", ())]
        pending += [each for each in imported if each in value_sets and each not in found]
    return found


def includes(source: Json) -> list[Json]:
    compose = source.get("compose", {})
    return [*compose.get("include", ()), *compose.get("exclude", ())]


def is_whole(source: Json) -> bool:
    return bool(source["content"] == "complete" and source.get("concept"))


def value_set(source: Json) -> Json:
    result: Json = {name: source[name] for name in ("version", "name", "title") if name in source}
    if "compose" in source:
        result["compose"] = source["compose"]
    return result


def code_system(source: Json) -> Json:
    system = CodeSystem.of(source)
    rows = []
    for concept in system.concepts.values():
        flags = [
            name
            for name, holds in (
                ("notSelectable", concept.is_abstract),
                ("inactive", concept.is_inactive),
            )
            if holds
        ]
        rows.append([concept.code, concept.display, concept.parents, *flags])
    return {
        "version": source.get("version"),
        "name": system.name,
        "caseSensitive": source.get("caseSensitive") is not False,
        "concepts": rows,
    }


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tools.build_terminology hl7.fhir.r4.examples-4.0.1.tgz")
    content = text(terminology(list(definitions(Path(sys.argv[1])))))
    (DATA / NAME).write_text(content)
    print(f"{NAME}: {len(content):,} bytes")


if __name__ == "__main__":
    main()
