"""Pairs of worlds without telling their story again: copies of databases in which it was told once."""

from __future__ import annotations

import itertools
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.conftest import Cluster, Database
from tests.noninterference.worlds import Json, World, served, twins

_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class _Told:
    database: str
    callers: dict[str, bytes]
    told: dict[str, Json]


@dataclass(frozen=True, slots=True)
class Copies:
    """Makes pairs of one caller; can be handed to another process. folder: the services' state."""

    cluster: Cluster
    folder: Path
    caller: str
    originals: tuple[_Told, _Told]

    @classmethod
    async def told(cls, cluster: Cluster, template: str, folder: Path, caller: str) -> Self:
        """Tell both worlds once, on copies of a migrated database."""
        made: list[str] = []

        def make() -> Database:
            made.append(name := f"tl_told_{os.getpid()}_{next(_numbers)}")
            cluster.create(name, template)
            return _database(cluster, name)

        async with twins(make, folder, caller=caller) as worlds:
            fuller, plainer = (
                _Told(name, world.callers, world.told)
                for name, world in zip(made, worlds, strict=True)
            )
        return cls(cluster, folder, caller, (fuller, plainer))

    @asynccontextmanager
    async def pair(self) -> AsyncIterator[tuple[World, World]]:
        """(fuller, plainer) as they were when told."""
        async with (
            self._copy(self.originals[0]) as fuller,
            self._copy(self.originals[1]) as plainer,
        ):
            yield fuller, plainer

    @asynccontextmanager
    async def _copy(self, original: _Told) -> AsyncIterator[World]:
        with _copied(self.cluster, original.database) as database:
            async with served(database, self.folder) as world:
                world.callers |= original.callers
                world.told |= original.told
                yield world


def _database(cluster: Cluster, name: str) -> Database:
    return cluster.database(name)


@contextmanager
def _copied(cluster: Cluster, template: str) -> Iterator[Database]:
    name = f"tl_twin_{os.getpid()}_{next(_numbers)}"
    cluster.create(name, template)
    try:
        yield _database(cluster, name)
    finally:
        cluster.drop(name)
