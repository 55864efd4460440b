"""Ask both worlds the same, and find the first answer that differs.

Masked: cursors (encrypted, never twice the same), request ids, and times that the server makes. The length that
is told counts where no body follows (HEAD of one resource): elsewhere the body itself is compared.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

from tests.noninterference.asked import Asked, printed
from tests.noninterference.direct import Answer, Ready, ready
from tests.noninterference.worlds import World, ids

_TIME = re.compile(rb"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3,6}Z")
_CURSOR = re.compile(rb"_cursor=[^\"&]+")
_URN = re.compile(rb"urn:uuid:[0-9a-f-]{36}")
_DOCUMENT = re.compile(rb'"resourceType":"Composition","id":"[0-9a-f-]{36}"')
_AGAIN = 10
_NEXT = re.compile(rb'"relation":"next","url":"[^"]*?/fhir(/[^"]+)"')
_HEADERS = frozenset({b"x-request-id", b"last-modified", b"date", b"content-length"})
_ONE = re.compile(r"/fhir/[A-Za-z]+/[^/?]+(/_history/\d+)?")


def _headers(answer: Answer, request: Ready) -> list[tuple[bytes, bytes]]:
    told = request.method == "HEAD" and _ONE.fullmatch(request.path)
    return sorted(
        each
        for each in answer.headers
        if each[0] not in _HEADERS or (told and each[0] == b"content-length")
    )


def _body(answer: Answer) -> bytes:
    body = _URN.sub(b"urn", _CURSOR.sub(b"_cursor=", _TIME.sub(b"time", answer.body)))
    return _DOCUMENT.sub(b'"resourceType":"Composition"', body)


def alike(answers: tuple[Answer, Answer], request: Ready) -> bool:
    """Whether two answers are the same as they are compared; what is masked is so only where they differ."""
    fuller, plainer = answers
    return (
        fuller.status == plainer.status
        and (fuller.body == plainer.body or _body(fuller) == _body(plainer))
        and _headers(fuller, request) == _headers(plainer, request)
    )


async def _ask(world: World, caller: str, request: Ready, place: str) -> Answer:
    for _ in range(_AGAIN):
        with ids(f"{place}-"):
            answer = await world.ask(caller, request)
        if answer.status != 503 or request.method not in ("GET", "HEAD"):
            break
        # The machine is busy with other things; a read is asked again, as the answer says.
        await asyncio.sleep(1)
    return answer


async def difference(
    twins: tuple[World, World], caller: str, requests: Sequence[Asked], place: str
) -> str | None:
    """What differs first, in words; None where both worlds answered alike.

    The worlds are asked at the same time: each request when both have answered the one before.
    """
    fuller, plainer = twins
    cursors = ["/Observation?_count=1"] * 2
    for number, asked in enumerate(requests):
        if asked.act:
            await asyncio.gather(*(world.act(asked.act) for world in twins))
            continue
        if asked.path == "{cursor}":
            each = [ready(asked.method, path, headers=asked.headers) for path in cursors]
        else:
            each = [ready(asked.method, asked.path, asked.body, asked.headers, form=asked.form)] * 2
        answers = await asyncio.gather(
            _ask(fuller, caller, each[0], f"{place}-{number}"),
            _ask(plainer, caller, each[1], f"{place}-{number}"),
        )
        if not alike(answers, each[0]):
            told = [(a.status, _headers(a, each[0]), _body(a)) for a in answers]
            return f"{printed(asked)}\n  with what is hidden: {told[0]}\n  without:             {told[1]}"
        for n, answer in enumerate(answers):
            found = _NEXT.search(answer.body)
            if found:
                cursors[n] = found[1].decode()
    return None
