"""The tour's agencies for the tests of the care domain, and small builders of what they write."""

from __future__ import annotations

import uuid
from typing import Any

import asyncpg
import httpx

from app.security import clients
from tests.spine.conftest import (  # noqa: F401 - world is a fixture
    AGENCIES,
    Agency,
    World,
    actor,
    consent,
    new_patient,
    observation,
    world,
)

Json = dict[str, Any]

RIVER, HARBOR, SHELTER, LEGAL = AGENCIES
CONSENT_ACTION = "http://terminology.hl7.org/CodeSystem/consentaction"
RESOURCE_TYPES = "http://hl7.org/fhir/resource-types"
TASK_CODE = "http://hl7.org/fhir/CodeSystem/task-code"
NEED = "https://throughline.example/fhir/CodeSystem/need"
LOINC = "http://loinc.org"
ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
OWN_APP = "patient/*.cruds"


def reference(target: str) -> dict[str, str]:
    return {"reference": target}


def urn() -> str:
    return f"urn:uuid:{uuid.uuid4()}"


def concept(system: str, code: str) -> Json:
    return {"coding": [{"system": system, "code": code}]}


def post(resource: Json, full_url: str | None = None) -> Json:
    entry: Json = {
        "resource": resource,
        "request": {"method": "POST", "url": resource["resourceType"]},
    }
    return entry | ({"fullUrl": full_url} if full_url else {})


def transaction(*entries: Json) -> Json:
    return {"resourceType": "Bundle", "type": "transaction", "entry": list(entries)}


def classes(*types: str) -> list[Json]:
    return [{"system": RESOURCE_TYPES, "code": name} for name in types]


def actions(*codes: str) -> list[Json]:
    return [concept(CONSENT_ACTION, code) for code in codes]


def release(patient: str, receiver: str, *types: str) -> Json:
    """A Consent by which the receiver reads these types, and answers its Tasks."""
    provision = {
        "type": "permit",
        "actor": actor(receiver),
        "provision": [
            {
                "type": "permit",
                "actor": actor(receiver),
                "action": actions("access", "correct"),
                "class": classes("Task"),
            }
        ],
    }
    if types:
        provision["class"] = classes(*types)
    return consent(patient, **provision)


def service_request(patient: str, **more: Any) -> Json:
    return {
        "resourceType": "ServiceRequest",
        "status": "active",
        "intent": "order",
        "subject": reference(f"Patient/{patient}"),
        "category": [concept(NEED, "housing")],
    } | more


def task(patient: str, owner: str = SHELTER, requester: str = RIVER, **more: Any) -> Json:
    return {
        "resourceType": "Task",
        "status": "requested",
        "intent": "order",
        "code": concept(TASK_CODE, "fulfill"),
        "for": reference(f"Patient/{patient}"),
        "requester": reference(requester if "/" in requester else f"Organization/{requester}"),
        "owner": reference(f"Organization/{owner}"),
    } | more


async def created(agency: Agency, resource: Json) -> Json:
    """The resource as stored."""
    answer = await agency.post(f"/{resource['resourceType']}", resource)
    assert answer.status_code == 201, answer.text
    stored: Json = answer.json()
    return stored


async def saved(agency: Agency, resource: Json) -> Json:
    """The resource as stored after an update."""
    answer = await agency.put(f"/{resource['resourceType']}/{resource['id']}", resource)
    assert answer.status_code == 200, answer.text
    stored: Json = answer.json()
    return stored


async def done(agency: Agency, bundle: Json) -> list[Json]:
    """What a transaction stored, in its order."""
    answer = await agency.post("", bundle)
    assert answer.status_code == 200, answer.text
    return [entry.get("resource", {}) for entry in answer.json()["entry"]]


async def found(agency: Agency, path: str) -> list[Json]:
    """The resources of a search."""
    answer = await agency.get(path)
    assert answer.status_code == 200, answer.text
    return [entry["resource"] for entry in answer.json().get("entry", ())]


def diagnostics(answer: httpx.Response) -> str:
    """The sentences of an OperationOutcome."""
    return " ".join(issue["diagnostics"] for issue in answer.json()["issue"])


async def referral(world: World, patient: str, **more: Any) -> Json:  # noqa: F811
    """River refers a survivor to the shelter, with a release; the Task as stored."""
    focus = urn()
    stored = await done(
        world[RIVER],
        transaction(
            post(release(patient, SHELTER)),
            post(service_request(patient), focus),
            post(task(patient, focus=reference(focus), **more)),
        ),
    )
    return stored[2]


async def own_app(
    world: World,  # noqa: F811
    patient: str,
    type_: str = "Patient",
) -> Agency:
    """The app of a survivor (or of a relative), with a token of its own."""
    owner = await asyncpg.connect(world.database.admin_url)
    rid = await owner.fetchval(
        "SELECT r.rid FROM tl.resource r JOIN tl.resource_type t ON t.code = r.type "
        "WHERE r.id = $1 AND t.name = $2",
        patient,
        type_,
    )
    await owner.close()
    name = f"app-{patient}"
    secret = await clients.add_client(
        world.service.database.pool,
        client_id=name,
        organization=world.organizations[LEGAL],
        scope=OWN_APP,
        purposes_of_use=("PATRQT",),
        patient=rid,
    )
    world.secrets[name] = secret or ""
    answer = await world.token(name)
    return Agency(world.http, {"Authorization": f"Bearer {answer.json()['access_token']}"})
