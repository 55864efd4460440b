"""A Consent is withdrawn while 64 readers read: no answer to a question asked after the commit holds the data.

Each reader asks one question over and over, among them pages by cursors that were given out before. The
answers of a service in this process count, and those of two worker processes that share nothing but the
database.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.commands.conftest import state
from tests.commands.program import serving
from tests.spine.conftest import AGENCIES, World, actor, consent, new_patient, observation, world

__all__ = ["state", "world"]

RIVER, HARBOR, *_ = AGENCIES
READERS = 64
ENTRIES = 12
MARK = "told to River alone"


@dataclass
class Reader:
    """One who asks the same question again and again. answers: (asked at, whether the data was in it)."""

    http: httpx.AsyncClient
    path: str
    answers: list[tuple[float, bool]] = field(default_factory=list)

    async def ask(self) -> None:
        asked = time.monotonic()
        answer = await self.http.get(self.path)
        assert answer.status_code in (200, 404, 503), answer.text
        if answer.status_code == 503:
            return
        told = MARK in answer.text
        if answer.status_code == 200 and "_summary=count" in self.path:
            told = answer.json()["total"] > 0
        self.answers.append((asked, told))

    async def until_seen(self) -> None:
        """Read until the data was there: a question that never shows it proves nothing."""
        while not any(told for _, told in self.answers):
            await self.ask()

    async def on(self, end: asyncio.Event) -> None:
        """Read on, and twice more after the end."""
        while not end.is_set():
            await self.ask()
        for _ in range(2):
            await self.ask()


@dataclass
class Record:
    """A survivor's record that Harbor reads. consent: (id, content)."""

    patient: str
    entry: str
    consent: tuple[str, dict[str, Any]]


async def _record(world: World) -> Record:
    river = world[RIVER]
    patient = await new_patient(river)
    for _ in range(ENTRIES):
        made = await river.post("/Observation", observation(patient, note=[{"text": MARK}]))
        assert made.status_code == 201
    entry = made.json()["id"]
    again = observation(patient, id=entry, note=[{"text": MARK}], status="amended")
    assert (await river.put(f"/Observation/{entry}", again)).status_code == 200
    permit = consent(patient, type="permit", actor=actor(HARBOR))
    given = await river.post("/Consent", permit)
    assert given.status_code == 201
    return Record(patient, entry, (given.json()["id"], permit))


async def _paths(http: httpx.AsyncClient, record: Record) -> list[str]:
    """Every way to read, and the next pages of those that have pages."""
    patient, entry = record.patient, record.entry
    searched = f"/fhir/Observation?patient={patient}&_count=4&_total=accurate"
    everything = f"/fhir/Patient/{patient}/$everything?_count=4"
    paths = [
        f"/fhir/Observation/{entry}",
        f"/fhir/Observation/{entry}/_history/1",
        f"/fhir/Observation/{entry}/_history",
        searched,
        f"/fhir/Observation?patient={patient}&_summary=count",
        f"/fhir/Observation?patient={patient}&_include=Observation:subject",
        f"/fhir/Patient?_id={patient}&_revinclude=Observation:subject",
        f"/fhir/Observation?subject:Patient._id={patient}",
        everything,
    ]
    for path in (searched, everything):
        page = (await http.get(path)).json()
        (following,) = (link["url"] for link in page["link"] if link["relation"] == "next")
        paths.append(following)
    return paths


@asynccontextmanager
async def _in_this_process(world: World, _: Path) -> AsyncIterator[tuple[str, httpx.AsyncClient]]:
    yield "", world.http


@asynccontextmanager
async def _two_processes(world: World, state: Path) -> AsyncIterator[tuple[str, httpx.AsyncClient]]:
    settings = {
        "TL_DATABASE_URL": world.database.service_url,
        "TL_MIGRATION_DATABASE_URL": world.database.admin_url,
        "TL_WORKERS": "2",
        "TL_KEY_SECRET": os.environ["TL_KEY_SECRET"],
    }
    manager = serving(state, "serve", **settings)
    served = await asyncio.to_thread(manager.__enter__)
    try:
        base = served.base.removesuffix("/fhir")
        # A connection for each reader, so that both processes are asked.
        limits = httpx.Limits(max_connections=READERS + 2, max_keepalive_connections=READERS + 2)
        async with httpx.AsyncClient(base_url=base, limits=limits, timeout=120) as http:
            yield base, http
    finally:
        await asyncio.to_thread(manager.__exit__, None, None, None)


async def _bearer(http: httpx.AsyncClient, world: World, name: str) -> dict[str, str]:
    form = {
        "grant_type": "client_credentials",
        "client_id": name,
        "client_secret": world.secrets[name],
    }
    answer = await http.post("/oauth/token", data=form)
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


@pytest.mark.parametrize("service", [_in_this_process, _two_processes])
async def test_no_answer_to_what_is_asked_after_a_withdrawal_holds_the_data(
    world: World, state: Path, service: Callable[..., Any]
) -> None:
    record = await _record(world)
    async with service(world, state) as (_, http):
        river = await _bearer(http, world, RIVER)
        http.headers.update(await _bearer(http, world, HARBOR))
        paths = await _paths(http, record)
        readers = [Reader(http, paths[n % len(paths)]) for n in range(READERS)]
        await asyncio.gather(*(reader.until_seen() for reader in readers))
        end = asyncio.Event()
        reading = [asyncio.create_task(reader.on(end)) for reader in readers]
        id_, permit = record.consent
        answer = await http.put(
            f"/fhir/Consent/{id_}",
            headers=river,
            json=permit | {"id": id_, "status": "inactive"},
        )
        committed = time.monotonic()
        assert answer.status_code == 200, answer.text
        end.set()
        await asyncio.gather(*reading)
    for reader in readers:
        after = [told for asked, told in reader.answers if asked > committed]
        assert after, reader.path
        assert not any(after), reader.path
        # Once an answer is without the data, none that was asked later has it again.
        first_without = next(n for n, (_, told) in enumerate(reader.answers) if not told)
        assert not any(told for _, told in reader.answers[first_without:]), reader.path
