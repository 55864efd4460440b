"""Delete each condition of the predicate and each policy, run the tests that should miss it, print survivors.

    python tools/mutants.py [--tests PATH …]

A condition is replaced by `true` in `app/storage/predicate.py`; a policy by one that lets every row through, in
`app/storage/migrate.py`. The file is put back after each, also when the run is ended.
"""

from __future__ import annotations

import argparse
import itertools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PREDICATE = ROOT / "app/storage/predicate.py"
POLICIES = ROOT / "app/storage/migrate.py"
TESTS = ["tests/consent/test_sql_agrees.py", "tests/spine", "tests/consent/test_attacks.py"]


class Mutant(NamedTuple):
    """One deletion: what it is called, the file, and the file's text with it."""

    name: str
    path: Path
    text: str


def conditions() -> Iterator[Mutant]:
    """Each conjunct of the grant's conditions, and the two that stand around them."""
    text = PREDICATE.read_text()
    start = text.index("WHERE g.patient")
    end = text.index("LIMIT 1)", start)
    block = text[start:end]
    marks = [m.start() for m in re.finditer(r"\n    AND ", block)] + [block.rindex("\n")]
    first = block[: marks[0]]
    yield Mutant("g.patient", PREDICATE, text.replace(first, "WHERE true", 1))
    for low, high in itertools.pairwise(marks):
        clause = block[low:high]
        name = " ".join(clause.split())[4:60]
        yield Mutant(name, PREDICATE, text.replace(clause, "", 1))
    further = text.index("   AND ({row}.co_subjects IS NULL")
    closing = text.index("{own}))\nEND)", further)
    whole = text[further : closing + len("{own}))")]
    yield Mutant("co_subjects", PREDICATE, text.replace(whole, "", 1))
    open_ = "({row}.open AND {caller.action} = 1)"
    yield Mutant("open", PREDICATE, text.replace(open_, "({caller.action} = 1)", 1))
    yield Mutant("open for reading only", PREDICATE, text.replace(open_, "({row}.open)", 1))


def policies() -> Iterator[Mutant]:
    """Each table's policy, one that lets everything through."""
    text = POLICIES.read_text()
    anchor = '    rules["membership"] = "true"\n'
    for table in (
        "resource",
        "index_token",
        "index_date",
        "index_string",
        "resource_history",
        "link",
        "consent_grant",
    ):
        yield Mutant(
            f"policy of {table}",
            POLICIES,
            text.replace(anchor, f'{anchor}    rules["{table}"] = "true"\n', 1),
        )


def survives(mutant: Mutant, tests: list[str]) -> bool:
    """Whether every test passes although the condition is gone."""
    before = mutant.path.read_text()
    if mutant.text == before:
        raise ValueError(f"{mutant.name}: nothing was deleted; mend tools/mutants.py")
    mutant.path.write_text(mutant.text)
    try:
        command = [sys.executable, "-m", "pytest", "-n", "0", "-x", "-q", *tests]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
        return done.returncode == 0
    finally:
        mutant.path.write_text(before)


def main() -> int:
    """See the module; 1 where a mutant survived."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tests", nargs="*", default=TESTS)
    given = parser.parse_args()
    survivors = []
    for mutant in [*conditions(), *policies()]:
        alive = survives(mutant, given.tests)
        print(("SURVIVES  " if alive else "killed    ") + mutant.name, flush=True)
        survivors += [mutant.name] if alive else []
    print("survivors: " + (", ".join(survivors) or "none"))
    return bool(survivors)


if __name__ == "__main__":
    raise SystemExit(main())
