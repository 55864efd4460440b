"""A backup restored into a new cluster gives the same answers to the same callers (docs/backup.md)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from app.embedded import EmbeddedPostgres
from app.main import create_app
from app.storage.audit_chain import verify
from tests.backup import dump, restore
from tests.spine.conftest import AGENCIES, World, actor, consent, new_patient, observation

RIVER, HARBOR, _, LEGAL = AGENCIES


async def _answers(http: httpx.AsyncClient, world: World) -> dict[str, Any]:
    found = {}
    for name in (RIVER, HARBOR, LEGAL):
        for type_ in ("Patient", "Observation", "Consent", "Organization"):
            answer = await http.get(f"/fhir/{type_}?_total=accurate", headers=world[name].headers)
            found[f"{name} {type_}"] = answer.json()
    return found


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tl-backup-") as made:
        Path(made).chmod(0o711)
        yield Path(made)


async def test_a_dump_restored_into_a_new_cluster_answers_as_the_old_one_did(
    world: World, folder: Path
) -> None:
    patient = await new_patient(world[RIVER])
    await world[RIVER].post("/Observation", observation(patient))
    await world[RIVER].post("/Consent", consent(patient, type="permit", actor=actor(HARBOR)))
    before = await _answers(world.http, world)
    assert before[f"{HARBOR} Observation"]["total"] == 1
    dump(world.database.admin_url, folder)
    with EmbeddedPostgres(folder / "new", durable=False) as server:
        url = restore(folder, server)
        service = server.url_for("throughline_service", "postgres")
        application = create_app(world.service.settings, service)
        async with (
            application.router.lifespan_context(application),
            httpx.AsyncClient(
                transport=httpx.ASGITransport(app=application), base_url="http://test"
            ) as http,
        ):
            assert await _answers(http, world) == before
            made = await http.post(
                "/fhir/Observation", json=observation(patient), headers=world[RIVER].headers
            )
            assert made.status_code == 201
        owner = await asyncpg.connect(url)
        assert (await verify(owner)).broken is None
        await owner.close()
