"""Delete each condition of the predicate and each policy, run the tests that should miss it, print survivors.

    python tools/mutants.py [--only WORDS] [--start N] [--processes N] [--list] [--tests PATH …]

What is deleted is told in `tools/mutations.py`. It is deleted in a copy of the tree, never in the tree itself.
Which test noticed each deletion last time is kept in `tools/mutant_killers.json` and asked first; where it
does not notice, all others are, and the file is written anew.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tools.mutant import Mutant  # noqa: E402 - the tree's own, whoever starts this
from tools.mutant_runs import Ground  # noqa: E402
from tools.mutations import mutants  # noqa: E402

TESTS = (
    # The quickest to notice come first.
    "tests/consent/test_conditions.py",
    "tests/consent/test_code_masks.py",
    "tests/consent/test_element_conditions.py",
    "tests/consent/test_places.py",
    "tests/consent/test_doors.py",
    "tests/consent/test_identities.py",
    "tests/spine/test_two_walls.py",
    "tests/redaction",
    "tests/consent/test_sql_agrees.py",
    "tests/security/test_scopes.py",
    "tests/spine/test_consent_over_http.py",
    "tests/consent/test_attacks.py",
)
KILLERS = ROOT / "tools" / "mutant_killers.json"
"""Name of a mutant to the test that noticed it last."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a mutant. killer: the test that noticed. word: killed, SURVIVES, or what went wrong."""

    number: int
    word: str
    seconds: float = 0.0
    killer: str | None = None
    told: str = ""


def tried(mutant: Mutant, ground: Ground, known: str | None, tests: Sequence[str]) -> Verdict:
    """Whether a test notices that the condition is gone, the one that is known to first."""
    groups = [(each,) for each in dict.fromkeys((*mutant.first, *tests))]
    for group in [*([(known,)] if known else []), *groups]:
        with ground.without(mutant):
            run = ground.run(group, mutant.path)
        if run.failed is None:
            continue
        if run.senseless:
            return Verdict(0, f"BROKEN ({run.senseless})", told=run.told)
        if group != (known,) and not ground.is_sound(group):
            return Verdict(0, "UNTRIED: these tests fail anyway", told=ground.told())
        return Verdict(0, "killed", killer=run.failed if "::" in run.failed else None)
    return Verdict(0, "SURVIVES")


def _work(
    chosen: Sequence[Mutant], known: Mapping[str, str], tests: Sequence[str], places: Any, out: Any
) -> None:
    """One process: mutants by the numbers that `places` hands out, until it hands out None."""
    with Ground.made() as ground:
        asked = sorted({known[each.name] for each in chosen if each.name in known})
        # What fails with nothing deleted notices nothing.
        sound = not asked or ground.is_sound(asked)
        if not sound:
            out.put(Verdict(-1, "UNTRIED", told=ground.told()))
        while sound and (at := places.get()) is not None:
            began = time.monotonic()
            mutant = chosen[at]
            verdict = tried(mutant, ground, known.get(mutant.name), tests)
            seconds = time.monotonic() - began
            out.put(Verdict(at, verdict.word, seconds, verdict.killer, verdict.told))
    out.put(None)


def verdicts(
    chosen: Sequence[Mutant],
    known: Mapping[str, str],
    tests: Sequence[str],
    start: int,
    processes: int,
) -> Iterator[Verdict]:
    """Each as it comes."""
    fork = multiprocessing.get_context("fork")
    places, out = fork.Queue(), fork.Queue()
    for at in [*range(start, len(chosen)), *[None] * processes]:
        places.put(at)
    working = [
        fork.Process(target=_work, args=(chosen, known, tests, places, out))
        for _ in range(processes)
    ]
    for each in working:
        each.start()
    ended = 0
    while ended < processes:
        verdict = out.get()
        if verdict is None:
            ended += 1
        else:
            yield verdict
    for each in working:
        each.join()


def main() -> int:
    """See the module; 1 where a mutant was not killed, 2 where the tests fail without any."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tests", nargs="*", default=TESTS)
    parser.add_argument("--only", default="", help="only mutants whose name holds these words")
    parser.add_argument("--start", type=int, default=1, help="go on at this number of the list")
    parser.add_argument("--processes", type=int, default=1, help="try so many at once")
    parser.add_argument("--list", action="store_true", help="print the names and end")
    given = parser.parse_args()
    every = mutants(ROOT)
    chosen = [each for each in every if given.only in each.name]
    if given.list:
        print(*(each.name for each in chosen), sep="\n")
        return 0
    killers = _known()
    alive, count = [], 0
    for verdict in verdicts(chosen, killers, given.tests, given.start - 1, given.processes):
        if verdict.number < 0:
            print("The tests fail although nothing was deleted; mend them first.")
            print(verdict.told[-3000:])
            return 2
        name, count = chosen[verdict.number].name, count + 1
        place = f"{verdict.number + 1:3}/{len(chosen)}"
        print(f"{place} {verdict.word} {verdict.seconds:4.0f} s  {name}", flush=True)
        if verdict.word != "killed":
            alive.append(name)
            print(verdict.told[-3000:], end="\n" if verdict.told else "", flush=True)
        elif verdict.killer and verdict.killer != killers.get(name):
            killers[name] = verdict.killer
            _keep(name, verdict.killer, {each.name for each in every})
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    minutes = (used.ru_utime + used.ru_stime) / 60
    print(f"{count} mutants, {minutes:.1f} minutes of a processor, survivors: ", end="")
    print(", ".join(alive) or "none")
    return bool(alive)


def _known() -> dict[str, str]:
    return json.loads(KILLERS.read_text()) if KILLERS.exists() else {}


def _keep(name: str, killer: str, names: Collection[str]) -> None:
    """Write who killed a mutant beside what another run may have written; of those that there still are."""
    known = {each: by for each, by in (_known() | {name: killer}).items() if each in names}
    KILLERS.write_text(json.dumps(known, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
