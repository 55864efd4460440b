"""Terminology operations over HTTP: what is stored, what ships, and what only its custodian may see."""

from __future__ import annotations

from typing import Any

from tests.fhir_mappings.test_terminology import NEEDS, URL, value_set
from tests.spine.conftest import AGENCIES, World

RIVER, HARBOR = AGENCIES[:2]
VS = "http://example.org/vs"
ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"


def told(answer: Any) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    return {
        each["name"]: next(v for k, v in each.items() if k.startswith("value"))
        for each in answer.json()["parameter"]
        if "part" not in each
    }


async def test_terminology_operations_answer_from_what_is_stored(world: World) -> None:
    river = world[RIVER]
    system = await river.post("/CodeSystem", NEEDS)
    assert system.status_code == 201
    stored = await river.post("/ValueSet", value_set({"system": URL}))
    assert stored.status_code == 201

    expanded = await world[HARBOR].get(f"/ValueSet/$expand?url={VS}&filter=shel&count=5")
    assert expanded.status_code == 200
    assert expanded.json()["expansion"]["contains"] == [
        {"system": URL, "code": "shelter", "display": "Emergency shelter"}
    ]
    by_id = await river.get(f"/ValueSet/{stored.json()['id']}/$expand?count=1&offset=1")
    assert [each["code"] for each in by_id.json()["expansion"]["contains"]] == ["shelter"]
    assert by_id.json()["expansion"]["total"] == 5
    sent = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "valueSet", "resource": value_set({"valueSet": [VS]}, url="http://a")}
        ],
    }
    composed = await river.post("/ValueSet/$expand", sent)
    assert composed.json()["expansion"]["total"] == 5

    codeable = {"coding": [{"system": "http://a", "code": "x"}, {"system": URL, "code": "visa"}]}
    asked = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "url", "valueUri": VS},
            {"name": "codeableConcept", "valueCodeableConcept": codeable},
        ],
    }
    assert told(await river.post("/ValueSet/$validate-code", asked))["result"] is True
    no = await river.get(f"/ValueSet/$validate-code?url={VS}&system={URL}&code=none")
    assert told(no)["result"] is False

    seen = told(await river.get(f"/CodeSystem/$lookup?system={URL}&code=visa"))
    assert seen["display"] == "Visa"
    own = f"/CodeSystem/{system.json()['id']}"
    assert told(await river.get(f"{own}/$validate-code?code=rent"))["result"] is True
    assert told(await river.get(f"{own}/$lookup?code=rent"))["display"] == "Rent"
    above = await river.get(f"/CodeSystem/$subsumes?system={URL}&codeA=housing&codeB=rent")
    assert told(above) == {"outcome": "subsumes"}


async def test_the_shipped_security_labels_can_be_asked(world: World) -> None:
    river = world[RIVER]
    above = await river.get(f"/CodeSystem/$subsumes?system={ACT_CODE}&codeA=SUD&codeB=ETHUD")
    assert told(above) == {"outcome": "subsumes"}
    labels = "http://hl7.org/fhir/ValueSet/security-labels"
    inside = await river.get(
        f"/ValueSet/$validate-code?url={labels}&code=R"
        "&system=http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
    )
    assert told(inside)["result"] is True


async def test_a_request_that_is_not_understood_is_refused_in_a_sentence(world: World) -> None:
    river = world[RIVER]
    for path, status in (
        ("/ValueSet/$expand", 400),
        (f"/ValueSet/$expand?url={VS}", 404),
        ("/ValueSet/$expand?url=a&surprise=1", 400),
        ("/ValueSet/$expand?url=a&count=few", 400),
        ("/ValueSet/$expand?url=http://hl7.org/fhir/ValueSet/encounter-reason", 422),
        ("/CodeSystem/$lookup?code=a", 400),
        ("/CodeSystem/$lookup?system=http://a&code=a", 404),
        ("/CodeSystem/$subsumes?system=http://a&codeA=a", 400),
        ("/ValueSet/none/$expand", 404),
    ):
        answer = await river.get(path)
        assert answer.status_code == status, (path, answer.text)
        (issue,) = answer.json()["issue"]
        assert issue["diagnostics"].endswith(".")


async def test_a_value_set_that_is_its_custodians_alone_is_as_missing_for_others(
    world: World,
) -> None:
    label = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
    secret = value_set({"system": URL, "concept": [{"code": "a"}]}) | {
        "meta": {"security": [{"system": label, "code": "R"}]}
    }
    stored = await world[RIVER].post("/ValueSet", secret)
    assert (await world[RIVER].get(f"/ValueSet/$expand?url={VS}")).status_code == 200
    hidden = await world[HARBOR].get(f"/ValueSet/$expand?url={VS}")
    missing = await world[HARBOR].get("/ValueSet/$expand?url=http://example.org/none")
    assert (hidden.status_code, hidden.content) == (missing.status_code, missing.content)
    by_id = await world[HARBOR].get(f"/ValueSet/{stored.json()['id']}/$expand")
    nowhere = await world[HARBOR].get("/ValueSet/none/$expand")
    assert (by_id.status_code, by_id.content) == (nowhere.status_code, nowhere.content)
