"""The service's clock jumps, the database's does not: no token lives longer for it, and all is written down.

In one process, by many days; `test_clock_jump.py` sets the clock of a process of its own.
"""

from __future__ import annotations

import time

import asyncpg
import pytest

from app import clock as deciding
from app.storage.audit_chain import verify
from tests.spine.conftest import AGENCIES, World

RIVER = AGENCIES[0]
DAYS = 40 * 86_400.0


class Clock:
    """What time it is for the service."""

    ahead = 0.0


_real = time.time


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> type[Clock]:
    monkeypatch.setattr(Clock, "ahead", 0.0)
    monkeypatch.setattr("time.time", lambda: _real() + Clock.ahead)
    monkeypatch.setattr("app.clock._CLOCK", deciding.Clock())
    return Clock


async def test_no_token_lives_longer_because_a_clock_jumped_and_the_audit_goes_on(
    world: World, clock: type[Clock]
) -> None:
    async def status(token: str) -> int:
        headers = {"Authorization": f"Bearer {token}"}
        return (await world.http.get("/fhir/Patient", headers=headers)).status_code

    async def token() -> str:
        return str((await world.token(RIVER)).json()["access_token"])

    before = await token()
    assert await status(before) == 200
    clock.ahead = DAYS
    assert await status(before) == 401
    ahead = await token()
    assert await status(ahead) == 200

    clock.ahead = 0.0
    # Known to the process already, and to one that sees it for the first time.
    for _ in range(2):
        assert await status(ahead) == 401, "it would be good for 40 days"
        world.service.verifier._known.clear()
    assert await status(await token()) == 200
    clock.ahead = -DAYS
    behind = await token()
    assert await status(behind) == 200, "set back, it goes on by the time that has passed"
    clock.ahead = 0.0
    assert await status(behind) == 200
    assert await status(await token()) == 200

    owner = await asyncpg.connect(world.database.admin_url)
    months = await owner.fetchval(
        "SELECT count(DISTINCT date_trunc('month', recorded)) FROM tl.audit_event"
    )
    assert months >= 2, "each is written into the month that the clock told"
    assert (await verify(owner)).broken is None
    await owner.close()
