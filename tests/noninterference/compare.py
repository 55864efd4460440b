"""Ask both worlds the same, and find the first answer that differs.

Masked: cursors (encrypted, never twice the same), request ids, and times that the server makes. The length that
is told counts where no body follows (HEAD of one resource): elsewhere the body itself is compared.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

import httpx

from tests.noninterference.asked import Asked, printed
from tests.noninterference.worlds import World, ids

_TIME = re.compile(rb"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3,6}Z")
_CURSOR = re.compile(rb"_cursor=[^\"&]+")
_URN = re.compile(rb"urn:uuid:[0-9a-f-]{36}")
_DOCUMENT = re.compile(rb'"resourceType":"Composition","id":"[0-9a-f-]{36}"')
_AGAIN = 10
_NEXT = re.compile(r'"relation":"next","url":"[^"]*?/fhir(/[^"]+)"')
_HEADERS = frozenset({"x-request-id", "last-modified", "date", "content-length"})
_ONE = re.compile(r"/fhir/[A-Za-z]+/[^/?]+(/_history/\d+)?")


def masked(answer: httpx.Response) -> tuple[int, list[tuple[str, str]], bytes]:
    """Status, headers and body as they are compared."""
    body = _URN.sub(b"urn", _CURSOR.sub(b"_cursor=", _TIME.sub(b"time", answer.content)))
    body = _DOCUMENT.sub(b'"resourceType":"Composition"', body)
    headers = sorted((k, v) for k, v in answer.headers.items() if k not in _HEADERS)
    if answer.request.method == "HEAD" and _ONE.fullmatch(answer.request.url.path):
        headers.append(("content-length", answer.headers.get("content-length", "")))
    return answer.status_code, headers, body


async def _ask(world: World, caller: str, asked: Asked, cursor: str, place: str) -> httpx.Response:
    path = cursor if asked.path == "{cursor}" else asked.path
    options: dict[str, object] = {"headers": dict(asked.headers)}
    if asked.form:
        options["data"] = asked.body
    elif asked.body is not None:
        options["json"] = asked.body
    for _ in range(_AGAIN):
        with ids(f"{place}-"):
            answer = await world.send(caller, asked.method, path, **options)
        if answer.status_code != 503 or asked.method not in ("GET", "HEAD"):
            break
        # The machine is busy with other things; a read is asked again, as the answer says.
        await asyncio.sleep(1)
    return answer


async def difference(
    twins: tuple[World, World], caller: str, requests: Sequence[Asked], place: str
) -> str | None:
    """What differs first, in words; None where both worlds answered alike."""
    cursors = ["/Observation?_count=1"] * 2
    for number, asked in enumerate(requests):
        if asked.act:
            for world in twins:
                await world.act(asked.act)
            continue
        answers = [
            await _ask(world, caller, asked, cursors[n], f"{place}-{number}")
            for n, world in enumerate(twins)
        ]
        fuller, plainer = map(masked, answers)
        if fuller != plainer:
            return f"{printed(asked)}\n  with what is hidden: {fuller}\n  without:             {plainer}"
        for n, answer in enumerate(answers):
            found = _NEXT.search(answer.text) if answer.content else None
            if found:
                cursors[n] = found[1]
    return None
