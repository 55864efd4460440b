"""Codes: every Coding at any depth, under the keys that consent uses."""

from __future__ import annotations

from typing import Any

from app.consent import criteria
from app.consent import residual as op
from app.consent.model import Terms
from app.fhir_mappings.codes import code_key, codes, codings, profile_key
from app.fhir_mappings.hashing import hash64
from app.fhir_mappings.registry import type_code

LOINC = "http://loinc.org"

RESOURCE: dict[str, Any] = {
    "resourceType": "Observation",
    "meta": {
        "profile": ["http://example.org/profile"],
        "tag": [{"system": "urn:tags", "code": "t"}],
    },
    "contained": [
        {
            "resourceType": "Device",
            "id": "d",
            "type": {"coding": [{"system": "urn:d", "code": "c"}]},
        }
    ],
    "status": "final",
    "_status": {"extension": [{"url": "urn:x", "valueCoding": {"code": "bare"}}]},
    "code": {"coding": [{"system": LOINC, "code": "1"}, {"system": LOINC, "display": "no code"}]},
    "component": [{"code": {"coding": [{"system": LOINC, "code": "1"}]}}],
}


def test_codings_are_found_at_any_depth_with_their_place() -> None:
    assert codings(RESOURCE) == [
        ("urn:tags", "t", "Observation.meta.tag[0]"),
        ("urn:d", "c", "Observation.contained[0].type.coding[0]"),
        ("", "bare", "Observation.status.extension[0].value"),
        (LOINC, "1", "Observation.code.coding[0]"),
        (LOINC, "1", "Observation.component[0].code.coding[0]"),
    ]


def test_keys_are_distinct_and_hold_the_profiles() -> None:
    expected = {
        code_key("urn:tags", "t"),
        code_key("urn:d", "c"),
        code_key("", "bare"),
        code_key(LOINC, "1"),
        profile_key("http://example.org/profile"),
    }
    assert codes(RESOURCE) == sorted(expected)


def test_a_coding_without_a_system_is_not_one_that_has_it() -> None:
    assert code_key("", "1") != code_key(LOINC, "1")


def test_entries_of_a_bundle_give_their_codings() -> None:
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": RESOURCE}]}
    assert [code for _, code, _ in codings(bundle)] == ["t", "c", "bare", "1", "1"]


def test_the_keys_are_those_that_consent_compiles() -> None:
    terms = Terms(type_code=type_code, hash64=hash64)
    scope = criteria.Scope(permits=True, path="Consent.provision", resolve={}, terms=terms)
    profile = "http://example.org/profile"
    provision = {
        "code": [{"coding": [{"system": LOINC, "code": "1"}]}],
        "class": [{"system": "urn:ietf:rfc:3986", "code": profile}],
    }
    of_code = criteria.code(provision, scope).clauses
    of_class = criteria.resource_class(provision, scope).clauses
    assert of_code == ((op.any_of(op.CODES, {code_key(LOINC, "1")}),),)
    assert of_class == ((op.any_of(op.CODES, {profile_key(profile)}),),)
    assert {code_key(LOINC, "1"), profile_key(profile)} <= set(codes(RESOURCE))
