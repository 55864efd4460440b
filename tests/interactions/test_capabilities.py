"""capabilities: what the CapabilityStatement says is served (hl7.org/fhir/R4/http.html#capabilities)."""

from __future__ import annotations

import re
from typing import Any

from app.fhir_mappings.registry import RESOURCE_TYPES
from app.fhir_mappings.validate import validate
from tests.authz.operations import operations
from tests.interactions.bundles import patient
from tests.spine.conftest import AGENCIES, World, new_patient

RIVER = AGENCIES[0]


async def statement(world: World) -> dict[str, Any]:
    answer = await world.http.get("/fhir/metadata")
    assert answer.status_code == 200
    made: dict[str, Any] = answer.json()
    return made


async def test_the_statement_is_valid_and_names_every_type(world: World) -> None:
    made = await statement(world)
    assert validate(made) == []
    assert {each["type"] for each in made["rest"][0]["resource"]} == set(RESOURCE_TYPES)


async def test_every_operation_route_is_claimed_and_every_claim_is_a_route(world: World) -> None:
    made = await statement(world)
    claimed = {
        (each["type"], operation["name"])
        for each in made["rest"][0]["resource"]
        for operation in each.get("operation", ())
    }
    routed = set()
    for _, path in operations(world.application):
        match = re.fullmatch(r"/fhir/([^/]+)/(?:.*/)?\$([a-z-]+)", path)
        if match:
            types = RESOURCE_TYPES if match[1] == "{type}" else (match[1],)
            routed |= {(type_, match[2]) for type_ in types}
    assert claimed <= routed
    # An operation of our own is claimed once its definition is published; R4's own at once.
    standard = {"everything", "expand", "lookup", "meta", "meta-add", "meta-delete", "validate"}
    assert {each for each in routed if each[1] in standard} <= claimed
    assert ("Patient", "everything") in claimed


async def test_every_claimed_interaction_answers(world: World) -> None:
    river, known = world[RIVER], await new_patient(world[RIVER])
    made = await statement(world)
    (of_patient,) = [e for e in made["rest"][0]["resource"] if e["type"] == "Patient"]
    change = b'[{"op":"add","path":"/active","value":true}]'
    patch = {"content-type": "application/json-patch+json"}
    calls = {
        "read": ("GET", f"/Patient/{known}", None, {}),
        "vread": ("GET", f"/Patient/{known}/_history/1", None, {}),
        "history-instance": ("GET", f"/Patient/{known}/_history", None, {}),
        "history-type": ("GET", "/Patient/_history", None, {}),
        "search-type": ("GET", "/Patient", None, {}),
        "create": ("POST", "/Patient", patient(), {}),
        "update": ("PUT", f"/Patient/{known}", patient(id=known), {}),
        "patch": ("PATCH", f"/Patient/{known}", change, patch),
        "delete": ("DELETE", f"/Patient/{known}", None, {}),
        "transaction": ("POST", "", {"resourceType": "Bundle", "type": "transaction"}, {}),
        "batch": ("POST", "", {"resourceType": "Bundle", "type": "batch"}, {}),
        "search-system": ("GET", "?_type=Patient", None, {}),
        "history-system": ("GET", "/_history", None, {}),
    }
    claimed = [each["code"] for each in of_patient["interaction"]]
    claimed += [each["code"] for each in made["rest"][0]["interaction"]]
    assert {"read", "patch", "history-type", "history-system", "batch"} <= set(claimed)
    for code in sorted(claimed, key=list(calls).index):
        method, path, body, headers = calls[code]
        sent = {"content": body} if isinstance(body, bytes) else {"json": body} if body else {}
        answer = await river.http.request(
            method, f"/fhir{path}", headers=river.headers | headers, **sent
        )
        assert answer.status_code in (200, 201, 204), (code, answer.text)


async def test_what_is_said_of_forms_and_conditions_is_true(world: World) -> None:
    made = await statement(world)
    for form in made["format"]:
        answer = await world.http.get(f"/fhir/metadata?_format={form.replace('+', '%2B')}")
        assert answer.status_code == 200, form
    (of_patient,) = [e for e in made["rest"][0]["resource"] if e["type"] == "Patient"]
    assert of_patient["conditionalDelete"] == "single"
    assert of_patient["updateCreate"] is False
    assert of_patient["versioning"] == "versioned-update"
    assert (await world.http.get("/fhir/metadata?_format=ttl")).status_code == 406
