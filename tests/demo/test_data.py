"""The demo's data before it meets a service: valid R4, neutral ids, sums that are sums."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from app.demo.dates import resolve_dates
from app.demo.load import CLIENTS, bundles
from app.fhir_mappings import links
from app.fhir_mappings.validate import validate
from app.security import demonstration

TODAY = date(2031, 5, 17)
TRANSLATION = "http://hl7.org/fhir/StructureDefinition/translation"
ORDINAL = "http://hl7.org/fhir/StructureDefinition/ordinalValue"
LOINC = "http://loinc.org"

Json = dict[str, Any]


def _written() -> Iterator[tuple[str, Json]]:
    """Every version that is written: the client that writes it and the resource, in order."""
    for each in bundles(TODAY):
        for entry in each.bundle["entry"]:
            yield each.client, entry["resource"]


def _latest(type_: str) -> dict[str, Json]:
    return {r["id"]: r for _, r in _written() if r["resourceType"] == type_}


def test_every_bundle_is_valid_r4() -> None:
    found = {each.name: validate(each.bundle, expected_type="Bundle") for each in bundles(TODAY)}
    assert {name: issues for name, issues in found.items() if issues} == {}


def test_every_reference_is_there_before_it_is_needed() -> None:
    known: set[tuple[str, str]] = set()
    for each in bundles(TODAY):
        written = [entry["resource"] for entry in each.bundle["entry"]]
        known |= {(resource["resourceType"], resource["id"]) for resource in written}
        for resource in written:
            for link in links.literal_references(resource):
                assert (link.type, link.id) in known, (each.name, link.expression)


def test_no_id_holds_a_name() -> None:
    names = {
        part.lower()
        for type_ in ("Patient", "Practitioner")
        for person in _latest(type_).values()
        for name in person["name"]
        for part in [*name.get("given", ()), name.get("family", ""), name.get("text", "")]
        if part
    }
    ids = {resource["id"] for _, resource in _written()}
    assert len(names) > 6
    assert {(name, id_) for name in names for id_ in ids if name in id_} == set()


def test_every_client_writes_the_organization_it_speaks_for() -> None:
    writers = {r["id"]: client for client, r in _written() if r["resourceType"] == "Organization"}
    agencies = [each for each in CLIENTS if each.patient is None]
    assert writers == {each.organization: each.client for each in agencies}


def test_the_clients_that_one_click_gives_tokens_for_are_those_of_the_demo() -> None:
    assert {each.client for each in CLIENTS} == demonstration.CLIENTS
    assert demonstration.strangers([each.client for each in CLIENTS]) == []


def _weights(questionnaire: Json) -> dict[tuple[str, str], Decimal]:
    return {
        (item["linkId"], option["valueCoding"]["code"]): extension["valueDecimal"]
        for item in questionnaire["item"]
        for option in item.get("answerOption", ())
        for extension in option["valueCoding"].get("extension", ())
        if extension["url"] == ORDINAL
    }


@pytest.mark.parametrize(("code", "instrument"), [("44261-6", "phq-9"), ("101698-9", "pcl-5")])
def test_a_score_is_the_sum_of_the_weights_of_its_answers(code: str, instrument: str) -> None:
    weights = _weights(_latest("Questionnaire")[instrument])
    responses = _latest("QuestionnaireResponse")
    scores = [
        each
        for each in _latest("Observation").values()
        if each["code"]["coding"][0] == {"system": LOINC, "code": code}
    ]
    assert scores
    for score in scores:
        (source,) = score["derivedFrom"]
        response = responses[source["reference"].removeprefix("QuestionnaireResponse/")]
        assert response["questionnaire"] == f"Questionnaire/{instrument}"
        given = [
            weights[item["linkId"], answer["valueCoding"]["code"]]
            for item in response["item"]
            for answer in item["answer"]
        ]
        assert score["valueQuantity"]["value"] == sum(given)


def test_answers_come_in_english_and_spanish_with_the_same_codes() -> None:
    responses = _latest("QuestionnaireResponse").values()
    languages = {
        (each["questionnaire"], each["language"])
        for each in responses
        if each["questionnaire"] in ("Questionnaire/phq-9", "Questionnaire/social-needs")
    }
    assert languages == {
        (f"Questionnaire/{name}", language)
        for name in ("phq-9", "social-needs")
        for language in ("en", "es")
    }
    options = {
        f"Questionnaire/{name}": {
            (item["linkId"], option["valueCoding"]["code"])
            for item in questionnaire["item"]
            for option in item.get("answerOption", ())
        }
        for name, questionnaire in _latest("Questionnaire").items()
    }
    for each in responses:
        for item in each["item"]:
            for answer in item["answer"]:
                if "valueCoding" in answer:
                    chosen = (item["linkId"], answer["valueCoding"]["code"])
                    assert chosen in options[each["questionnaire"]]


def test_every_question_and_answer_has_its_spanish_translation() -> None:
    for questionnaire in _latest("Questionnaire").values():
        texts = [(questionnaire, "title")]
        for item in questionnaire["item"]:
            texts.append((item, "text"))
            texts += [(o["valueCoding"], "display") for o in item.get("answerOption", ())]
        for holder, name in texts:
            (extension,) = holder[f"_{name}"]["extension"]
            parts = {part["url"]: part for part in extension["extension"]}
            assert extension["url"] == TRANSLATION
            assert parts["lang"]["valueCode"] == "es"
            assert parts["content"]["valueString"].strip()


def test_no_licensed_wording_is_shipped() -> None:
    for name in ("phq-9", "pcl-5"):
        for number, item in enumerate(_latest("Questionnaire")[name]["item"], start=1):
            assert item["text"] == f"Item {number}"
            for option in item["answerOption"]:
                assert option["valueCoding"]["display"].startswith("Answer ")


def test_the_shelters_own_releases_name_recipient_purpose_and_end() -> None:
    # 34 USC 12291(b)(2): a victim-service provider's release is never blanket and never endless.
    releases = [
        resource
        for client, resource in _written()
        if client == "open-door-shelter" and resource["resourceType"] == "Consent"
    ]
    assert releases
    for release in releases:
        provision = release["provision"]
        assert provision["actor"]
        assert provision["purpose"]
        assert date.fromisoformat(provision["period"]["end"]) > TODAY


def test_dates_that_move_are_counted_from_the_day_of_loading() -> None:
    consent = _latest("Consent")["survivor-b-consent-open-door"]
    assert consent["provision"]["period"] == {"start": "2031-04-17", "end": "2031-08-15"}
    appointment = _latest("Appointment")["survivor-a-follow-up"]
    assert appointment["start"] == "2031-05-31T10:00:00-08:00"


def test_nothing_in_the_demo_is_dated_after_the_day_of_loading_but_what_is_planned() -> None:
    now = datetime.now(UTC).date()
    late = [
        (resource["id"], key)
        for _, resource in _written()
        for key in ("authoredOn", "authored", "recordedDate", "date", "dateTime", "recorded")
        if str(resource.get(key, ""))[:10] > now.isoformat()
    ]
    assert late == []


@pytest.mark.parametrize("text", ["@today+d", "@todayish", "@today +1d", "@today+12345d"])
def test_a_mistyped_date_stops_the_load(text: str) -> None:
    with pytest.raises(ValueError, match="write it as @today"):
        resolve_dates({"period": [{"end": text}]}, TODAY)
