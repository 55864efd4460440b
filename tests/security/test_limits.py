"""What one client can ask of the service, and what every answer tells a browser."""

from __future__ import annotations

import asyncio
import json
import time

import asyncpg
import httpx
import pytest

from app.errors import FhirError, IssueCode
from app.main import create_app
from app.routers.deadline import Deadlines
from app.security.rate import RateLimit
from app.settings import Settings
from app.storage.rate_windows import RateWindows
from tests.spine.conftest import AGENCIES, Agency, World, new_patient

RIVER, HARBOR = AGENCIES[:2]


async def test_a_client_that_asks_too_often_is_told_when_to_come_back_and_others_go_on(
    world: World,
) -> None:
    world.service.verifier.rate = RateLimit("5/hour")
    answers = [await world[RIVER].get("/Patient") for _ in range(7)]
    assert [a.status_code for a in answers] == [200] * 5 + [429] * 2
    assert 0 < int(answers[-1].headers["retry-after"]) <= 3600
    assert answers[-1].json()["issue"][0]["code"] == "throttled"
    token = await world.token(RIVER)
    assert (token.status_code, token.json()["error"]) == (429, "slow_down")
    assert int(token.headers["retry-after"]) > 0
    assert (await world[HARBOR].get("/Patient")).status_code == 200


async def _admitted(limit: RateLimit, times: int) -> int:
    """How many of so many requests of one client are admitted."""
    found = 0
    for _ in range(times):
        try:
            pending = limit.admit("eager")
            if pending is not None:
                await pending
        except FhirError as error:
            if error.issues[0].code is not IssueCode.THROTTLED:
                raise
        else:
            found += 1
    return found


async def test_the_count_is_shared_and_asks_the_database_once_for_many_requests(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    real = RateWindows.incr

    async def counted(self: RateWindows, key: str, expiry: int, amount: int = 1) -> int:
        asked.append(amount)
        return await real(self, key, expiry, amount)

    monkeypatch.setattr(RateWindows, "incr", counted)
    pool = world.service.database.pool
    one, other = RateLimit("6400/hour", pool), RateLimit("6400/hour", pool)
    assert await _admitted(one, 200) == 200
    assert asked == [], "a small part is admitted without asking"
    assert await _admitted(one, 3000) == 3000
    assert len(asked) <= 32, "the rest in portions of a hundred"
    rest = await _admitted(other, 6400)
    assert 6400 - 3200 - 2 * 100 <= rest <= 6400 - 3200
    assert len(asked) <= 66


async def test_where_the_count_cannot_be_shared_each_process_counts_alone(world: World) -> None:
    unreachable = asyncpg.create_pool("postgresql://nobody@127.0.0.1:1/nothing", min_size=0)
    async with unreachable as pool:
        limit = RateLimit("5/hour", pool)
        assert await _admitted(limit, 8) == 5


async def test_a_window_goes_on_though_the_clock_is_set(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit, now = RateLimit("5/hour", world.service.database.pool), time.time()
    assert await _admitted(limit, 3) == 3
    monkeypatch.setattr("time.time", lambda: now - 86_400)
    assert await _admitted(limit, 3) == 2
    monkeypatch.setattr("time.time", lambda: now + 86_400)
    assert await _admitted(limit, 1) == 0


async def test_a_window_of_the_count_that_would_never_end_is_begun_anew(
    world: World, owner: asyncpg.Connection
) -> None:
    limit = RateLimit("5/hour", world.service.database.pool)
    assert await _admitted(limit, 6) == 5
    # As after the clock of the database was set back by a day.
    await owner.execute("UPDATE tl.rate_window SET ends = ends + interval '1 day'")
    again = RateLimit("5/hour", world.service.database.pool)
    assert await _admitted(again, 6) == 5


async def test_what_a_batch_asks_inside_counts_once(world: World) -> None:
    world.service.verifier.rate = RateLimit("2/hour")
    entry = {"request": {"method": "GET", "url": "Patient"}}
    batch = {"resourceType": "Bundle", "type": "batch", "entry": [entry] * 10}
    answer = await world[RIVER].post("", batch)
    assert {e["response"]["status"][:3] for e in answer.json()["entry"]} == {"200"}


async def test_a_statement_that_takes_too_long_is_ended_and_said_to_be_too_costly(
    world: World, owner: asyncpg.Connection
) -> None:
    patient = await new_patient(world[RIVER])
    settings = world.service.settings.model_copy(update={"statement_timeout_ms": 200})
    application = create_app(settings, world.database.service_url)
    async with (
        application.router.lifespan_context(application),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app=application), base_url="http://test"
        ) as http,
    ):
        async with owner.transaction():
            await owner.execute("LOCK TABLE tl.resource IN ACCESS EXCLUSIVE MODE")
            answer = await http.get(f"/fhir/Patient/{patient}", headers=world[RIVER].headers)
        assert answer.json()["issue"][0]["code"] == "too-costly"
        assert 400 <= answer.status_code < 600


async def test_when_every_connection_is_taken_requests_wait_and_then_are_told_to_come_back(
    world: World, owner: asyncpg.Connection
) -> None:
    patient = await new_patient(world[RIVER])
    longer, world.service.deadlines = world.service.deadlines, Deadlines(world.service.loop, 0.4)
    async with owner.transaction():
        await owner.execute("LOCK TABLE tl.resource IN ACCESS EXCLUSIVE MODE")
        answers = await asyncio.gather(
            *(world[RIVER].get(f"/Patient/{patient}") for _ in range(40)),
            *(world[RIVER].get("/Patient") for _ in range(40)),
        )
    assert {a.status_code for a in answers} == {503}
    assert all(a.headers["retry-after"] == "1" for a in answers)
    world.service.deadlines.close()
    world.service.deadlines = longer
    after = await asyncio.gather(*(world[RIVER].get(f"/Patient/{patient}") for _ in range(40)))
    assert {a.status_code for a in after} == {200}


@pytest.mark.parametrize("way", ["url", "form"])
async def test_a_search_with_too_many_parameters_is_refused(
    world_of_tokens: World, way: str
) -> None:
    many = "&".join("_id=x" for _ in range(300))
    river = world_of_tokens[RIVER]
    if way == "url":
        answer = await river.get(f"/Patient?{many}")
    else:
        answer = await world_of_tokens.http.post(
            "/fhir/Patient/_search",
            content=many,
            headers=river.headers | {"content-type": "application/x-www-form-urlencoded"},
        )
    assert (answer.status_code, answer.json()["issue"][0]["code"]) == (400, "too-costly")


async def test_nesting_without_end_is_refused_and_harms_nothing(world_of_tokens: World) -> None:
    deep = '{"resourceType":"Patient","extension":' + "[" * 50_000 + "]" * 50_000 + "}"
    answer = await world_of_tokens.http.post(
        "/fhir/Patient", content=deep, headers=world_of_tokens[RIVER].headers
    )
    assert 400 <= answer.status_code < 500
    assert (await world_of_tokens[RIVER].get("/Patient")).status_code == 200


async def test_no_answer_may_be_kept_framed_or_guessed_at(world_of_tokens: World) -> None:
    http, river = world_of_tokens.http, world_of_tokens[RIVER]
    for answer in (
        await river.get("/Patient"),
        await river.get("/Patient/nobody"),
        await http.get("/fhir/Patient"),
        await http.get("/fhir/metadata"),
        await http.get("/nowhere"),
        await http.post("/oauth/token"),
    ):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert "no-store" in answer.headers["cache-control"]
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "strict-transport-security" not in answer.headers
        assert "server" not in answer.headers


async def test_no_other_origin_may_call_from_a_browser_unless_it_is_listed(
    world: World,
) -> None:
    asks = {"Origin": "https://app.example", "Access-Control-Request-Method": "GET"}
    answer = await world.http.options("/fhir/Patient", headers=asks)
    assert "access-control-allow-origin" not in answer.headers
    plain = await world[RIVER].get("/Patient", Origin="https://app.example")
    assert "access-control-allow-origin" not in plain.headers
    settings = Settings(cors_origins=("https://app.example",), base_url="https://care.example/fhir")
    application = create_app(settings, world.database.service_url)
    async with (
        application.router.lifespan_context(application),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app=application), base_url="http://test"
        ) as http,
    ):
        listed = await http.get("/fhir/metadata", headers={"Origin": "https://app.example"})
        other = await http.get("/fhir/metadata", headers={"Origin": "https://else.example"})
    assert listed.headers["access-control-allow-origin"] == "https://app.example"
    assert listed.headers["strict-transport-security"].startswith("max-age=")
    assert "access-control-allow-origin" not in other.headers


async def test_a_body_and_a_bundle_have_their_bounds(world: World) -> None:
    river: Agency = world[RIVER]
    large = {"resourceType": "Patient", "name": [{"family": "x" * 300_000}]}
    assert (await river.post("/Patient", large)).status_code == 413
    entry = {"request": {"method": "GET", "url": "Patient"}}
    bundle = {"resourceType": "Bundle", "type": "batch", "entry": [entry] * 21}
    refused = await river.post("", bundle)
    assert 400 <= refused.status_code < 500
    assert "OperationOutcome" in json.dumps(refused.json())
