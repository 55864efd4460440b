"""Nothing that the service logs holds an identifier, a name, a token or a secret that it was given."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterator

import asyncpg
import httpx
import pytest

from app import logs
from tests.authz.conftest import house, provider, world
from tests.authz.house import ACTORS, MARKERS, House
from tests.authz.operations import UntoldError, operations, probe, relations

__all__ = ["house", "provider", "world"]


@pytest.fixture
def everything_logged() -> Iterator[io.StringIO]:
    """All loggers, from debug up, through the service's own formatter."""
    root, stream = logging.getLogger(), io.StringIO()
    handlers, level = root.handlers[:], root.level
    logs.configure("debug", stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)


async def test_no_log_line_holds_what_the_requests_and_records_held(
    house: House, everything_logged: io.StringIO, owner: asyncpg.Connection
) -> None:
    world = house.world
    logged = logs.RequestLog(world.application)
    transport = httpx.ASGITransport(app=logged, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        for operation in operations(world.application):
            for relation in relations(operation)[:2]:
                try:
                    asked = await probe(house, operation, relation)
                except UntoldError:
                    continue
                for actor in ("custodian", "unconsented", "survivor", "no token"):
                    typed = {"content-type": asked.media} if asked.content is not None else {}
                    await http.request(
                        asked.method,
                        asked.path,
                        content=asked.content,
                        headers=house.headers[actor] | typed,
                    )
        for path in ("/fhir/Patient/a%00b", "/fhir/Patient?name=zqsharedzq", "/zqsharedzq"):
            await http.get(path, headers=house.headers["custodian"])
    text = everything_logged.getvalue()
    assert text.count("\n") > 100, "the run must have been logged, or this proves nothing"
    ids = {row["id"] for row in await owner.fetch("SELECT id FROM tl.resource")}
    tokens = {
        house.headers[actor]["Authorization"].removeprefix("Bearer ")
        for actor in ACTORS
        if "Authorization" in house.headers[actor]
    }
    kept = {*MARKERS.values(), *world.secrets.values(), *tokens}
    for secret in kept:
        assert secret not in text
        assert secret[-24:] not in text or secret in MARKERS.values()
    # Agencies are named after their ids, which are short words: only records' own ids are looked for.
    for id_ in ids:
        if re.fullmatch(r"[0-9a-f-]{36}", id_):
            assert id_ not in text
