"""A world that the tests of a module share, with one survivor's record and a directory to search."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Cluster
from tests.spine.conftest import AGENCIES, Agency, World, open_world

RIVER, HARBOR, SHELTER, LEGAL = AGENCIES


@dataclass
class Searcher:
    """An agency that searches; names stand for ids, so that an answer reads as what was written."""

    world: World
    agency: Agency
    names: dict[str, str] = field(default_factory=dict)

    async def write(self, name: str, resource: dict[str, Any]) -> str:
        answer = await self.agency.post(f"/{resource['resourceType']}", resource)
        assert answer.status_code == 201, answer.text
        id_ = str(answer.json()["id"])
        self.names[id_] = name
        return id_

    async def bundle(self, path: str, agency: Agency | None = None) -> dict[str, Any]:
        answer = await (agency or self.agency).get(path)
        assert answer.status_code == 200, f"{path}: {answer.text}"
        found: dict[str, Any] = answer.json()
        return found

    def named(self, bundle: dict[str, Any], mode: str = "match") -> list[str]:
        return [
            self.names.get(entry["resource"]["id"], entry["resource"]["id"])
            for entry in bundle.get("entry", [])
            if entry["search"]["mode"] == mode
        ]

    async def finds(self, path: str, agency: Agency | None = None) -> set[str]:
        """The names of what a search matches; its exact total must agree."""
        joint = "&" if "?" in path else "?"
        bundle = await self.bundle(f"{path}{joint}_total=accurate&_count=200", agency)
        found = self.named(bundle)
        assert len(found) == len(set(found)) == bundle["total"]
        return set(found)


@pytest.fixture(scope="module")
async def shared_world(
    cluster: Cluster, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    """As `world`, but one for all tests of a module."""
    name = f"tl_search_{cluster.worker}"
    cluster.create(name, template_database)
    folder: Path = tmp_path_factory.mktemp("search")
    more = {"max_body_bytes": 400_000, "max_bundle_entries": 300}
    async with open_world(cluster.database(name), folder, **more) as world:
        yield world
    cluster.drop(name)


@pytest.fixture(scope="module")
async def river(shared_world: World) -> Searcher:
    """River Clinic, which writes and searches."""
    return Searcher(shared_world, shared_world[RIVER])
