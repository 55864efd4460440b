"""The running service over HTTP (in process), four agencies with real clients and tokens."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.interactions import writing
from app.main import create_app
from app.routers.service import Service
from app.security import clients
from app.security.fetching import open_http
from app.settings import Settings
from app.storage.database import Caller, base_closure
from tests.conftest import Database
from tests.enrolled import Enrolled

AGENCIES = ("river-clinic", "harbor-psychiatry", "open-door-shelter", "bridge-legal-aid")
ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"


@dataclass
class Agency:
    """One agency's way in: every call carries its bearer token."""

    http: httpx.AsyncClient
    headers: dict[str, str]

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.http.get(f"/fhir{path}", headers=self.headers | headers)

    async def post(self, path: str, resource: Any) -> httpx.Response:
        return await self.http.post(f"/fhir{path}", headers=self.headers, json=resource)

    async def put(self, path: str, resource: Any, **headers: str) -> httpx.Response:
        return await self.http.put(
            f"/fhir{path}",
            headers=self.headers | {k.replace("_", "-"): v for k, v in headers.items()},
            json=resource,
        )

    async def delete(self, path: str) -> httpx.Response:
        return await self.http.delete(f"/fhir{path}", headers=self.headers)


@dataclass
class World:
    """The service, its agencies by name, and the database beneath."""

    service: Service
    http: httpx.AsyncClient
    database: Database
    application: FastAPI
    organizations: dict[str, int] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    agencies: dict[str, Agency] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Agency:
        return self.agencies[name]

    async def token(self, name: str, **form: str) -> httpx.Response:
        return await self.http.post(
            "/oauth/token",
            data={
                "grant_type": "client_credentials",
                "client_id": name,
                "client_secret": self.secrets[name],
            }
            | form,
        )


@pytest.fixture
async def world(enrolled: Callable[[], Enrolled], tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(enrolled(), tmp_path) as world:
        yield world


@asynccontextmanager
async def open_world(
    made: Database,
    state: Path,
    connect: Callable[[], httpx.AsyncClient] = open_http,
    **more: Any,
) -> AsyncIterator[World]:
    """The service on a database, with the four agencies registered where they are not. more: settings."""
    bounds = {"max_body_bytes": 200_000, "max_bundle_entries": 20}
    settings = Settings(state_dir=state, **bounds | more)
    application = create_app(settings, made.service_url, connect)
    transport = httpx.ASGITransport(app=application)
    async with (
        application.router.lifespan_context(application),
        httpx.AsyncClient(transport=transport, base_url="http://test") as http,
    ):
        world = World(application.state.service, http, made, application)
        if isinstance(made, Enrolled):
            world.organizations |= made.organizations
            world.secrets |= made.secrets
        for name in AGENCIES:
            if name not in world.secrets:
                await _register(world, name)
            await _let_in(world, name)
        yield world


async def _register(world: World, name: str) -> None:
    service = world.service
    pool = service.database.pool
    rid = await pool.fetchval("SELECT nextval('tl.rid')")
    epoch = await pool.fetchval("SELECT epoch FROM tl.directory_epoch")
    closure = base_closure((rid,), has_organization=True, emergency=False)
    caller = Caller(closure, (rid,), 0, rid, epoch)
    organization = {"resourceType": "Organization", "id": name, "name": name}
    (written,) = await writing.write(
        service.database,
        caller,
        [writing.Operation("Organization", name, organization)],
        writing.WriteRules((), allow_client_ids=True),
    )
    world.organizations[name] = written.rid
    secret = await clients.add_client(
        pool,
        client_id=name,
        organization=written.rid,
        scope="system/*.cruds",
        purposes_of_use=("TREAT", "CAREMGT", "COC", "ETREAT"),
        emergency=name == "river-clinic",
    )
    assert secret is not None
    world.secrets[name] = secret


async def _let_in(world: World, name: str) -> None:
    answer = await world.token(name)
    assert answer.status_code == 200
    token = answer.json()["access_token"]
    world.agencies[name] = Agency(world.http, {"Authorization": f"Bearer {token}"})


def consent(patient: str, **provision: Any) -> dict[str, Any]:
    """An active privacy Consent about a patient with one root provision."""
    return {
        "resourceType": "Consent",
        "status": "active",
        "scope": {
            "coding": [
                {
                    "system": "http://terminology.hl7.org/CodeSystem/consentscope",
                    "code": "patient-privacy",
                }
            ]
        },
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"reference": f"Patient/{patient}"},
        "policyRule": {"coding": [{"system": ACT_CODE, "code": "OPTIN"}]},
        "provision": provision,
    }


def actor(name: str) -> list[dict[str, Any]]:
    """The actor element naming an agency."""
    return [{"role": {"text": "recipient"}, "reference": {"reference": f"Organization/{name}"}}]


def observation(patient: str, **more: Any) -> dict[str, Any]:
    """A small Observation about a patient."""
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "85354-9"}]},
        "subject": {"reference": f"Patient/{patient}"},
        "effectiveDateTime": "2026-03-01T10:00:00+02:00",
    } | more


async def new_patient(agency: Agency) -> str:
    """A Patient written by the agency; its id."""
    answer = await agency.post(
        "/Patient", {"resourceType": "Patient", "name": [{"family": "Sample"}]}
    )
    assert answer.status_code == 201
    identifier = answer.json()["id"]
    assert isinstance(identifier, str)
    return identifier
