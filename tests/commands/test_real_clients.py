"""Client libraries that others wrote, unchanged, against the running demo."""

from __future__ import annotations

import json
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from fhirclient.client import FHIRClient
from fhirclient.models.patient import Patient
from fhirclient.models.task import Task
from fhirpy import AsyncFHIRClient
from fhirpy.base.exceptions import OperationOutcome, ResourceNotFound
from jose import jwk, jwt

from tests.commands.program import Served, throughline


@pytest.fixture
def fhirpy(demo: tuple[Path, Served]) -> AsyncFHIRClient:
    state, served = demo
    done = throughline(state, "token", "--client", "river-clinic", "--purpose", "COC")
    return AsyncFHIRClient(served.base, authorization=f"Bearer {done.stdout.strip()}")


def _patient(family: str) -> dict[str, Any]:
    return {"resourceType": "Patient", "name": [{"family": family}]}


async def test_fhirpy_creates_reads_changes_and_deletes(fhirpy: AsyncFHIRClient) -> None:
    patient = fhirpy.resource("Patient", name=[{"family": "Fhirpy"}])
    await patient.save()
    again = await fhirpy.reference("Patient", patient.id).to_resource()
    assert again["name"][0]["family"] == "Fhirpy"
    again["active"] = True
    await again.save()
    assert (await fhirpy.get("Patient", patient.id))["meta"]["versionId"] == "2"
    await again.delete()
    with pytest.raises(ResourceNotFound):
        await fhirpy.get("Patient", patient.id)


async def test_fhirpy_searches_page_by_page_and_meets_each_resource_once(
    fhirpy: AsyncFHIRClient,
) -> None:
    family = f"Paged{uuid.uuid4().hex[:8]}"
    for _ in range(7):
        await fhirpy.resource("Patient", name=[{"family": family}]).save()
    found = fhirpy.resources("Patient").search(family=family).limit(3)
    identifiers = [each.id for each in await found.fetch_all()]
    assert len(identifiers) == len(set(identifiers)) == 7
    # Its count sends a parameter of another server's, `_totalMethod`, which is no filter.
    assert await fhirpy.resources("Patient").search(family=family).count() == 7


async def test_fhirpy_follows_an_include(fhirpy: AsyncFHIRClient) -> None:
    found = fhirpy.resources("Task").search(_id="survivor-a-housing-task").include("Task", "focus")
    bundle = await found.fetch_raw()
    assert {each.resource.resourceType for each in bundle.entry} == {"Task", "ServiceRequest"}


async def test_fhirpy_carries_out_a_transaction(fhirpy: AsyncFHIRClient) -> None:
    urn = f"urn:uuid:{uuid.uuid4()}"
    observation = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "85354-9"}]},
        "subject": {"reference": urn},
    }
    entries = [
        {"fullUrl": urn, "resource": _patient("Transacted"), "request": _post("Patient")},
        {"resource": observation, "request": _post("Observation")},
    ]
    answer = await fhirpy.execute(
        "", data={"resourceType": "Bundle", "type": "transaction", "entry": entries}
    )
    patient, measured = (each["resource"] for each in answer["entry"])
    assert measured["subject"]["reference"] == f"Patient/{patient['id']}"


def _post(type_: str) -> dict[str, str]:
    return {"method": "POST", "url": type_}


async def test_fhirpy_patches_by_json_patch(
    demo: tuple[Path, Served], fhirpy: AsyncFHIRClient
) -> None:
    patient = fhirpy.resource("Patient", name=[{"family": "Before"}])
    await patient.save()
    media = {"Content-Type": "application/json-patch+json"}
    patching = AsyncFHIRClient(
        demo[1].base, authorization=fhirpy.authorization, extra_headers=media
    )
    change = [{"op": "replace", "path": "/name/0/family", "value": "After"}]
    await patching.execute(f"Patient/{patient.id}", method="patch", data=change)
    changed = await fhirpy.get("Patient", patient.id)
    assert changed["name"][0]["family"] == "After"


async def test_fhirpy_shows_why_a_resource_was_refused(fhirpy: AsyncFHIRClient) -> None:
    with pytest.raises(OperationOutcome, match="status"):
        await fhirpy.resource("Observation", code={"text": "no status"}).save()


def test_fhirclient_finds_the_way_in_signs_in_with_its_key_and_searches(
    demo: tuple[Path, Served], tmp_path: Path
) -> None:
    state, served = demo
    pem = _register_with_key(state, tmp_path)
    smart = FHIRClient(
        {
            "app_id": "demo-key-app",
            "api_base": served.base,
            "scope": "system/*.cruds",
            "jwt_token": _assertion(pem, f"{served.base.removesuffix('/fhir')}/oauth/token"),
        }
    )
    assert smart.server.capabilityStatement.fhirVersion == "4.0.1"
    smart.wants_patient = False  # a backend service has no patient in its launch
    smart.prepare()
    smart.authorize()
    assert smart.ready
    for _ in range(5):
        made = Patient(_patient("Fhirclient"))
        assert made.create(smart.server) is not None
    search = Patient.where({"family": "Fhirclient", "_count": "2"})
    found = list(search.perform_resources_iter(smart.server))
    assert len(found) == len({each.id for each in found}) == 5
    tasks = Task.where({"owner": "Organization/open-door-shelter"})
    found = [each.id for each in tasks.perform_resources_iter(smart.server)]
    assert "survivor-a-housing-task" in found


def _register_with_key(state: Path, folder: Path) -> str:
    private = ec.generate_private_key(ec.SECP384R1())
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    public = {
        name: value.decode() if isinstance(value, bytes) else value
        for name, value in jwk.construct(pem, "ES384").public_key().to_dict().items()
    }
    keys = folder / "jwks.json"
    keys.write_text(json.dumps({"keys": [public | {"kid": "one", "use": "sig", "alg": "ES384"}]}))
    added = throughline(
        state, "client", "add", "--name", "demo-key-app", "--organization", "river-clinic",
        "--purpose", "COC", "--jwks", str(keys),
    )  # fmt: skip
    assert (added.returncode, added.stdout) == (0, ""), added.stderr
    return pem


def _assertion(pem: str, audience: str) -> str:
    now = int(time.time())
    claims = {
        "iss": "demo-key-app",
        "sub": "demo-key-app",
        "aud": audience,
        "iat": now,
        "exp": now + 200,
        "jti": str(uuid.uuid4()),
    }
    signed: str = jwt.encode(claims, pem, algorithm="ES384", headers={"kid": "one", "typ": "JWT"})
    return signed
