"""Turn the official R4 definitions into the compact data that the service reads.

Reads the npm package `hl7.fhir.r4.examples` 4.0.1 (CC0; it holds every StructureDefinition,
ValueSet and CodeSystem of R4) as a tarball and writes, under `app/fhir_mappings/data/`:

- `r4-structure.json`: types, elements, cardinalities, choice types, reference targets, required
  bindings, expanded value sets, and the value sets that cannot be expanded, each with the reason;
  elements and attributes that a narrative may use;
  invariants that only ask which elements are present (`existence_rules`).
- `r4-invariants.json`: the invariants that look at values, as FHIRPath; those that other code checks;
  those that are not enforced, each with the reason.
- `r4-patient-compartment.json`: search parameters that put a resource in a patient's compartment.
- `r4-summary.json`: the elements that belong to a summary (`isSummary`), by type and backbone element.
- `r4-resource-types.json`: the number of each resource type. A number is stored in every row of the
  database, so those already in the file are kept for ever; only a new type gets the next free one.

Usage: python -m tools.build_structure hl7.fhir.r4.examples-4.0.1.tgz

The output is one line for each type or value set, so that a change reads as a diff.
"""

from __future__ import annotations

import json
import re
import sys
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson

from tools.existence_rules import existence_rule

DATA = Path(__file__).parent.parent / "app" / "fhir_mappings" / "data"
CORE = "http://hl7.org/fhir/StructureDefinition/"
SYSTEM_TYPE = "http://hl7.org/fhirpath/System."
REGEX = CORE + "regex"

Json = dict[str, Any]

TEXT_RULES: dict[str, list[Json]] = {
    # References.html says it in its text only: "at least one of reference, identifier and display
    # SHALL be present (unless an extension is provided)".
    "Reference": [
        {
            "key": "ref-text",
            "rule": "any_of",
            "elements": ["reference", "identifier", "display", "extension"],
            "human": "Must have a reference, an identifier, a display or an extension",
        }
    ]
}

ELSEWHERE = {
    "dom-2": "contained resources: app.fhir_mappings.nested",
    "dom-3": "contained resources: app.fhir_mappings.nested",
    "dom-4": "contained resources: app.fhir_mappings.nested",
    "dom-5": "contained resources: app.fhir_mappings.nested",
    "ele-1": "elements without content: app.fhir_mappings.walker",
    "ref-1": "references: app.fhir_mappings.references",
    "txt-1": "narratives: app.fhir_mappings.xhtml",
    "txt-2": "narratives: app.fhir_mappings.xhtml",
}
NOT_ENFORCED: dict[str, str] = {}
SCOPE = "patient.exists() or scope.coding.where(system='%s' and code='%s').exists().not()"
CONSENT_SCOPE = "http://terminology.hl7.org/CodeSystem/consentscope"
ERRATA = {
    # R4 prints a placeholder ('something') for the code system, so that the rule never fails.
    "ppc-2": SCOPE % (CONSENT_SCOPE, "patient-privacy"),
    "ppc-3": SCOPE % (CONSENT_SCOPE, "research"),
    "ppc-4": SCOPE % (CONSENT_SCOPE, "adr"),
    "ppc-5": SCOPE % (CONSENT_SCOPE, "treatment"),
    # R4 compares a CodeableConcept with a string and selects the result, which is never empty.
    "con-3": (
        "clinicalStatus.exists() or verificationStatus.coding.where(system="
        "'http://terminology.hl7.org/CodeSystem/condition-ver-status' and "
        "code = 'entered-in-error').exists() or "
        "category.coding.where(code = 'problem-list-item').empty()"
    ),
}
"""Invariants whose R4 expression does not say what its words say: key to what is checked."""


def definitions(package: Path) -> Iterator[Json]:
    """Every definition that this tool reads from the tarball, in file name order."""
    wanted = (
        "StructureDefinition-",
        "ValueSet-",
        "CodeSystem-",
        "CompartmentDefinition-patient.json",
    )
    found: dict[str, bytes] = {}
    with tarfile.open(package) as tarball:
        for member in tarball:
            name = member.name.rpartition("/")[2]
            stream = tarball.extractfile(member) if name.startswith(wanted) else None
            if stream:
                found[name] = stream.read()
    for name in sorted(found):
        yield orjson.loads(found[name])


def core_types(resources: Iterable[Json]) -> list[Json]:
    """The StructureDefinitions that define a type: neither profile, extension nor logical model."""
    return [
        resource
        for resource in resources
        if resource["resourceType"] == "StructureDefinition"
        and resource["kind"] != "logical"
        and resource.get("derivation") != "constraint"
        and resource["url"] == CORE + resource["type"]
    ]


def structure(resources: list[Json]) -> Json:
    """The content of `r4-structure.json`."""
    types: Json = {}
    bound: set[str] = set()
    for source in sorted(core_types(resources), key=lambda each: each["type"]):
        if source["kind"] == "primitive-type":
            types[source["type"]] = primitive(source)
            continue
        types.update(elements_by_type(source, bound))
    value_sets, unexpanded = expand(bound, resources)
    return {
        "fhirVersion": "4.0.1",
        "types": types,
        "valueSets": value_sets,
        "unexpanded": unexpanded,
        "narrative": narrative(resources),
        "rules": rules(resources, set(types)),
    }


def rules(resources: Iterable[Json], types: set[str]) -> Json:
    """Type, backbone element or profile to its rules of presence; those of Element are the
    walker's.
    """
    profile = [each for each in resources if each["url"] == CORE + "SimpleQuantity"]
    result: Json = {name: list(each) for name, each in TEXT_RULES.items()}
    for source in core_types(resources) + profile:
        for element in source["snapshot"]["element"]:
            path = element["path"]
            if source in profile:
                path = source["id"] if path == source["type"] else ""
            if path not in types | {each["id"] for each in profile}:
                continue
            present = {rule["key"] for rule in result.get(path, ())}
            for constraint in element.get("constraint", ()):
                found = existence_rule(constraint["expression"])
                if found and constraint["severity"] == "error" and constraint["key"] not in present:
                    kind, names = found
                    result.setdefault(path, []).append(
                        {
                            "key": constraint["key"],
                            "rule": kind,
                            "elements": names,
                            "human": constraint["human"].strip(),
                        }
                    )
    return dict(sorted(result.items()))


def invariants(resources: Iterable[Json]) -> Json:
    """Type, backbone element or element path to its invariants that `existence_rule` cannot read."""
    result: Json = {}
    for source in core_types(resources):
        for element in source["snapshot"]["element"]:
            for constraint in element.get("constraint", ()):
                key = constraint["key"]
                inherited = key.startswith("dom-") and source["type"] != "DomainResource"
                if inherited or key in ELSEWHERE or key in NOT_ENFORCED:
                    continue
                if constraint["severity"] == "error" and existence_rule(constraint["expression"]):
                    continue
                result.setdefault(element["path"], []).append(
                    {name: constraint[name].strip() for name in ("key", "severity", "human")}
                    | {"expression": ERRATA.get(key, constraint["expression"])}
                )
    return {
        "invariants": dict(sorted(result.items())),
        "elsewhere": ELSEWHERE,
        "notEnforced": NOT_ENFORCED,
    }


def narrative(resources: Iterable[Json]) -> Json:
    """Names allowed in a narrative, from the two lists in the XPath of the invariant txt-1."""
    source = next(each for each in core_types(resources) if each["type"] == "Narrative")
    xpath = next(
        constraint["xpath"]
        for element in source["snapshot"]["element"]
        for constraint in element.get("constraint", ())
        if constraint["key"] == "txt-1"
    )
    elements, attributes = re.findall(r"=\(('[^)]*')\)", xpath)
    return {
        "elements": re.findall(r"'(\w+)'", elements),
        "attributes": re.findall(r"'(\w+)'", attributes),
    }


def patient_compartment(resources: Iterable[Json]) -> Json:
    """Resource type to the search parameters by which it is in the compartment."""
    source = next(each for each in resources if each["resourceType"] == "CompartmentDefinition")
    return {each["code"]: each["param"] for each in source["resource"] if "param" in each}


def summary(resources: Iterable[Json]) -> Json:
    """The elements of a summary, by type and dotted path of a backbone element, in official order."""
    result: dict[str, list[str]] = {}
    for source in sorted(core_types(resources), key=lambda each: each["type"]):
        for element in source["snapshot"]["element"][1:]:
            if element.get("isSummary"):
                parent, _, leaf = element["path"].rpartition(".")
                result.setdefault(parent, []).append(leaf.removesuffix("[x]"))
    return {name: " ".join(leaves) for name, leaves in sorted(result.items())}


def primitive(source: Json) -> Json:
    """A primitive: its base type and the official pattern of its text, if there is one."""
    result = {"kind": "primitive", "base": base(source)}
    for element in source["snapshot"]["element"]:
        if element["path"] == source["type"] + ".value":
            for extension in element["type"][0]["extension"]:
                if extension["url"] == REGEX:
                    result["regex"] = extension["valueString"]
    return result


def base(source: Json) -> str:
    return str(source.get("baseDefinition", "")).removeprefix(CORE)


def elements_by_type(source: Json, bound: set[str]) -> Json:
    """The type itself and each backbone element in it, keyed by dotted path, in official order."""
    name = source["type"]
    elements = source["snapshot"]["element"]
    parents = {element["path"].rpartition(".")[0] for element in elements}
    kind = "resource" if source["kind"] == "resource" else "complex"
    result: Json = {name: {"kind": kind, "base": base(source), "elements": {}}}
    if source["abstract"]:
        result[name]["abstract"] = True
    for element in elements[1:]:
        parent, _, leaf = element["path"].rpartition(".")
        nested = element["path"] in parents
        if nested:
            backbone = element["type"][0]["code"]
            result[element["path"]] = {"kind": "backbone", "base": backbone, "elements": {}}
        result[parent]["elements"][leaf] = slot(element, kind, nested, bound)
    return result


def slot(element: Json, kind: str, nested: bool, bound: set[str]) -> Json:
    """One element: what differs from the commonest case (0..1, no binding, any target)."""
    result: Json = {"type": " ".join(type_names(element, kind, nested))}
    if element["min"]:
        result["min"] = element["min"]
    if element["max"] != "1":
        result["max"] = element["max"]
    profiles = {
        p.removeprefix(CORE) for each in element.get("type", ()) for p in each.get("profile", ())
    }
    targets = {
        t.removeprefix(CORE)
        for each in element.get("type", ())
        if each["code"] == "Reference"
        for t in each.get("targetProfile", ())
    }
    if profiles:
        result["profiles"] = sorted(profiles)
    if targets - {"Resource"}:
        result["targets"] = sorted(targets)
    binding = element.get("binding", {})
    if binding.get("strength") == "required":
        result["binding"] = binding["valueSet"].partition("|")[0]
        bound.add(result["binding"])
    return result


def type_names(element: Json, kind: str, nested: bool) -> list[str]:
    path = element["path"]
    if "contentReference" in element:
        return [element["contentReference"].removeprefix("#")]
    if nested:
        return [path]
    codes = [each["code"] for each in element["type"]]
    if codes[0].startswith(SYSTEM_TYPE):
        # The package types `id` and `Extension.url` as FHIRPath strings; the text of R4 says id
        # (resource.html#id), string (element.html#id) and uri (extensibility.html#Extension.url).
        if path == "Extension.url":
            return ["uri"]
        return ["id" if kind == "resource" and path.count(".") == 1 else "string"]
    return codes


def expand(urls: Iterable[str], resources: list[Json]) -> tuple[Json, Json]:
    """The codes of each value set by code system; and what cannot be expanded, with the reason."""
    value_sets = {r["url"]: r for r in resources if r["resourceType"] == "ValueSet"}
    systems = {r["url"]: r for r in resources if r["resourceType"] == "CodeSystem"}
    expanded: Json = {}
    unexpanded: Json = {}
    for url in sorted(urls):
        if url not in value_sets:
            unexpanded[url] = "the value set is not in the R4 package"
            continue
        codes: dict[str, list[str]] = {}
        compose = value_sets[url]["compose"]
        assert "exclude" not in compose, url
        for include in compose["include"]:
            assert not {"filter", "valueSet"} & include.keys(), url
            system = include["system"]
            if "concept" in include:
                found = [concept["code"] for concept in include["concept"]]
            elif system in systems and systems[system]["content"] == "complete":
                found = list(walk(systems[system].get("concept", [])))
            else:
                unexpanded[url] = f"the code system {system} is kept outside of FHIR"
                break
            codes.setdefault(system, []).extend(found)
        else:
            expanded[url] = codes
    return expanded, unexpanded


def walk(concepts: Iterable[Json]) -> Iterator[str]:
    for concept in concepts:
        yield concept["code"]
        yield from walk(concept.get("concept", ()))


def resource_types(types: Json, known: dict[str, int]) -> dict[str, int]:
    """Numbers of the concrete resource types: those known unchanged, new ones after the highest."""
    result = dict(known)
    for name, each in types.items():
        if each["kind"] == "resource" and not each.get("abstract") and name not in result:
            result[name] = max(result.values(), default=0) + 1
    return result


def text(content: Json) -> str:
    """JSON with one line for each member of the second level."""
    lines = []
    for key, value in content.items():
        if isinstance(value, dict):
            members = [f"{json.dumps(k)}:{compact(v)}" for k, v in value.items()]
            lines.append(f"{json.dumps(key)}:{{\n" + ",\n".join(members) + "\n}")
        else:
            lines.append(f"{json.dumps(key)}:{compact(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def build(package: Path, known: dict[str, int]) -> dict[str, str]:
    """File name to content, for all files that this tool writes."""
    resources = list(definitions(package))
    content = structure(resources)
    numbers = resource_types(content["types"], known)
    return {
        "r4-structure.json": text(content),
        "r4-invariants.json": text(invariants(resources)),
        "r4-resource-types.json": text(numbers),
        "r4-summary.json": text(summary(resources)),
        "r4-patient-compartment.json": text(patient_compartment(resources)),
    }


def known_numbers() -> dict[str, int]:
    file = DATA / "r4-resource-types.json"
    return dict(json.loads(file.read_text())) if file.exists() else {}


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tools.build_structure hl7.fhir.r4.examples-4.0.1.tgz")
    for name, content in build(Path(sys.argv[1]), known_numbers()).items():
        (DATA / name).write_text(content)
        print(f"{name}: {len(content):,} bytes")


if __name__ == "__main__":
    main()
