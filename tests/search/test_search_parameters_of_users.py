"""SearchParameters that users store: used at once for what comes, and for what is there after reindexing."""

from __future__ import annotations

from typing import Any

import pytest

from app.fhir_mappings.search_definitions import read_definitions
from app.interactions.reindex import reindex
from tests.search.conftest import HARBOR, RIVER, Searcher
from tests.spine.conftest import actor, consent


def search_parameter(code: str, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "SearchParameter",
        "url": f"http://example.org/SearchParameter/{code}",
        "name": code.replace("-", "_"),
        "description": code,
        "status": "active",
        "code": code,
        "base": ["Patient"],
        "type": "string",
        "expression": "Patient.contact.name",
    } | more


async def test_a_stored_search_parameter_is_used_and_reindexing_finds_what_was_there(
    river: Searcher,
) -> None:
    helper = {"contact": [{"name": {"family": "Helper"}}]}
    old = await river.write("old", {"resourceType": "Patient"} | helper)
    assert (await river.agency.get("/Patient?contact-name=helper")).status_code == 400
    await river.write("name", search_parameter("contact-name"))
    await river.write(
        "of",
        search_parameter(
            "value-of",
            base=["Observation"],
            type="reference",
            expression="Observation.hasMember",
            target=["Observation"],
        ),
    )
    await river.write("new", {"resourceType": "Patient"} | helper)
    assert await river.finds("/Patient?contact-name=help") == {"new"}
    statement = (await river.agency.get("/metadata")).json()
    (patient,) = (e for e in statement["rest"][0]["resource"] if e["type"] == "Patient")
    assert "contact-name" in {each["name"] for each in patient["searchParam"]}
    seen: list[tuple[int, int]] = []
    done = await reindex(
        river.world.database.admin_url, (), lambda n, of: seen.append((n, of)), ["Patient"]
    )
    assert done == 3
    assert seen[0] == (0, 3)
    assert seen[-1] == (3, 3)
    assert await river.finds("/Patient?contact-name=help") == {"old", "new"}
    # Rows made anew are judged as the resource is.
    harbor = river.world[HARBOR]
    assert await river.finds("/Patient?contact-name=help", harbor) == set()
    permit = consent(old, type="permit", actor=actor(HARBOR))
    assert (await river.world[RIVER].post("/Consent", permit)).status_code == 201
    assert await river.finds("/Patient?contact-name=help", harbor) == {"old"}


async def test_reindexing_everything_changes_no_answer(river: Searcher) -> None:
    task = await river.write("task", TASK | {"output": [OUTPUT]})
    request = await river.write("request", REQUEST)
    paths = (
        "/Task?output:DocumentReference.description=made",
        "/Task?output:DocumentReference.status=current",
        "/ServiceRequest?supporting-info:DocumentReference.status=current",
        "/Task?status=draft&_sort=-modified",
        "/DocumentReference?_has:Task:output:status=draft",
    )
    assert task
    assert request
    before = [await river.finds(path) for path in paths]
    assert before[0] == {"task"}
    await reindex(river.world.database.admin_url, (), lambda *_: None)
    assert [await river.finds(path) for path in paths] == before


TASK = {"resourceType": "Task", "status": "draft", "intent": "order"}
OUTPUT: dict[str, Any] = {}
REQUEST: dict[str, Any] = {}


@pytest.fixture(autouse=True, scope="module")
async def document(river: Searcher) -> str:
    patient = await river.write("ana", {"resourceType": "Patient", "active": False})
    made = await river.write(
        "document",
        {
            "resourceType": "DocumentReference",
            "status": "current",
            "description": "Made for the referral",
            "content": [{"attachment": {"contentType": "text/plain"}}],
            "subject": {"reference": f"Patient/{patient}"},
        },
    )
    OUTPUT.update(
        {"type": {"text": "x"}, "valueReference": {"reference": f"DocumentReference/{made}"}}
    )
    REQUEST.update(
        {
            "resourceType": "ServiceRequest",
            "status": "draft",
            "intent": "order",
            "subject": {"reference": f"Patient/{patient}"},
            "supportingInfo": [{"reference": f"DocumentReference/{made}"}],
        }
    )
    return made


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"code": "family"}, "already"),
        ({"code": "_tag"}, "already"),
        ({"expression": "Patient.nowhere"}, "cannot be followed"),
        ({"expression": "Patient.name.first()"}, "cannot be followed"),
        ({"expression": "Observation.code"}, "says nothing"),
        ({"expression": None}, "no expression"),
        ({"base": ["Resource"]}, "no concrete resource type"),
        ({"type": "special"}, "cannot be searched"),
        (
            {"type": "composite", "component": [{"definition": "http://x", "expression": "a"}]},
            "not defined",
        ),
    ],
)
def test_a_search_parameter_that_cannot_be_used_is_told_with_the_reason(
    more: dict[str, Any], why: str
) -> None:
    found = read_definitions([search_parameter("own") | more])
    assert found.parameters == ()
    assert why in found.refused[0][1]


def test_an_inactive_search_parameter_says_nothing() -> None:
    assert read_definitions([search_parameter("own", status="draft")]).parameters == ()
