"""Which answers wait for the beat: all whose work depends on what their caller may not see."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.enrolled import Enrolled
from tests.spine.conftest import AGENCIES, World, new_patient, observation, open_world

RIVER, HARBOR, _, _ = AGENCIES
BEAT_MS = 40


@pytest.fixture
async def paced(enrolled: Callable[[], Enrolled], tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(enrolled(), tmp_path, answer_beat_ms=BEAT_MS) as world:
        yield world


@pytest.fixture
async def beats(paced: World, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One for each answer that has waited since."""
    waited: list[int] = []
    really = paced.service.pacing.beat

    async def beat(since: int) -> None:
        await really(since)
        waited.append(time.monotonic_ns() - since)

    monkeypatch.setattr(paced.service.pacing, "beat", beat)
    return waited


def batch(*urls: str) -> dict[str, Any]:
    requests = [{"request": {"method": "GET", "url": url}} for url in urls]
    return {"resourceType": "Bundle", "type": "batch", "entry": requests}


async def test_what_shows_its_caller_one_resource_leaves_at_once(
    paced: World, beats: list[int]
) -> None:
    river = paced[RIVER]
    patient = await new_patient(river)
    place = f"/Patient/{patient}"
    before = (await river.get(place)).json()
    answers = [
        await river.get(f"{place}/_history/1"),
        await river.put(place, before | {"active": True}),
        await river.get(place, **{"If-None-Match": 'W/"2"'}),
    ]
    assert [each.status_code for each in answers] == [200, 200, 304]
    assert beats == []


@pytest.mark.parametrize("hidden", [True, False])
async def test_what_finds_nothing_leaves_on_the_beat(
    paced: World, beats: list[int], hidden: bool
) -> None:
    river, harbor = paced[RIVER], paced[HARBOR]
    patient = await new_patient(river)
    made = (await river.post("/Observation", observation(patient))).json()["id"]
    who, what = (patient, made) if hidden else ("nobody", "nothing")
    asks: list[Callable[[], Any]] = [
        lambda: harbor.get(f"/Observation/{what}"),
        lambda: harbor.get(f"/Observation/{what}/_history/1"),
        lambda: harbor.get(f"/Observation/{what}/_history"),
        lambda: harbor.get(f"/Observation?patient={who}"),
        lambda: harbor.get(f"/Patient/{who}/$everything"),
        lambda: harbor.get(f"/Patient/{who}/Observation"),
        lambda: harbor.post("/Observation", observation(who)),
        lambda: harbor.put(f"/Observation/{what}", observation(who) | {"id": what}),
        lambda: harbor.delete(f"/Observation/{what}"),
        lambda: harbor.post("", batch(f"Observation/{what}", f"Observation?patient={who}")),
    ]
    for number, ask in enumerate(asks, 1):
        answer: httpx.Response = await ask()
        assert answer.status_code in (200, 204, 404, 405, 422), answer.text
        assert len(beats) == number, answer.request.url
    assert min(beats) >= BEAT_MS * 1_000_000


async def test_a_write_with_criteria_has_searched_and_leaves_on_the_beat(
    paced: World, beats: list[int]
) -> None:
    river = paced[RIVER]
    resource = {"resourceType": "Patient", "identifier": [{"system": "urn:x", "value": "1"}]}
    headers = river.headers | {"If-None-Exist": "identifier=urn:x|1"}
    answer = await river.http.post("/fhir/Patient", headers=headers, json=resource)
    assert answer.status_code == 201
    assert len(beats) == 1
    answer = await river.put("/Patient?identifier=urn:x|2", resource)
    assert answer.status_code == 201
    assert len(beats) == 2
