"""The closed-loop referral, from request to Procedure."""

from __future__ import annotations

from tests.care.conftest import (
    RIVER,
    SHELTER,
    World,
    created,
    found,
    new_patient,
    reference,
    referral,
    saved,
    transaction,
)


async def test_a_referral_goes_all_the_way_round(world: World) -> None:
    patient = await new_patient(world[RIVER])
    made = await referral(world, patient)
    package = (await world[SHELTER].get(f"/Task/{made['id']}/$referral-package")).json()
    assert "ServiceRequest" in str(package)
    for status in ("accepted", "in-progress"):
        made = await saved(world[SHELTER], made | {"status": status})
    done_ = await created(
        world[SHELTER],
        {
            "resourceType": "Procedure",
            "status": "completed",
            "subject": reference(f"Patient/{patient}"),
            "basedOn": [made["focus"]],
        },
    )
    output = [{"type": {"text": "stay"}, "valueReference": reference(f"Procedure/{done_['id']}")}]
    await saved(world[SHELTER], made | {"status": "completed", "output": output})
    (closed,) = await found(world[RIVER], f"/Task?output=Procedure/{done_['id']}")
    assert closed["status"] == "completed"


async def test_every_way_of_writing_obeys_the_table(world: World) -> None:
    made = await referral(world, await new_patient(world[RIVER]))
    path = f"/fhir/Task/{made['id']}"
    river, shelter = world[RIVER], world[SHELTER]
    accepted = made | {"status": "accepted"}
    steps = [{"op": "replace", "path": "/status", "value": "accepted"}]
    json_patch = {"Content-Type": "application/json-patch+json"}
    patched = await river.http.patch(path, headers=river.headers | json_patch, json=steps)
    assert patched.status_code == 403
    by_search = await river.http.put(
        f"/fhir/Task?_id={made['id']}", headers=river.headers, json=accepted
    )
    assert by_search.status_code == 403
    entry = {
        "resource": accepted,
        "request": {"method": "PUT", "url": f"Task/{made['id']}"},
    }
    assert (await river.post("", transaction(entry))).status_code == 403
    batch = {"resourceType": "Bundle", "type": "batch", "entry": [entry]}
    answer = (await river.post("", batch)).json()
    assert answer["entry"][0]["response"]["status"].startswith("403")
    mine = await shelter.http.patch(path, headers=shelter.headers | json_patch, json=steps)
    assert mine.status_code == 200, mine.text
    assert mine.json()["status"] == "accepted"
