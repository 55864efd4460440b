"""What a consent-checked, audited read costs: over HTTP against its ceiling, and in SQL against no check.

    python -m bench.read_path [--patients 20000] [--rounds 15] [--seconds 1.0]

Prints ratios (bench/README.md says what each proves). HTTP: rounds in turns, the service and the ceiling, at 32
connections, on the same uvicorn settings, the same database, the same resources. SQL: one connection, every
statement in turns over the same resources.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import median
from typing import Any, Final

from app.security import tokens
from app.security.keys import load_keys
from app.security.sealing import Seal
from app.settings import Settings
from app.storage import clients
from app.storage.database import Database
from bench.cluster import Cluster
from bench.load import CLIENT, Plan, arguments, store
from bench.records import SLOTS
from bench.report import Figure, Report
from bench.serve import settings
from bench.statements import Bench, opened

CONNECTIONS: Final = 32


def free_port() -> int:
    """A TCP port that nothing listens on now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def server(kind: str, url: str) -> Iterator[int]:
    """A server of `bench.serve` in a process of its own; its port."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "bench.serve", kind, str(port), url])
    try:
        for _ in range(1200):
            with socket.socket() as sock:
                if sock.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if process.poll() is not None:
                raise SystemExit(f"the {kind} did not start")
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(20)


class LoadClient:
    """The process that sends; see `bench.load_client`."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.load_client"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def _say(self, message: dict[str, Any]) -> None:
        if self._process.stdin is None:
            raise RuntimeError("the load client has no input")
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()

    def teach(self, name: str, requests: Sequence[str]) -> None:
        """The requests of the rounds called `name`."""
        self._say({"name": name, "requests": list(requests)})

    def rate(self, name: str, port: int, seconds: float, connections: int) -> float:
        """Answers a second; SystemExit where any answer is not 200."""
        self._say({"name": name, "port": port, "seconds": seconds, "connections": connections})
        if self._process.stdout is None:
            raise RuntimeError("the load client has no output")
        answer = json.loads(self._process.stdout.readline())
        if set(answer["statuses"]) != {"200"}:
            raise SystemExit(f"{name}: not every answer was 200: {answer['statuses']}")
        return int(answer["statuses"]["200"]) / float(answer["seconds"])

    def close(self) -> None:
        """End it."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process.wait(10)


async def bearer(database: Database, port: int) -> str:
    """A token for the client of the measurements, at the service on `port`."""
    found = await clients.find_client(database.pool, CLIENT)
    if found is None:
        raise SystemExit("the store has no client")
    return tokens.mint(
        await load_keys(database.pool, Seal(Settings())),
        found,
        issuer=settings(port).fhir_base.removesuffix("/fhir"),
        purpose="TREAT",
        scope=found.scope,
        lifetime=3600,
    )


def _request(path: str, port: int, token: str) -> str:
    return (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n"
        "Accept: application/fhir+json\r\n\r\n"
    )


async def visible_reads(bench: Bench, count: int, seed: int = 7) -> list[tuple[str, str]]:
    """(type, id) of resources of many patients, drawn evenly from those that the caller may read."""
    chosen: list[tuple[str, str]] = []
    draw = random.Random(seed)
    while len(chosen) < count:
        slot, patient = draw.randrange(len(SLOTS)), draw.randrange(bench.plan.patients)
        type_, id_ = SLOTS[slot], bench.plan.id(slot, patient)
        if await bench.read(type_, id_) is not None:
            chosen.append((type_, id_))
    return chosen


def over_http(
    made: Cluster, reads: Sequence[tuple[str, str]], tokens_: Any, rounds: int, seconds: float
) -> list[Figure]:
    """Rates of the service and of the ceiling, in turns."""
    load = LoadClient()
    rates: dict[str, list[float]] = {"service": [], "ceiling": []}
    try:
        with (
            server("service", made.service_url) as service,
            server("ceiling", made.owner_url) as ceiling,
        ):
            ports = {"service": service, "ceiling": ceiling}
            token = tokens_(service)
            for name, port in ports.items():
                load.teach(name, [_request(f"/fhir/{t}/{i}", port, token) for t, i in reads])
                load.rate(name, port, seconds, CONNECTIONS)
            for _ in range(rounds):
                for name, port in ports.items():
                    rates[name].append(load.rate(name, port, seconds, CONNECTIONS))
    finally:
        load.close()
    ratio = median(s / c for s, c in zip(rates["service"], rates["ceiling"], strict=True))
    return [
        Figure(
            f"read over HTTP, {CONNECTIONS} connections: checked and audited ÷ ceiling",
            ratio,
            "≥ 0.5",
            ratio >= 0.5,
            f"{median(rates['service']):.0f} ÷ {median(rates['ceiling']):.0f} answers a second",
        )
    ]


async def _prepare(made: Cluster, plan: Plan, count: int) -> list[tuple[str, str]]:
    async with opened(made, plan) as bench:
        return await visible_reads(bench, count)


async def _in_sql(made: Cluster, plan: Plan, reads: Sequence[tuple[str, str]]) -> list[Figure]:
    async with opened(made, plan) as bench:
        return [
            *await bench.read_figures(reads),
            *await bench.patient_search_figures(min(150, len(reads))),
        ]


def measure(
    made: Cluster, plan: Plan, *, rounds: int, seconds: float, cases: int
) -> Iterator[Figure]:
    """All figures of this program."""
    reads = asyncio.run(_prepare(made, plan, cases))

    def token(port: int) -> str:
        async def run() -> str:
            database = await Database.open(
                made.service_url, minimum=1, maximum=1, statement_timeout_ms=10_000
            )
            try:
                return await bearer(database, port)
            finally:
                await database.close()

        return asyncio.run(run())

    yield from over_http(made, reads, token, rounds, seconds)
    yield from asyncio.run(_in_sql(made, plan, reads[:1000]))


def main() -> None:
    parser = arguments("Measure the read path")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=1.0)
    given = parser.parse_args()
    with store(given.patients, given.folder, keep=given.keep) as (made, plan):
        report = Report("The read path", plan)
        for figure in measure(
            made, plan, rounds=given.rounds, seconds=given.seconds, cases=given.cases
        ):
            report.add(figure)
        report.end(given.report)


if __name__ == "__main__":
    main()
