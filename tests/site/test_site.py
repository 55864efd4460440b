"""The docs site over HTTP: its policy, its files, and tokens in the demonstration only."""

from __future__ import annotations

import re

import httpx
import pytest

from app.routers.docs import POLICY
from app.routers.service import Service
from app.security import clients, demonstration
from app.storage.clients import list_clients, revoke_client
from tests.commands.program import Served
from tests.spine.conftest import World

FILES = (
    "",
    "site.js",
    "style.css",
    "icon.svg",
    "views/guide.js",
    "pages/care/record.md",
    "vendor/swagger-ui/swagger-ui-bundle.js",
)


@pytest.mark.parametrize("file", FILES)
async def test_every_file_comes_with_the_policy(world: World, file: str) -> None:
    answer = await world.http.get(f"/docs/{file}")
    assert answer.status_code == 200
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_policy_lets_nothing_in_from_elsewhere() -> None:
    assert "unsafe" not in POLICY
    assert "default-src 'none'" in POLICY
    assert re.search(r"https?:|\*", POLICY) is None


@pytest.mark.parametrize(
    "path",
    [
        "__init__.py",
        "../main.py",
        "%2e%2e/main.py",
        "nothing.js",
        "pages/../../README.md",
        "pages/../README.md",
        "pages/nothing.md",
    ],
)
async def test_what_is_no_file_of_the_site_is_not_served(world: World, path: str) -> None:
    answer = await world.http.get(f"/docs/{path}")
    assert answer.status_code == 404


async def test_the_openapi_document_is_served(world: World) -> None:
    answer = await world.http.get("/openapi.json")
    assert answer.status_code == 200
    assert answer.json()["openapi"] == "3.1.0"


async def test_without_the_demonstration_nobody_gets_a_token_by_a_click(world: World) -> None:
    assert (await world.http.get("/docs/demo")).json() == {"demo": False, "clients": []}
    known = await world.http.post("/docs/demo/token", params={"client": "river-clinic"})
    unknown = await world.http.post("/docs/demo/token", params={"client": "nobody"})
    assert known.status_code == unknown.status_code == 404
    assert known.content == unknown.content


async def test_one_click_gives_nothing_where_others_are_registered_beside_the_demonstration(
    world: World,
) -> None:
    service = world.application.state.service
    before, service.settings = service.settings, service.settings.model_copy(update={"demo": True})

    async def clicked(client: str) -> tuple[bool, int]:
        told = (await world.http.get("/docs/demo")).json()
        answer = await world.http.post("/docs/demo/token", params={"client": client})
        return told["demo"], answer.status_code

    try:
        known = {each.client_id for each in await list_clients(service.database.pool)}
        for each in demonstration.strangers(known):
            await revoke_client(service.database.pool, each)
        for each in sorted(demonstration.CLIENTS - known):
            assert await clicked("river-clinic") == (False, 404), "it is not whole"
            await _add(service, each)
        await _add(service, "demo-new-app")
        assert await clicked("river-clinic") == (True, 200)
        assert await clicked("demo-new-app") == (True, 200)
        await _add(service, "real-clinic")
        for each in ("river-clinic", "demo-new-app", "real-clinic"):
            assert await clicked(each) == (False, 404)
    finally:
        service.settings = before


async def _add(service: Service, client: str) -> None:
    await clients.add_client(
        service.database.pool,
        client_id=client,
        organization=1,
        scope="system/*.rs",
        purposes_of_use=("TREAT",),
    )


def test_the_demonstration_gives_a_token_for_a_registered_purpose(demo: Served) -> None:
    root = demo.base.removesuffix("/fhir")
    names = [each["client"] for each in httpx.get(f"{root}/docs/demo").json()["clients"]]
    assert "river-clinic" in names
    answer = httpx.post(
        f"{root}/docs/demo/token", params={"client": "river-clinic", "purpose": "COC"}
    )
    token = answer.json()["access_token"]
    seen = httpx.get(f"{demo.base}/Patient", headers={"Authorization": f"Bearer {token}"})
    assert seen.status_code == 200
    other = httpx.post(
        f"{root}/docs/demo/token", params={"client": "river-clinic", "purpose": "HRESCH"}
    )
    assert other.status_code == 404
