"""$meta, $meta-add, $meta-delete (hl7.org/fhir/R4/resource-operations.html)."""

from __future__ import annotations

from typing import Any

from tests.interactions.bundles import patient
from tests.spine.conftest import ACT_CODE, AGENCIES, World, new_patient

RIVER, LEGAL = AGENCIES[0], AGENCIES[3]
TAG = {"system": "urn:example:tags", "code": "intake"}
PSY = {"system": ACT_CODE, "code": "PSY"}
ADDICTION = {
    "resourceType": "Condition",
    "code": {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "F11.20"}]},
}


def given(**meta: Any) -> dict[str, Any]:
    return {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": meta}]}


async def test_meta_is_read_added_to_and_taken_from(world: World) -> None:
    river, known = world[RIVER], await new_patient(world[RIVER])
    path = f"/Patient/{known}"
    added = await river.post(f"{path}/$meta-add", given(tag=[TAG], security=[PSY]))
    assert added.status_code == 200, added.text
    meta = (await river.get(f"{path}/$meta")).json()["parameter"][0]["valueMeta"]
    assert meta["tag"] == [TAG]
    assert PSY in meta["security"]
    assert meta["versionId"] == "2"
    assert meta == added.json()["parameter"][0]["valueMeta"]
    again = await river.post(f"{path}/$meta-add", given(tag=[TAG]))
    assert again.json()["parameter"][0]["valueMeta"]["versionId"] == "2"
    less = await river.post(f"{path}/$meta-delete", given(tag=[TAG]))
    assert "tag" not in less.json()["parameter"][0]["valueMeta"]
    old = (await river.get(f"{path}/_history/2/$meta")).json()["parameter"][0]["valueMeta"]
    assert old["tag"] == [TAG]
    assert (await river.get(path)).json()["name"] == patient()["name"]


async def test_labels_that_are_computed_cannot_be_taken_away(world: World) -> None:
    river, known = world[RIVER], await new_patient(world[RIVER])
    body = ADDICTION | {"subject": {"reference": f"Patient/{known}"}}
    made = (await river.post("/Condition", body)).json()
    labels = made["meta"]["security"]
    assert labels
    answer = await river.post(f"/Condition/{made['id']}/$meta-delete", given(security=labels))
    assert answer.status_code == 200
    assert answer.json()["parameter"][0]["valueMeta"]["security"] == labels


async def test_hidden_is_missing_and_faults_are_refused(world: World) -> None:
    known = await new_patient(world[RIVER])
    legal = world[LEGAL]
    for suffix in ("$meta", "_history/1/$meta"):
        hidden = await legal.get(f"/Patient/{known}/{suffix}")
        missing = await legal.get(f"/Patient/none/{suffix}")
        assert (hidden.status_code, hidden.content) == (404, missing.content)
    for name in ("$meta-add", "$meta-delete"):
        hidden = await legal.post(f"/Patient/{known}/{name}", given(tag=[TAG]))
        missing = await legal.post(f"/Patient/none/{name}", given(tag=[TAG]))
        assert (hidden.status_code, hidden.content) == (404, missing.content)
        bad = await world[RIVER].post(f"/Patient/{known}/{name}", patient())
        assert bad.status_code == 400
        empty = {"resourceType": "Parameters"}
        assert (await world[RIVER].post(f"/Patient/{known}/{name}", empty)).status_code == 400
