"""A world whose people sign in at a provider: staff of River Clinic, and Ana, a survivor with her own app."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from app.openid_settings import OpenIdProvider
from tests.conftest import Database
from tests.security.conftest import add_client
from tests.security.provider import App, Provider
from tests.spine.conftest import AGENCIES, World, observation, open_world

RIVER, HARBOR, SHELTER, LEGAL = AGENCIES
ISSUER = "https://login.example/realms/care"
AUDIENCE = "http://127.0.0.1:8000/fhir"
CALLBACK = "https://app.example/callback"


@dataclass
class SigningIn:
    """The service, its provider, and the records that people ask for."""

    world: World
    provider: Provider
    ana: str
    bo: str
    pressure: str
    hidden: str
    """A psychotherapy note about Ana, which is not hers to read."""

    async def get(self, token: str, path: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"}
        return await self.world.http.get(f"/fhir{path}", headers=headers)

    def staff(self, **more: Any) -> str:
        """A token of a clinician of River Clinic, in River's own application."""
        return self.provider.token("noor", "river-ehr", "openid user/*.rs", **more)

    def survivor(self, **more: Any) -> str:
        """A token of Ana, in her own app."""
        return self.provider.token("ana", "ana-app", "openid launch/patient patient/*.rs", **more)


@asynccontextmanager
async def open_signing_in(made: Database, state: Path, **options: Any) -> AsyncIterator[SigningIn]:
    """River has staff with entries of its own, Harbor has others; both survivors are River's."""
    provider = Provider(ISSUER, AUDIENCE)
    trusted = OpenIdProvider.model_validate(
        {"issuer": ISSUER, "survivors": True, "launch": True} | options
    )
    async with open_world(
        made, state, connect=provider.connect, openid_providers=(trusted,)
    ) as world:
        patients = []
        for family in ("Anaqvist", "Boqvist"):
            person = {"resourceType": "Patient", "name": [{"family": family}]}
            patients.append((await world[RIVER].post("/Patient", person)).json()["id"])
        ana, bo = patients
        pressure = await world[RIVER].post("/Observation", observation(ana))
        label = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "PSYTHPN"}
        note = observation(ana, meta={"security": [label]})
        hidden = await world[RIVER].post("/Observation", note)
        await world[RIVER].post("/Observation", observation(bo))
        staff = {}
        for name, agency in (("noor", RIVER), ("kim", HARBOR)):
            entry = {"resourceType": "Practitioner", "name": [{"family": "Clinician"}]}
            answer = await world[agency].post("/Practitioner", entry)
            staff[name] = answer.json()["id"]
            provider.people[name] = {"fhirUser": f"Practitioner/{staff[name]}"}
        provider.people |= {
            "ana": {"fhirUser": f"Patient/{ana}", "patient": ana},
            "bo": {"fhirUser": f"{AUDIENCE}/Patient/{bo}"},
        }
        await add_client(
            world,
            "river-ehr",
            openid_issuer=ISSUER,
            scope="user/*.cruds",
            purposes_of_use=("TREAT", "CAREMGT", "ETREAT"),
            emergency=True,
            privacy_officer=True,
        )
        await add_client(
            world,
            "ana-app",
            openid_issuer=ISSUER,
            organization=world.organizations[LEGAL],
            scope="patient/*.rs",
            purposes_of_use=("PATRQT",),
        )
        provider.apps["ana-app"] = App(CALLBACK)
        provider.apps["river-ehr"] = App(CALLBACK, secret="of-the-provider")
        yield SigningIn(world, provider, ana, bo, pressure.json()["id"], hidden.json()["id"])
