"""The demo as `throughline demo` loads it, on a service of its own over HTTP (in process)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from app.commands import demonstration, registration
from app.main import create_app
from app.security.sealing import Seal
from app.settings import Settings
from app.storage.database import Database as ServiceDatabase
from tests.conftest import Database


@dataclass
class Demo:
    """The loaded demo: its database, its settings, and tokens for its clients."""

    made: Database
    settings: Settings
    opened: ServiceDatabase

    async def token(self, client: str, purpose: str) -> str:
        """A bearer token for a client and a purpose of use."""
        return await registration.token(
            self.opened,
            self.settings.fhir_base,
            client,
            purpose=purpose,
            lifetime=900,
            seal=Seal(self.settings),
        )


@asynccontextmanager
async def loaded(made: Database, settings: Settings) -> AsyncIterator[Demo]:
    """The demo in a database."""
    opened = await ServiceDatabase.open(
        made.service_url, minimum=1, maximum=2, statement_timeout_ms=10_000
    )
    try:
        await demonstration.load_demo(opened, lambda done, of, name: None)
        yield Demo(made, settings, opened)
    finally:
        await opened.close()


@dataclass
class Service:
    """The demo served in process."""

    http: httpx.AsyncClient
    demo: Demo

    async def get(self, client: str, path: str, purpose: str = "COC") -> httpx.Response:
        """A GET beneath /fhir, with a token for the purpose."""
        bearer = await self.demo.token(client, purpose)
        return await self.http.get(f"/fhir{path}", headers={"Authorization": f"Bearer {bearer}"})


@pytest.fixture
async def service(database: Callable[[], Database], tmp_path: Path) -> AsyncIterator[Service]:
    """The demo, loaded and served."""
    settings = Settings(state_dir=tmp_path)
    async with loaded(database(), settings) as demo:
        application = create_app(settings, demo.made.service_url)
        transport = httpx.ASGITransport(app=application)
        async with (
            application.router.lifespan_context(application),
            httpx.AsyncClient(transport=transport, base_url="http://test") as http,
        ):
            yield Service(http, demo)
