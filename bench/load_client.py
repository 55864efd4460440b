"""A load client that is not itself the bottleneck: raw keep-alive connections in a process of their own.

Started as `python -m bench.load_client`; reads rounds from its standard input, one JSON object a line
(`port`, `seconds`, `connections`, `requests`: texts to send, taken in turns), and answers each with how many
answers came and how they were divided by status. Only as much HTTP as uvicorn's answers need.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import cast

import uvloop


@dataclass(slots=True)
class Round:
    """One round as it goes."""

    requests: list[bytes]
    until: float
    next: int = 0
    statuses: Counter[int] = field(default_factory=Counter)


class Connection(asyncio.Protocol):
    """One keep-alive connection: sends a request, takes the answer, sends the next."""

    def __init__(self, round_: Round, ended: asyncio.Future[None]) -> None:
        self._round = round_
        self._ended = ended
        self._kept = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        # uvloop's transports are none of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def _send(self) -> None:
        current = self._round
        if time.perf_counter() >= current.until:
            self._transport.close()
            return
        self._transport.write(current.requests[current.next % len(current.requests)])
        current.next += 1

    def data_received(self, data: bytes) -> None:
        """Count an answer that is whole, and send the next request."""
        kept = self._kept + data if self._kept else data
        head = kept.find(b"\r\n\r\n")
        if head < 0:
            self._kept = kept
            return
        place = kept.lower().find(b"content-length:", 0, head)
        length = int(kept[place + 15 : kept.find(b"\r", place)]) if place >= 0 else 0
        if len(kept) < head + 4 + length:
            self._kept = kept
            return
        self._kept = b""
        self._round.statuses[int(kept[9:12])] += 1
        self._send()

    def connection_lost(self, error: Exception | None) -> None:
        """Tell the round."""
        if not self._ended.done():
            self._ended.set_result(None)


async def one_round(port: int, seconds: float, connections: int, requests: list[bytes]) -> Round:
    """Send for `seconds` over `connections` connections; what came of it."""
    loop = asyncio.get_running_loop()
    current = Round(requests, time.perf_counter() + seconds)
    ends = []
    for _ in range(connections):
        ended = loop.create_future()
        await loop.create_connection(partial(Connection, current, ended), "127.0.0.1", port)
        ends.append(ended)
    await asyncio.gather(*ends)
    return current


def main() -> None:
    requests: dict[str, list[bytes]] = {}
    for line in sys.stdin:
        asked = json.loads(line)
        if "requests" in asked:
            requests[asked["name"]] = [text.encode() for text in asked["requests"]]
            continue
        start = time.perf_counter()
        done = uvloop.run(
            one_round(
                asked["port"], asked["seconds"], asked["connections"], requests[asked["name"]]
            )
        )
        answer = {
            "seconds": time.perf_counter() - start,
            "statuses": {str(status): count for status, count in done.statuses.items()},
        }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
