"""The long form of the comparison with the oracle: `make fuzz`. A million situations by default, resumable.

    python -m tests.consent.long [--situations N] [--seed N] [--processes N] [--progress FILE]

Each situation is one to three random Consents, drawn by the seed of the run and its own number through the code
that draws those of the short form (`test_against_oracle`), and asked as many questions. Seed and progress stand
in the progress file: ended at any moment, the next run goes on; after a whole one it begins anew, with another
seed. What production and the oracle differ about is cut down to what the difference needs, and printed.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import time
from collections.abc import Iterator
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Final, NamedTuple

from app.commands.databases import write_privately
from tests.consent.agreement import QUESTIONS, Compared
from tests.consent.chance import Chance
from tests.consent.shrinking import printed, shrink
from tests.consent.situations import Situation, situation

BLOCK: Final = 500
"""Situations between two notes of progress."""


class Block(NamedTuple):
    """What agrees in a block, and how much of it are permits; and the number of what does not."""

    situations: int
    consents: int
    permits: int
    differs: int | None


def numbered(seed: int, number: int) -> Situation:
    """One situation of a run, the same every time."""
    return situation(Chance.seeded(f"{seed}/{number}"))


def examine(seed: int, numbers: range) -> Block:
    """Ask about each, up to the first that production and the oracle differ about."""
    consents = permits = 0
    for done, number in enumerate(numbers):
        try:
            compared = Compared(numbered(seed, number))
            answers = [compared.answers(question) for question in compared.questions()]
        except Exception as error:
            error.add_note(f"seed {seed}, situation {number}")
            raise
        if not all(answer.agree for answer in answers):
            return Block(done, consents, permits, number)
        consents += len(compared.situation.given)
        permits += sum(answer.oracle for answer in answers)
    return Block(len(numbers), consents, permits, None)


def _blocks(seed: int, numbers: range, processes: int) -> Iterator[Block]:
    """Block after block, in order."""
    parts = [numbers[start : start + BLOCK] for start in range(0, len(numbers), BLOCK)]
    if processes == 1:
        yield from map(partial(examine, seed), parts)
        return
    with get_context("spawn").Pool(processes) as pool:
        yield from pool.imap(partial(examine, seed), parts)


def _told(state: dict[str, int]) -> str:
    asked = state["situations"] * QUESTIONS
    share = 100 * state["permits"] / max(asked, 1)
    return (
        f"seed {state['seed']}: {state['situations']} situations, {state['consents']} Consents, "
        f"{asked} questions ({share:.1f}% permits) agree"
    )


def report(seed: int, number: int) -> str:
    """The first difference of a situation, cut down."""
    compared = Compared(numbered(seed, number))
    question = next(q for q in compared.questions() if not compared.answers(q).agree)
    needed = printed(*shrink(compared.situation, question))
    return f"seed {seed}, situation {number}: production and the oracle differ\n{needed}"


def run(progress: Path, wanted: int, processes: int) -> int:
    """Go on until so many situations agreed (0) or a difference is found and told (1)."""
    state: dict[str, int] = json.loads(progress.read_text())
    seed, told = state["seed"], time.monotonic()
    for block in _blocks(seed, range(state["situations"], wanted), processes):
        state["situations"] += block.situations
        state["consents"] += block.consents
        state["permits"] += block.permits
        write_privately(progress, json.dumps(state))
        if block.differs is not None:
            print(report(seed, block.differs))
            return 1
        if time.monotonic() - told > 30:
            told = time.monotonic()
            print(_told(state), flush=True)
    print(_told(state))
    return 0


def begin(progress: Path, wanted: int, seed: int | None) -> None:
    """Write a new progress file, unless an unfinished run is to go on."""
    if seed is None and progress.exists():
        state: dict[str, int] = json.loads(progress.read_text())
        if state["situations"] < wanted:
            return
    chosen = secrets.randbelow(10**9) if seed is None else seed
    progress.parent.mkdir(parents=True, exist_ok=True)
    begun = {"seed": chosen, "situations": 0, "consents": 0, "permits": 0}
    write_privately(progress, json.dumps(begun))


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--situations", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--progress", type=Path, default=Path(".cache/fuzz.json"))
    given = parser.parse_args()
    begin(given.progress, given.situations, given.seed)
    print(f"seed {json.loads(given.progress.read_text())['seed']}", flush=True)
    return run(given.progress, given.situations, given.processes)


if __name__ == "__main__":
    raise SystemExit(main())
