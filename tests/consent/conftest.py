"""One stage for all consent cases of a worker: a service over a database of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from app.main import create_app
from app.settings import Settings
from tests.conftest import Cluster
from tests.consent.stage import Stage


@pytest.fixture(scope="session")
async def stage(
    cluster: Cluster, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stage]:
    name = f"tl_stage_{cluster.worker}"
    cluster.create(name, template_database)
    folder: Path = tmp_path_factory.mktemp("stage")
    settings = Settings(state_dir=folder, max_bundle_entries=200)
    application = create_app(settings, cluster.service_url(name))
    transport = httpx.ASGITransport(app=application)
    async with (
        application.router.lifespan_context(application),
        httpx.AsyncClient(transport=transport, base_url="http://test") as http,
    ):
        stage = Stage(application.state.service, http)
        await stage.build()
        yield stage
    cluster.drop(name)
