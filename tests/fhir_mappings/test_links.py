"""Links: every literal reference is found, none invented; replacing leaves the rest alone."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from app.fhir_mappings.links import (
    LinkRef,
    inner_addresses,
    literal_references,
    replace_references,
)

BASE = ("https://records.example/fhir",)


def found(resource: dict[str, Any], *base_urls: str) -> dict[str, LinkRef]:
    return {link.expression: link for link in literal_references(resource, base_urls)}


def test_references_are_found_at_any_depth() -> None:
    resource = {
        "resourceType": "Observation",
        "contained": [
            {
                "resourceType": "PractitionerRole",
                "id": "role",
                "practitioner": {"reference": "Practitioner/p"},
            }
        ],
        "_status": {"extension": [{"url": "urn:x", "valueReference": {"reference": "Group/g"}}]},
        "subject": {"reference": "Patient/a/_history/3"},
        "performer": [{"reference": "#role"}],
        "component": [
            {"extension": [{"url": "urn:x", "valueReference": {"reference": "Device/d"}}]}
        ],
    }
    links = found(resource)
    assert {path: (link.kind, link.type, link.id) for path, link in links.items()} == {
        "Observation.contained[0].practitioner": ("local", "Practitioner", "p"),
        "Observation.status.extension[0].value": ("local", "Group", "g"),
        "Observation.subject": ("local", "Patient", "a"),
        "Observation.performer[0]": ("contained", "", "role"),
        "Observation.component[0].extension[0].value": ("local", "Device", "d"),
    }


def test_entries_of_a_bundle_are_read_but_their_requests_are_not() -> None:
    resource = {
        "resourceType": "Bundle",
        "type": "document",
        "entry": [
            {
                "fullUrl": "urn:uuid:5d1c35f3-3a4e-4f0f-8a9a-4f5c2a6f3b11",
                "resource": {"resourceType": "Flag", "subject": {"reference": "Patient/a"}},
                "request": {"method": "PUT", "url": "Patient/b"},
            }
        ],
    }
    assert [link.id for link in literal_references(resource)] == ["a"]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("https://records.example/fhir/Patient/a", "local"),
        ("https://records.example/fhir2/Patient/a", "absolute"),
        ("https://records.example/fhir/Patient/a/extra", "absolute"),
        ("https://records.example/fhir/Nothing/a", "absolute"),
        ("urn:uuid:5d1c35f3-3a4e-4f0f-8a9a-4f5c2a6f3b11", "urn"),
    ],
)
def test_an_absolute_url_is_local_only_under_a_base_url(text: str, kind: str) -> None:
    resource = {"resourceType": "Flag", "subject": {"reference": text}}
    assert [link.kind for link in literal_references(resource, BASE)] == [kind]


@pytest.mark.parametrize("text", ["Patient?identifier=1", "Nothing/a", "Patient", ""])
def test_text_that_is_no_literal_reference_is_no_link(text: str) -> None:
    assert literal_references({"resourceType": "Flag", "subject": {"reference": text}}) == []


def test_an_attachment_links_by_a_relative_url_only() -> None:
    resource = {
        "resourceType": "DocumentReference",
        "content": [
            {"attachment": {"url": "Binary/b"}},
            {"attachment": {"url": "https://elsewhere.example/Binary/c"}},
            {"attachment": {"url": "https://records.example/fhir/Binary/d"}},
        ],
    }
    assert {path: link.id for path, link in found(resource, *BASE).items()} == {
        "DocumentReference.content[0].attachment.url": "b",
        "DocumentReference.content[2].attachment.url": "d",
    }


def test_authors_are_told_from_other_people() -> None:
    resource = {
        "resourceType": "Procedure",
        "subject": {"reference": "Patient/a"},
        "recorder": {"reference": "Practitioner/r"},
        "performer": [
            {
                "actor": {"reference": "Practitioner/p"},
                "onBehalfOf": {"reference": "Organization/o"},
            }
        ],
        "note": [{"authorReference": {"reference": "RelatedPerson/n"}, "text": "x"}],
    }
    authors = {link.id: link.author for link in literal_references(resource)}
    assert authors == {"a": False, "r": True, "p": True, "o": False, "n": True}


def test_a_source_document_is_no_author() -> None:
    resource = {"resourceType": "Consent", "sourceReference": {"reference": "DocumentReference/d"}}
    assert [link.author for link in literal_references(resource)] == [False]


def test_labels_climb_from_what_the_resource_tells_and_not_from_its_context() -> None:
    plan = {
        "resourceType": "CarePlan",
        "addresses": [{"reference": "Condition/c"}],
        "encounter": {"reference": "Encounter/e"},
        "basedOn": [{"reference": "CarePlan/b"}],
    }
    observation = {
        "resourceType": "Observation",
        "derivedFrom": [{"reference": "QuestionnaireResponse/q"}],
        "focus": [{"reference": "Condition/f"}],
    }
    condition = {
        "resourceType": "Condition",
        "evidence": [{"detail": [{"reference": "Observation/o"}]}],
    }
    request = {
        "resourceType": "MedicationRequest",
        "reasonReference": [{"reference": "Condition/r"}],
    }
    resources = (plan, observation, condition, request)
    climbing = {link.id: link.climbs for each in resources for link in literal_references(each)}
    assert climbing == {
        "c": True,
        "e": False,
        "b": False,
        "q": True,
        "f": False,
        "o": True,
        "r": True,
    }


URN = "urn:uuid:5d1c35f3-3a4e-4f0f-8a9a-4f5c2a6f3b11"


def test_replacing_reaches_references_uris_and_the_narrative_only() -> None:
    resource = {
        "resourceType": "DocumentReference",
        "text": {
            "status": "generated",
            "div": f'<div xmlns="http://www.w3.org/1999/xhtml"><a href="{URN}#x">{URN}</a>'
            f"<img src='{URN}' alt=\"{URN}\"/></div>",
        },
        "extension": [{"url": "urn:x", "valueUri": URN}, {"url": "urn:x", "valueString": URN}],
        "subject": {"reference": URN, "display": URN},
        "content": [{"attachment": {"url": URN}}],
        "description": URN,
    }
    before = deepcopy(resource)
    after = replace_references(resource, {URN: "Patient/1"})
    assert resource == before
    assert after == {
        "resourceType": "DocumentReference",
        "text": {
            "status": "generated",
            "div": f'<div xmlns="http://www.w3.org/1999/xhtml"><a href="Patient/1#x">{URN}</a>'
            f"<img src='Patient/1' alt=\"{URN}\"/></div>",
        },
        "extension": [
            {"url": "urn:x", "valueUri": "Patient/1"},
            {"url": "urn:x", "valueString": URN},
        ],
        "subject": {"reference": "Patient/1", "display": URN},
        "content": [{"attachment": {"url": "Patient/1"}}],
        "description": URN,
    }


def test_replacing_enters_contained_resources_and_keeps_null_items() -> None:
    resource = {
        "resourceType": "Patient",
        "contained": [{"resourceType": "Flag", "id": "f", "subject": {"reference": URN}}],
        "name": [
            {
                "given": ["A", None],
                "_given": [None, {"extension": [{"url": "urn:x", "valueUrl": URN}]}],
            }
        ],
    }
    after = replace_references(resource, {URN: "Patient/1"})
    assert after["contained"][0]["subject"] == {"reference": "Patient/1"}
    assert after["name"][0] == {
        "given": ["A", None],
        "_given": [None, {"extension": [{"url": "urn:x", "valueUrl": "Patient/1"}]}],
    }


def test_an_answer_links_to_the_questionnaire_stored_here() -> None:
    resource = {"resourceType": "QuestionnaireResponse", "questionnaire": "Questionnaire/q|2"}
    (link,) = literal_references(resource)
    assert (link.kind, link.type, link.id, link.climbs) == ("local", "Questionnaire", "q", True)
    resource["questionnaire"] = "https://elsewhere.example/Questionnaire/q"
    assert literal_references(resource) == []


def test_the_addresses_inside_a_stored_bundle_are_those_of_its_entries_at_any_depth() -> None:
    inner = {"resourceType": "Bundle", "entry": [{"fullUrl": "urn:uuid:b"}]}
    bundle = {
        "resourceType": "Bundle",
        "entry": [{"fullUrl": "urn:uuid:a", "resource": inner}, {"search": {"mode": "match"}}],
    }
    assert inner_addresses(bundle) == {"urn:uuid:a", "urn:uuid:b"}
    assert (
        inner_addresses({"resourceType": "Patient", "entry": [{"fullUrl": "urn:uuid:a"}]}) == set()
    )
