"""The long form of the twins: `make twins`. A million requests by default, resumable, with a shrinking report.

    python -m tests.noninterference.long [--requests N] [--seed N] [--processes N] [--progress FILE]

The sequences of a run are cut into blocks; each block has a pair of worlds of its own, fresh at its start,
so that blocks can be asked by several processes and what adds up slows nothing. The seed of the run and the
blocks that agreed stand in the progress file: ended at any moment, the next run asks those that are missing;
after a whole one it begins anew, with another seed.
A difference is replayed on fresh worlds and cut down to the requests that it needs, which are printed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
import secrets
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Self

import uvloop

from app.commands.databases import write_privately
from app.commands.serving import end_with, keep_what_start_up_made
from app.embedded import EmbeddedPostgres
from app.storage import migrate
from tests.conftest import SERVICE_PASSWORD, SERVICE_ROLE, Cluster
from tests.noninterference.asked import Asked, printed
from tests.noninterference.compare import difference
from tests.noninterference.copies import Copies
from tests.noninterference.requests import sequence
from tests.noninterference.worlds import BRIDGE, HARBOR

BLOCK = 500
"""Sequences on one pair of worlds. The callers take turns, block by block."""


@dataclass
class Progress:
    """What a run has done. blocks: the attacker's requests in each block that agreed, by its number."""

    path: Path
    seed: int
    blocks: dict[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, path: Path, seed: int | None, wanted: int) -> Self:
        """Go on with the run in the file, unless it has asked what is wanted or a seed names another."""
        if path.exists():
            state = json.loads(path.read_text())
            begun = cls(path, state["seed"], {int(k): v for k, v in state["blocks"].items()})
            if seed in (None, begun.seed) and begun.requests < wanted:
                return begun
        return cls(path, secrets.randbelow(10**9) if seed is None else seed)

    @property
    def requests(self) -> int:
        """How many agreed."""
        return sum(self.blocks.values())

    def missing(self) -> Iterator[int]:
        """Numbers of blocks that have not agreed yet."""
        return (number for number in itertools.count() if number not in self.blocks)

    def note(self, number: int, requests: int) -> None:
        """A block agreed: written at once, whole or not at all."""
        self.blocks[number] = requests
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_privately(self.path, json.dumps({"seed": self.seed, "blocks": self.blocks}))


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one block. found: the first difference in words, and the sequence that showed it."""

    requests: int
    found: str | None = None
    sequence: int = 0


def ask(copies: Copies, seed: int, number: int) -> Outcome:
    """Ask one block of a pair of its own, until its end or a difference."""
    return uvloop.run(_ask(copies, seed, number))


async def _ask(copies: Copies, seed: int, number: int) -> Outcome:
    requests = 0
    async with copies.pair() as pair:
        for each in range(number * BLOCK, (number + 1) * BLOCK):
            asked = sequence(seed + each)
            try:
                found = await difference(pair, copies.caller, asked, f"{copies.caller}-{each}")
            except Exception as error:
                error.add_note(f"seed {seed}, sequence {each}, caller {copies.caller}")
                raise
            if found is not None:
                return Outcome(requests, found, each)
            requests += sum(not one.act for one in asked)
    return Outcome(requests)


def _differs(copies: Copies, requests: Sequence[Asked]) -> bool:
    async def replay() -> bool:
        async with copies.pair() as pair:
            return await difference(pair, copies.caller, requests, "shrink") is not None

    return uvloop.run(replay())


def shrink(copies: Copies, requests: list[Asked]) -> list[Asked]:
    """The requests without those that the difference does not need; halves first, then one by one."""
    size = max(len(requests) // 2, 1)
    while size:
        start = 0
        while start < len(requests):
            shorter = requests[:start] + requests[start + size :]
            if shorter and _differs(copies, shorter):
                requests = shorter
            else:
                start += size
        size //= 2
    return requests


def report(copies: Copies, seed: int, number: int, outcome: Outcome) -> None:
    """Print a difference and the requests that it needs: of its own sequence, or of its block so far."""
    print(f"seed {seed}, sequence {outcome.sequence}, caller {copies.caller}\n{outcome.found}")
    for first in (outcome.sequence, number * BLOCK):
        told = [a for each in range(first, outcome.sequence + 1) for a in sequence(seed + each)]
        if _differs(copies, told):
            print("needed for it:")
            for each in shrink(copies, told):
                print("  " + printed(each))
            return
    print("it does not show again on fresh worlds")


def run(callers: Mapping[str, Copies], progress: Progress, wanted: int, processes: int) -> int:
    """Go on until `wanted` requests agreed (0) or a difference is found and told (1)."""
    turns = list(callers.values())
    before, begun = progress.requests, perf_counter()
    missing = progress.missing()
    asked: dict[Future[Outcome], int] = {}
    with ProcessPoolExecutor(
        processes,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_settle,
        initargs=(os.getpid(),),
    ) as pool:
        while progress.requests < wanted:
            for number in itertools.islice(missing, processes - len(asked)):
                copies = turns[number % len(turns)]
                asked[pool.submit(ask, copies, progress.seed, number)] = number
            for done in wait(asked, return_when=FIRST_COMPLETED).done:
                number, outcome = asked.pop(done), done.result()
                if outcome.found is not None:
                    report(turns[number % len(turns)], progress.seed, number, outcome)
                    return 1
                progress.note(number, outcome.requests)
            rate = (progress.requests - before) / (perf_counter() - begun)
            print(
                f"seed {progress.seed}: {progress.requests} requests "
                f"in {len(progress.blocks) * BLOCK} sequences agree, {rate:.1f} a second",
                flush=True,
            )
    return 0


def _settle(parent: int) -> None:
    """Before a process asks its first block, as before one of the service's own serves."""
    end_with(parent)
    keep_what_start_up_made()


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--progress", type=Path, default=Path(".cache/twins.json"))
    given = parser.parse_args()
    progress = Progress.of(given.progress, given.seed, given.requests)
    print(
        f"seed {progress.seed}: {progress.requests} of {given.requests} requests agree", flush=True
    )
    with tempfile.TemporaryDirectory(prefix="tl-twins-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        server = EmbeddedPostgres(folder / "cluster", durable=False)
        cluster = Cluster(server.start(), "twins", durable=False)
        try:
            cluster.create("tl_twins", "template0")
            migrate.upgrade(cluster.admin_url("tl_twins"), SERVICE_ROLE, SERVICE_PASSWORD)
            callers = {
                caller: uvloop.run(Copies.told(cluster, "tl_twins", folder, caller))
                for caller in (HARBOR, BRIDGE)
            }
            return run(callers, progress, given.requests, given.processes)
        finally:
            server.stop()


if __name__ == "__main__":
    raise SystemExit(main())
