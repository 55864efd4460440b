"""FHIRPath Patch over HTTP (hl7.org/fhir/R4/fhirpatch.html)."""

from __future__ import annotations

from typing import Any

from tests.interactions.bundles import criteria, entry, patient, send, statuses
from tests.interactions.test_json_patch import patch
from tests.spine.conftest import AGENCIES, World, new_patient

RIVER, LEGAL = AGENCIES[0], AGENCIES[3]
FHIR_JSON = "application/fhir+json"


def replace_gender(value: str) -> dict[str, Any]:
    parts = [
        {"name": "type", "valueCode": "add"},
        {"name": "path", "valueString": "Patient"},
        {"name": "name", "valueString": "gender"},
        {"name": "value", "valueCode": value},
    ]
    return {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": parts}]}


async def test_parameters_patch_a_resource_alone_by_search_and_in_bundles(world: World) -> None:
    river = world[RIVER]
    for name in ("a", "b", "c", "d"):
        known = (await river.post("/Patient", patient(name))).json()["id"]
        match name:
            case "a":
                answer = await patch(river, f"/Patient/{known}", replace_gender("other"), FHIR_JSON)
                assert answer.status_code == 200, answer.text
            case "b":
                found = f"/Patient?{criteria('b')}"
                answer = await patch(river, found, replace_gender("other"), FHIR_JSON)
                assert answer.status_code == 200, answer.text
            case _:
                kind = "batch" if name == "c" else "transaction"
                one = entry("PATCH", f"Patient/{known}", replace_gender("other"))
                assert statuses(await send(river, kind, one)) == ["200"]
        assert (await river.get(f"/Patient/{known}")).json()["gender"] == "other"


async def test_the_result_is_validated_and_the_hidden_is_missing(world: World) -> None:
    known = await new_patient(world[RIVER])
    bad = await patch(world[RIVER], f"/Patient/{known}", replace_gender("unsure"), FHIR_JSON)
    assert bad.status_code == 422
    assert bad.json()["issue"][0]["expression"] == ["Patient.gender"]
    other = await patch(world[RIVER], f"/Patient/{known}", patient(id=known), FHIR_JSON)
    assert other.status_code == 400
    hidden = await patch(world[LEGAL], f"/Patient/{known}", replace_gender("other"), FHIR_JSON)
    missing = await patch(world[LEGAL], "/Patient/none", replace_gender("other"), FHIR_JSON)
    assert hidden.status_code == missing.status_code == 404
    assert hidden.content == missing.content
