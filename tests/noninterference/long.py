"""The long form of the twins: `make twins`. A million requests by default, resumable, with a shrinking report.

    python -m tests.noninterference.long [--requests N] [--seed N] [--progress FILE]

The seed of the run and the number of sequences done stand in the progress file; ended at any moment, the next
run goes on behind the last sequence that agreed. A difference is replayed on fresh worlds and cut down to the
requests that it needs, which are printed.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import secrets
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from app.embedded import EmbeddedPostgres
from app.storage import migrate
from tests.conftest import SERVICE_PASSWORD, SERVICE_ROLE, Cluster, Database
from tests.noninterference.asked import Asked, printed
from tests.noninterference.compare import difference
from tests.noninterference.requests import sequence
from tests.noninterference.worlds import BRIDGE, HARBOR, twins

FRESH_AFTER = 2_000
"""Sequences on one pair of worlds: what the attacker writes adds up."""


def _read(progress: Path) -> dict[str, int]:
    state: dict[str, int] = json.loads(progress.read_text())
    return state


def _note(progress: Path, state: dict[str, int]) -> None:
    progress.write_text(json.dumps(state))


def _makers(cluster: Cluster, template: str) -> Callable[[], Database]:
    numbers = itertools.count()

    def make() -> Database:
        name = f"tl_twin_{next(numbers)}"
        cluster.create(name, template)
        return Database(name, cluster.admin_url(name), cluster.service_url(name))

    return make


async def _differs(
    make: Callable[[], Database], folder: Path, caller: str, requests: Sequence[Asked]
) -> str | None:
    async with twins(make, folder, caller=caller) as pair:
        return await difference(pair, caller, requests, "shrink")


async def shrink(
    make: Callable[[], Database], folder: Path, caller: str, requests: list[Asked]
) -> list[Asked]:
    """The requests without those that the difference does not need; halves first, then one by one."""
    size = max(len(requests) // 2, 1)
    while size:
        start = 0
        while start < len(requests):
            shorter = requests[:start] + requests[start + size :]
            if shorter and await _differs(make, folder, caller, shorter):
                requests = shorter
            else:
                start += size
        size //= 2
    return requests


async def run(make: Callable[[], Database], folder: Path, progress: Path, wanted: int) -> int:
    """Go on until `wanted` requests agreed (0) or a difference is found and told (1)."""
    state = _read(progress)
    while state["requests"] < wanted:
        caller = (HARBOR, BRIDGE)[state["sequences"] // FRESH_AFTER % 2]
        told: list[Asked] = []
        async with twins(make, folder, caller=caller) as pair:
            for _ in range(FRESH_AFTER):
                number = state["sequences"]
                asked = sequence(state["seed"] + number)
                told += asked
                found = await difference(pair, caller, asked, f"{caller}-{number}")
                if found is not None:
                    break
                state["sequences"] += 1
                state["requests"] += len(asked)
                if number % 100 == 0:
                    _note(progress, state)
                    print(f"{state['requests']} requests agree", flush=True)
                if state["requests"] >= wanted:
                    break
            else:
                continue
        if found is None:
            break
        print(f"seed {state['seed']}, sequence {number}, caller {caller}\n{found}\nneeded for it:")
        needed = told if await _differs(make, folder, caller, told) else []
        for each in await shrink(make, folder, caller, needed):
            print("  " + printed(each))
        return 1
    _note(progress, state)
    print(f"seed {state['seed']}: {state['requests']} requests agree")
    return 0


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--progress", type=Path, default=Path(".cache/twins.json"))
    given = parser.parse_args()
    given.progress.parent.mkdir(parents=True, exist_ok=True)
    if given.seed is not None or not given.progress.exists():
        seed = given.seed if given.seed is not None else secrets.randbelow(10**9)
        state = {"seed": seed, "sequences": 0, "requests": 0}
        _note(given.progress, state)
    with tempfile.TemporaryDirectory(prefix="tl-twins-") as folder:
        Path(folder).chmod(0o711)
        server = EmbeddedPostgres(Path(folder) / "cluster", durable=False)
        cluster = Cluster(server.start(), "twins")
        try:
            cluster.create("tl_twins", "template0")
            migrate.upgrade(cluster.admin_url("tl_twins"), SERVICE_ROLE, SERVICE_PASSWORD)
            make = _makers(cluster, "tl_twins")
            return asyncio.run(run(make, Path(folder), given.progress, given.requests))
        finally:
            server.stop()


if __name__ == "__main__":
    raise SystemExit(main())
