"""Forms of an answer: media types, pretty, summaries, elements (hl7.org/fhir/R4/http.html#mime-type)."""

from __future__ import annotations

import httpx
import pytest

from app.fhir_mappings.xml_form import to_json
from tests.interactions.bundles import entry, patient, send, statuses
from tests.spine.conftest import AGENCIES, Agency, World, new_patient, observation

RIVER, HARBOR, SHELTER, LEGAL = AGENCIES
SUBSETTED = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "SUBSETTED",
}


@pytest.mark.parametrize(
    ("accept", "status", "content_type"),
    [
        ("application/fhir+json", 200, "application/fhir+json; charset=utf-8"),
        ("application/json", 200, "application/json; charset=utf-8"),
        ("*/*", 200, "application/fhir+json; charset=utf-8"),
        (
            "application/fhir+json, application/fhir+xml;q=0.9",
            200,
            "application/fhir+json; charset=utf-8",
        ),
        ("text/turtle, application/fhir+json;q=0.1", 200, "application/fhir+json; charset=utf-8"),
        ("application/fhir+json; fhirVersion=4.0", 200, "application/fhir+json; charset=utf-8"),
        ("application/fhir+json; fhirVersion=3.0", 406, None),
        ("text/turtle", 406, None),
        ("application/fhir+json;q=0", 406, None),
    ],
)
async def test_accept_is_answered_or_refused(
    world: World, accept: str, status: int, content_type: str | None
) -> None:
    known = await new_patient(world[RIVER])
    answer = await world[RIVER].get(f"/Patient/{known}", accept=accept)
    assert answer.status_code == status
    assert answer.json()["resourceType"] == ("Patient" if status == 200 else "OperationOutcome")
    if content_type:
        assert answer.headers["content-type"] == content_type


async def test_what_is_not_acceptable_is_refused_before_anything_is_written(world: World) -> None:
    river = world[RIVER]
    for headers, query in (({"accept": "text/turtle"}, ""), ({}, "?_format=ttl")):
        answer = await river.http.post(
            f"/fhir/Patient{query}", headers=river.headers | headers, json=patient()
        )
        assert answer.status_code == 406
    assert (await river.get("/Patient?_total=accurate")).json()["total"] == 0


@pytest.mark.parametrize("media", ["text/plain", "application/fhir+json; charset=latin1"])
async def test_another_content_type_is_415(world: World, media: str) -> None:
    river = world[RIVER]
    answer = await river.http.post(
        "/fhir/Patient",
        headers=river.headers | {"content-type": media},
        content=b'{"resourceType":"Patient"}',
    )
    assert answer.status_code == 415


async def test_format_goes_before_accept_and_pretty_is_for_people(world: World) -> None:
    river = world[RIVER]
    body = observation(await new_patient(river), valueQuantity={"value": 1234.5})
    made = (await river.post("/Observation", body)).json()["id"]
    answer = await river.get(f"/Observation/{made}?_format=json&_pretty=true", accept="text/turtle")
    assert answer.status_code == 200
    assert b'\n  "status": "final"' in answer.content
    assert b'"value": 1234.5' in answer.content
    assert int(answer.headers["content-length"]) == len(answer.content)
    missing = await river.get("/Observation/none?_pretty=true")
    assert missing.status_code == 404
    assert b"\n  " in missing.content
    assert (await river.get(f"/Observation/{made}?_pretty=maybe")).status_code == 400


async def test_every_summary_of_a_read(world: World) -> None:
    river = world[RIVER]
    text = {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">x</div>'}
    photo = [{"contentType": "image/png", "data": "AAAA"}]
    body = patient("a", text=text, photo=photo, maritalStatus={"text": "m"})
    known = (await river.post("/Patient", body)).json()["id"]

    async def keys(query: str) -> set[str]:
        answer = await river.get(f"/Patient/{known}?{query}")
        assert answer.status_code == 200, answer.text
        made = answer.json()
        shortened = SUBSETTED in made["meta"].get("tag", [])
        assert shortened == (query != "_summary=false")
        assert answer.headers["etag"] == 'W/"1"'
        return set(made) - {"resourceType", "id", "meta"}

    assert await keys("_summary=true") == {"identifier", "name"}
    assert await keys("_summary=text") == {"text"}
    assert await keys("_summary=data") == {"identifier", "name", "photo", "maritalStatus"}
    assert await keys("_summary=false") == {"text", "identifier", "name", "photo", "maritalStatus"}
    assert await keys("_elements=name,maritalStatus") == {"name", "maritalStatus"}
    for query in ("_summary=some", "_elements=a.b.c", "_summary=true&_elements=name"):
        assert (await river.get(f"/Patient/{known}?{query}")).status_code == 400


async def test_required_elements_stay_in_every_shorter_form(world: World) -> None:
    river = world[RIVER]
    known = (await river.post("/Observation", observation(await new_patient(river)))).json()["id"]
    for query in ("_elements=subject", "_summary=text", "_summary=true"):
        made = (await river.get(f"/Observation/{known}?{query}")).json()
        assert {"status", "code"} <= set(made), query


async def test_searches_and_histories_shorten_what_they_hold(world: World) -> None:
    river = world[RIVER]
    known = await new_patient(river)
    for path in ("/Patient", f"/Patient/{known}/_history"):
        bundle = (await river.get(f"{path}?_elements=active")).json()
        (one,) = [each["resource"] for each in bundle["entry"]]
        assert set(one) == {"resourceType", "id", "meta"}
        assert one["meta"]["tag"] == [SUBSETTED]
        assert "tag" not in bundle.get("meta", {})
    posted = await river.http.post(
        "/fhir/Patient/_search", headers=river.headers, data={"_elements": "active"}
    )
    assert "name" not in posted.json()["entry"][0]["resource"]
    count = (await river.get("/Patient?_summary=count")).json()
    assert (count["total"], "entry" in count) == (1, False)


async def test_a_summary_of_a_stored_bundle_is_of_the_bundle(world: World) -> None:
    river = world[RIVER]
    kept = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": patient()}]}
    known = (await river.post("/Bundle", kept)).json()["id"]
    made = (await river.get(f"/Bundle/{known}?_elements=type")).json()
    assert made["meta"]["tag"] == [SUBSETTED]
    assert "entry" not in made


async def test_an_entry_of_a_batch_has_the_form_of_the_batch(world: World) -> None:
    river, known = world[RIVER], await new_patient(world[RIVER])
    answer = await send(
        river, "batch", entry("GET", f"Patient/{known}?_pretty=true&_elements=active")
    )
    assert statuses(answer) == ["200"]
    assert b"\n" not in answer.content
    assert "name" not in answer.json()["entry"][0]["resource"]


async def test_the_form_tells_nothing_of_what_is_hidden(world: World) -> None:
    known = await new_patient(world[RIVER])
    for query in ("_summary=true", "_elements=name", "_pretty=true"):
        hidden = await world[LEGAL].get(f"/Patient/{known}?{query}")
        missing = await world[LEGAL].get(f"/Patient/none?{query}")
        assert (hidden.status_code, hidden.content) == (404, missing.content)


PATIENT_XML = (
    '<Patient xmlns="http://hl7.org/fhir"><name><family value="\u00c5s"/></name>'
    '<multipleBirthInteger value="2"/></Patient>'
)


async def _send_xml(agency: Agency, path: str, text: str, **headers: str) -> httpx.Response:
    own = {"content-type": "application/fhir+xml"} | headers
    return await agency.http.post(
        f"/fhir{path}", headers=agency.headers | own, content=text.encode()
    )


async def test_xml_is_taken_and_given_and_is_the_resource_that_json_has(world: World) -> None:
    river = world[RIVER]
    made = await _send_xml(river, "/Patient", PATIENT_XML, accept="application/fhir+xml")
    assert made.status_code == 201
    assert made.headers["content-type"] == "application/fhir+xml; charset=utf-8"
    id_ = made.headers["location"].split("/")[-3]
    json_ = await river.get(f"/Patient/{id_}")
    assert json_.json()["name"] == [{"family": "\u00c5s"}]
    assert json_.json()["multipleBirthInteger"] == 2
    for accept, query in (("application/fhir+xml", ""), ("text/xml", ""), ("*/*", "?_format=xml")):
        answer = await river.get(f"/Patient/{id_}{query}", accept=accept)
        assert answer.status_code == 200
        assert to_json(answer.content, max_depth=20) == json_.content
        assert int(answer.headers["content-length"]) == len(answer.content)
    found = await river.get("/Patient?_summary=true", accept="application/fhir+xml")
    assert b'<Bundle xmlns="http://hl7.org/fhir">' in found.content
    assert b'<code value="SUBSETTED"/>' in found.content


async def test_xml_tells_no_more_than_json_to_whom_nothing_is_shown(world: World) -> None:
    known = await new_patient(world[RIVER])
    hidden = await world[LEGAL].get(f"/Patient/{known}", accept="application/fhir+xml")
    missing = await world[LEGAL].get("/Patient/nothing", accept="application/fhir+xml")
    assert hidden.status_code == 404
    assert hidden.content == missing.content
    assert b"<OperationOutcome" in hidden.content
    empty = await world[LEGAL].get("/Patient?_total=accurate", accept="application/fhir+xml")
    assert b'<total value="0"/>' in empty.content


async def test_faults_in_xml_are_told_with_their_place(world: World) -> None:
    river = world[RIVER]
    for text, status, place in (
        ("<Patient", 400, None),
        ('<!DOCTYPE a [<!ENTITY b "c">]><Patient xmlns="http://hl7.org/fhir"/>', 400, None),
        (
            '<Patient xmlns="http://hl7.org/fhir"><colour value="red"/></Patient>',
            400,
            "Patient.colour",
        ),
        (
            '<Patient xmlns="http://hl7.org/fhir"><gender value="red"/></Patient>',
            422,
            "Patient.gender",
        ),
    ):
        answer = await _send_xml(river, "/Patient", text)
        assert answer.status_code == status
        assert answer.json()["issue"][0].get("expression", [None])[0] == place
    assert (await river.get("/Patient?_total=accurate")).json()["total"] == 0


async def test_what_xml_would_alter_is_406_on_a_read_and_json_after_a_write(world: World) -> None:
    river = world[RIVER]
    # XML 1.0 has no such character.
    name = {"given": ["Ana\ufffe"]}
    made = await river.http.post(
        "/fhir/Patient",
        headers=river.headers | {"accept": "application/fhir+xml"},
        json={"resourceType": "Patient", "name": [name]},
    )
    assert made.status_code == 201
    assert made.headers["content-type"] == "application/fhir+json; charset=utf-8"
    refused = await river.get(f"/Patient/{made.json()['id']}", accept="application/fhir+xml")
    assert refused.status_code == 406
    assert "application/fhir+json" in refused.json()["issue"][0]["diagnostics"]
