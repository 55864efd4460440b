"""Bundles: put together from bytes, and valid."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from app.errors import Issue, IssueCode
from app.fhir_mappings.bundle import BundleEntry, BundleRequest, BundleResponse, render_bundle
from app.fhir_mappings.json_text import parse
from app.fhir_mappings.operation_outcome import render
from app.fhir_mappings.validate import validate

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PATIENT = b'{"resourceType":"Patient","id":"a","extension":[{"url":"x","valueDecimal":0.40}]}'


def test_a_searchset_splices_resources_unparsed() -> None:
    entries = [
        BundleEntry("http://a/Patient/a", PATIENT, "match"),
        BundleEntry("http://a/OperationOutcome/o", b"not even JSON", "outcome"),
    ]
    rendered = render_bundle("searchset", total=1, links=[("self", "http://a/x")], entries=entries)
    assert rendered == (
        b'{"resourceType":"Bundle","type":"searchset","total":1,'
        b'"link":[{"relation":"self","url":"http://a/x"}],"entry":['
        b'{"fullUrl":"http://a/Patient/a","resource":' + PATIENT + b',"search":{"mode":"match"}},'
        b'{"fullUrl":"http://a/OperationOutcome/o","resource":not even JSON,'
        b'"search":{"mode":"outcome"}}]}'
    )


def test_an_empty_searchset_has_no_empty_arrays() -> None:
    rendered = render_bundle("searchset", total=0, links=[], entries=[])
    assert rendered == b'{"resourceType":"Bundle","type":"searchset","total":0}'


def test_a_total_that_is_not_told_is_left_out() -> None:
    rendered = render_bundle("searchset", total=None, links=[], entries=iter(()))
    assert rendered == b'{"resourceType":"Bundle","type":"searchset"}'


def test_a_history_has_requests_and_responses() -> None:
    deleted = BundleEntry(
        "http://a/Patient/a",
        request=BundleRequest("DELETE", "Patient/a"),
        response=BundleResponse("204", etag='W/"2"', last_modified=NOW),
    )
    created = BundleEntry(
        "http://a/Patient/a",
        PATIENT,
        request=BundleRequest("POST", "Patient"),
        response=BundleResponse("201 Created", "Patient/a/_history/1", 'W/"1"', NOW),
    )
    rendered = render_bundle("history", total=2, links=[], entries=[deleted, created])
    bundle = parse(rendered, max_depth=20)
    assert validate(bundle) == []
    assert bundle["entry"][0] == {
        "fullUrl": "http://a/Patient/a",
        "request": {"method": "DELETE", "url": "Patient/a"},
        "response": {
            "status": "204",
            "etag": 'W/"2"',
            "lastModified": "2026-03-01T12:00:00.000000Z",
        },
    }
    assert b'"valueDecimal":0.40' in rendered


def test_a_batch_response_carries_outcomes() -> None:
    outcome = render([Issue(IssueCode.CONFLICT, 'Say "when".')])
    entry = BundleEntry(response=BundleResponse("412", outcome=outcome))
    rendered = render_bundle("batch-response", total=None, links=[], entries=[entry])
    bundle = parse(rendered, max_depth=20)
    assert validate(bundle) == []
    issue = bundle["entry"][0]["response"]["outcome"]["issue"][0]
    assert issue["diagnostics"] == 'Say "when".'


COMPOSITION = (
    b'{"resourceType":"Composition","status":"final","type":{"text":"x"},"date":"2026",'
    b'"title":"x","author":[{"reference":"Organization/a"}]}'
)


def test_a_document_has_identifier_meta_and_timestamp() -> None:
    rendered = render_bundle(
        "document",
        total=None,
        links=[],
        entries=[BundleEntry("urn:uuid:c757873d-ec9a-4326-a141-556f43239520", COMPOSITION)],
        id="b",
        meta={"security": [{"code": "R"}]},
        identifier={"system": "http://a", "value": "1"},
        timestamp=NOW,
    )
    bundle = parse(rendered, max_depth=20)
    assert validate(bundle) == []
    assert (bundle["id"], bundle["timestamp"]) == ("b", "2026-03-01T12:00:00.000000Z")
    assert bundle["meta"]["security"][0]["code"] == "R"


def test_text_in_urls_is_escaped() -> None:
    rendered = render_bundle("searchset", total=None, links=[('"', "http://a/?x=\\")], entries=[])
    assert parse(rendered, max_depth=9)["link"] == [{"relation": '"', "url": "http://a/?x=\\"}]


def test_a_total_outside_of_searches_and_histories_is_refused() -> None:
    with pytest.raises(ValueError, match="bdl-1"):
        render_bundle("collection", total=1, links=[], entries=[])


def test_an_entry_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="bdl-5"):
        render_bundle("collection", total=None, links=[], entries=[BundleEntry("http://a")])
