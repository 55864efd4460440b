"""The number of statements does not grow with the number of resources: N+1 is a failing test here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import asyncpg
import pytest

from tests.spine.conftest import AGENCIES, World, actor, consent, new_patient, observation

RIVER, HARBOR, SHELTER, LEGAL = AGENCIES

_EVERY = "_do_execute"
"""The method of asyncpg's connections through which every statement with a plan goes."""


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """A context whose value is the list of the statements sent meanwhile, on whatever connection.

    The audit's COPY is none of them: it is one for all exchanges of a moment.
    """
    heard: list[str] = []
    execute = vars(asyncpg.Connection)[_EVERY]

    async def counting(connection: Any, query: str, *arguments: Any, **named: Any) -> Any:
        heard.append(query)
        return await execute(connection, query, *arguments, **named)

    monkeypatch.setattr(asyncpg.Connection, _EVERY, counting)

    @contextmanager
    def listening() -> Iterator[list[str]]:
        heard.clear()
        yield heard

    return listening


async def _count(statements: Callable[[], Any], work: Callable[[], Awaitable[Any]]) -> int:
    await work()  # the caller's closure, once a token, is not what is counted
    with statements() as heard:
        answer = await work()
    assert answer.status_code < 300, answer.text
    return len(heard)


async def _record(world: World, observations: int) -> tuple[str, list[str], str]:
    """A patient with so many Observations and a referral about all of them; ids."""
    river = world[RIVER]
    patient = await new_patient(river)
    await river.post("/Consent", consent(patient, type="permit", actor=actor(HARBOR)))
    made = [
        (await river.post("/Observation", observation(patient))).json()["id"]
        for _ in range(observations)
    ]
    request = {
        "resourceType": "ServiceRequest",
        "status": "active",
        "intent": "order",
        "subject": {"reference": f"Patient/{patient}"},
        "supportingInfo": [{"reference": f"Observation/{each}"} for each in made],
    }
    focus = (await river.post("/ServiceRequest", request)).json()["id"]
    task = {
        "resourceType": "Task",
        "status": "requested",
        "intent": "order",
        "focus": {"reference": f"ServiceRequest/{focus}"},
        "for": {"reference": f"Patient/{patient}"},
        "requester": {"reference": f"Organization/{RIVER}"},
        "owner": {"reference": f"Organization/{HARBOR}"},
    }
    answer = await river.post("/Task", task)
    assert answer.status_code == 201, answer.text
    return patient, made, answer.json()["id"]


async def test_a_read_is_one_statement_and_one_more_where_nothing_is_found_hidden_or_missing(
    world: World, statements: Callable[[], Any]
) -> None:
    _, (made, *_), _ = await _record(world, 1)
    for name, path, status, count in (
        (RIVER, f"Observation/{made}", 200, 1),
        (HARBOR, f"Observation/{made}", 200, 1),
        (LEGAL, f"Observation/{made}", 404, 2),
        (RIVER, "Observation/missing", 404, 2),
        (LEGAL, f"Organization/{RIVER}", 200, 1),
        (LEGAL, "Organization/missing", 404, 1),
    ):
        await world[name].get(f"/{path}")
        with statements() as heard:
            answer = await world[name].get(f"/{path}")
        assert answer.status_code == status
        assert len(heard) == count, heard


async def test_searches_includes_and_packages_send_as_many_statements_for_nine_as_for_one(
    world: World, statements: Callable[[], Any]
) -> None:
    counts: list[dict[str, int]] = []
    harbor = world[HARBOR]
    for size in (1, 9):
        patient, made, task = await _record(world, size)
        paths = {
            "vread": f"/Observation/{made[0]}/_history/1",
            "history": f"/Observation/{made[0]}/_history",
            "search": f"/Observation?patient={patient}",
            "search with total": f"/Observation?patient={patient}&_total=accurate",
            "_include": f"/Observation?patient={patient}&_include=Observation:subject",
            "_revinclude": f"/Patient?_id={patient}&_revinclude=Observation:subject",
            "package": f"/Task/{task}/$referral-package",
        }
        counts.append(
            {
                name: await _count(statements, lambda path=path: harbor.get(path))  # type: ignore[misc]
                for name, path in paths.items()
            }
        )
    assert counts[0] == counts[1]
    assert counts[0]["search"] == 1
    assert counts[0]["search with total"] == 2


async def test_a_transaction_sends_as_many_statements_for_nine_entries_as_for_one(
    world: World, statements: Callable[[], Any]
) -> None:
    river, patient = world[RIVER], await new_patient(world[RIVER])

    async def transact(size: int) -> int:
        bundle = {
            "resourceType": "Bundle",
            "type": "transaction",
            "entry": [
                {
                    "resource": observation(patient),
                    "request": {"method": "POST", "url": "Observation"},
                }
            ]
            * size,
        }
        with statements() as heard:
            answer = await world.http.post("/fhir", headers=river.headers, json=bundle)
        assert answer.status_code == 200, answer.text
        return len(heard)

    assert await transact(1) == await transact(9)
