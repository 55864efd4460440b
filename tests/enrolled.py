"""Databases in which the agencies of `tests.spine.conftest` are registered already."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest

from tests.conftest import Cluster, Database


@dataclass(frozen=True, slots=True)
class Enrolled(Database):
    """A database in which the four agencies are registered."""

    organizations: dict[str, int]
    secrets: dict[str, str]


@pytest.fixture(scope="session")
def enrolled_template(
    cluster: Cluster, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Enrolled]:
    """One that nobody is connected to: registering them anew took each test a tenth of its time."""
    name = f"tl_enrolled_{cluster.worker}"
    cluster.create(name, template_database)
    made = cluster.database(name)

    async def enrol() -> Enrolled:
        from tests.spine.conftest import open_world

        async with open_world(made, tmp_path_factory.mktemp("state")) as world:
            return Enrolled(
                name, made.admin_url, made.service_url, world.organizations, world.secrets
            )

    yield asyncio.run(enrol())
    cluster.drop(name)


@pytest.fixture
def enrolled(
    copies: Callable[[str], Database], enrolled_template: Enrolled
) -> Callable[[], Enrolled]:
    """Makes databases in which the four agencies are registered."""

    def make() -> Enrolled:
        made = copies(enrolled_template.name)
        return replace(
            enrolled_template,
            name=made.name,
            admin_url=made.admin_url,
            service_url=made.service_url,
        )

    return make
