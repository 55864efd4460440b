"""The package as a document, the closed loop as partners play it, and the dashboards that are searches."""

from __future__ import annotations

from typing import Any

from app.fhir_mappings.validate import validate
from tests.care.conftest import (
    HARBOR,
    LEGAL,
    NEED,
    RIVER,
    SHELTER,
    Json,
    World,
    concept,
    created,
    done,
    found,
    new_patient,
    observation,
    post,
    reference,
    referral,
    release,
    saved,
    service_request,
    task,
    transaction,
    urn,
)


def places(bundle: Json) -> list[str]:
    return [entry["resource"]["resourceType"] for entry in bundle["entry"]]


async def documented(world: World, *types: str) -> tuple[str, Json]:
    """A referral with two observations beside it; the path of its package and its Task."""
    patient = await new_patient(world[RIVER])
    first, second, focus, permit = urn(), urn(), urn(), urn()
    stored = await done(
        world[RIVER],
        transaction(
            post(observation(patient), first),
            post(observation(patient), second),
            post(release(patient, SHELTER, *types), permit),
            post(
                service_request(
                    patient,
                    supportingInfo=[reference(permit), reference(second), reference(first)],
                ),
                focus,
            ),
            post(task(patient, focus=reference(focus))),
        ),
    )
    return f"/Task/{stored[4]['id']}/$referral-package", stored[4]


async def test_the_package_comes_as_a_document_with_its_composition_first(world: World) -> None:
    path, made = await documented(world)
    bundle = (await world[SHELTER].get(f"{path}?type=document")).json()
    assert places(bundle) == [
        *("Composition", "Task", "ServiceRequest", "Patient", "Consent"),
        *("Observation", "Observation", "Organization"),
    ]
    assert bundle["type"] == "document"
    assert validate(bundle, expected_type="Bundle") == []
    head = bundle["entry"][0]["resource"]
    assert head["author"] == [made["requester"]]
    assert head["subject"] == made["for"]
    inside = {entry["fullUrl"].partition("/fhir/")[2] for entry in bundle["entry"]}
    told = [entry["reference"] for section in head["section"] for entry in section["entry"]]
    assert set(told) <= inside
    assert len(told) == len(set(told)) == 5


async def test_the_document_has_the_same_order_for_everybody_every_time(world: World) -> None:
    path, _ = await documented(world)

    async def order(agency: str) -> list[str]:
        entries = (await world[agency].get(f"{path}?type=document")).json()["entry"]
        return [entry["fullUrl"] for entry in entries[1:]]

    assert await order(SHELTER) == await order(SHELTER) == await order(RIVER)


async def test_what_is_withheld_leaves_no_trace_in_the_document(world: World) -> None:
    path, _ = await documented(world, "Patient", "Task", "ServiceRequest")
    bundle = (await world[SHELTER].get(f"{path}?type=document")).json()
    assert "Observation" not in places(bundle)
    assert "Consent" not in places(bundle)
    told = str(bundle["entry"][0]["resource"])
    assert "Observation" not in told
    assert "What goes with it" not in told
    assert (await world[HARBOR].get(f"{path}?type=document")).status_code == 404


async def test_another_form_of_package_is_refused(world: World) -> None:
    path, _ = await documented(world)
    answer = await world[SHELTER].get(f"{path}?type=message")
    assert answer.status_code == 400
    assert answer.json()["issue"][0]["expression"] == ["type"]


async def test_a_scope_for_tasks_only_opens_nothing_else(world: World) -> None:
    path, _ = await documented(world)
    token = (await world.token(SHELTER, scope="system/Task.r")).json()["access_token"]
    answer = await world.http.get(f"/fhir{path}", headers={"Authorization": f"Bearer {token}"})
    assert places(answer.json()) == ["Task"]


async def test_the_loop_is_closed_with_acknowledgement_and_feedback(world: World) -> None:
    patient = await new_patient(world[RIVER])
    made = await referral(world, patient)
    since = made["meta"]["lastUpdated"]
    poll = f"/Task?owner=Organization/{SHELTER}&_lastUpdated=ge{since}&_include=Task:focus"
    polled = await found(world[SHELTER], poll)
    assert [each["resourceType"] for each in polled] == ["Task", "ServiceRequest"]
    accepted = await saved(world[SHELTER], polled[0] | {"status": "accepted"})
    seen = await found(world[RIVER], f"/Task?requester=Organization/{RIVER}&_lastUpdated=gt{since}")
    assert [each["status"] for each in seen] == ["accepted"]
    back = release(patient, RIVER)
    stored = await done(
        world[SHELTER],
        transaction(
            post(back),
            post(
                {
                    "resourceType": "Procedure",
                    "status": "completed",
                    "subject": reference(f"Patient/{patient}"),
                    "basedOn": [made["focus"]],
                },
                "urn:uuid:00000000-0000-4000-8000-000000000001",
            ),
            {
                "resource": accepted
                | {
                    "status": "completed",
                    "note": [{"text": "Moved in on Monday."}],
                    "output": [
                        {
                            "type": {"text": "The stay"},
                            "valueReference": reference(
                                "urn:uuid:00000000-0000-4000-8000-000000000001"
                            ),
                        }
                    ],
                },
                "request": {"method": "PUT", "url": f"Task/{made['id']}"},
            },
        ),
    )
    done_ = f"Procedure/{stored[1]['id']}"
    closed = await found(world[RIVER], f"/Task?output={done_}&_include=Task:output")
    assert [each["resourceType"] for each in closed] == ["Task", "Procedure"]
    assert closed[0]["note"][0]["text"] == "Moved in on Monday."
    history = (await world[RIVER].get(f"/Task/{made['id']}/_history")).json()
    assert [e["resource"]["status"] for e in history["entry"]] == [
        *("completed", "accepted", "requested")
    ]
    package = (await world[RIVER].get(f"/Task/{made['id']}/$referral-package")).json()
    assert "Procedure" in places(package)


async def test_a_referral_in_steps_hangs_together_by_part_of(world: World) -> None:
    patient = await new_patient(world[RIVER])
    made = await referral(world, patient)
    part = [reference(f"Task/{made['id']}")]
    ride = await created(world[RIVER], task(patient, partOf=part, priority="urgent"))
    search = f"/Task?part-of=Task/{made['id']}&_include=Task:part-of"
    assert {each["id"] for each in await found(world[SHELTER], search)} == {
        *(ride["id"], made["id"])
    }


async def test_capacity_is_asked_of_the_directory_without_any_person(world: World) -> None:
    await created(
        world[SHELTER],
        {
            "resourceType": "HealthcareService",
            "active": True,
            "providedBy": reference(f"Organization/{SHELTER}"),
            "category": [concept(NEED, "housing")],
            "name": "Beds",
            "availabilityExceptions": "Two beds from Monday.",
        },
    )
    search = f"/HealthcareService?service-category={NEED}|housing&active=true"
    path = f"{search}&_include=HealthcareService:organization"
    services = await found(world[LEGAL], path)
    assert [each["resourceType"] for each in services] == ["HealthcareService", "Organization"]
    assert "Patient" not in str(services)


async def test_the_direct_pattern_sends_a_task_to_an_organization_and_the_light_one_to_a_person(
    world: World,
) -> None:
    # Gravity: direct is a Task to an agency with a FHIR server or client; light one to an agency without.
    patient = await new_patient(world[RIVER])
    made = await referral(world, patient)
    assert (await saved(world[SHELTER], made | {"status": "accepted"}))["status"] == "accepted"
    await created(world[RIVER], release(patient, LEGAL))
    light = await created(world[RIVER], task(patient, LEGAL, intent="order"))
    told: dict[str, Any] = {"status": "accepted", "note": [{"text": "By telephone."}]}
    refused = await world[RIVER].put(f"/Task/{light['id']}", light | told)
    assert refused.status_code == 403
    assert (await saved(world[LEGAL], light | told))["note"] == told["note"]


async def test_dashboards_are_searches(world: World) -> None:
    patient = await new_patient(world[RIVER])
    first = await referral(world, patient)
    await created(world[RIVER], task(patient))
    await saved(world[SHELTER], first | {"status": "accepted"})

    async def count(agency: str, status: str) -> int:
        path = f"/Task?requester=Organization/{RIVER}&status={status}&_summary=count"
        total: int = (await world[agency].get(path)).json()["total"]
        return total

    assert await count(RIVER, "requested") == 1
    assert await count(RIVER, "accepted") == 1
    assert await count(RIVER, "requested,accepted") == 2
    assert await count(LEGAL, "requested,accepted") == 0
    permit = (await found(world[RIVER], "/Consent"))[0]
    await saved(world[RIVER], permit | {"status": "inactive"})
    assert await count(SHELTER, "requested,accepted") == 0
