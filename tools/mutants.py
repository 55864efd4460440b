"""Delete each condition of the predicate and each policy, run the tests that should miss it, print survivors.

    python tools/mutants.py [--only WORDS] [--start N] [--list] [--tests PATH …]

What is deleted is told in `tools/mutations.py`. It is deleted in a copy of the tree, never in the tree itself;
all runs share one PostgreSQL, so that a run costs little more than its tests.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from app.embedded import EmbeddedPostgres  # noqa: E402 - the tree's own, whoever starts this
from tools.mutations import Mutant, mutants  # noqa: E402

TESTS = [
    # The quickest to notice come first.
    "tests/consent/test_conditions.py",
    "tests/spine/test_two_walls.py",
    "tests/consent/test_sql_agrees.py",
    "tests/security/test_scopes.py",
    "tests/spine/test_consent_over_http.py",
    "tests/consent/test_attacks.py",
]
COPIED = ("app", "tests", "migrations", "tools", "openapi", "pyproject.toml", "README.md")
SECONDS = 900


@contextmanager
def copy_of_the_tree() -> Iterator[Path]:
    """A folder with what the tests need."""
    with tempfile.TemporaryDirectory(prefix="tl-mutants-") as folder:
        for name in COPIED:
            source, target = ROOT / name, Path(folder) / name
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(source, target)
        yield Path(folder)


@contextmanager
def server() -> Iterator[str]:
    """The URL of a PostgreSQL of its own."""
    with tempfile.TemporaryDirectory(prefix="tl-mutants-pg-") as folder:
        Path(folder).chmod(0o711)
        started = EmbeddedPostgres(Path(folder) / "pg", durable=False)
        url = started.start()
        try:
            yield url
        finally:
            started.stop()


def passes(tree: Path, url: str, tests: list[str]) -> bool:
    """Whether every test passes on the tree as it stands; one that never ends does not pass."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-n",
        "0",
        "-x",
        "-q",
        "-p",
        "no:cacheprovider",
    ]
    environment = os.environ | {"TL_TEST_DATABASE_URL": url, "PYTHONPATH": str(tree)}
    try:
        done = subprocess.run(
            [*command, *tests],
            cwd=tree,
            env=environment,
            capture_output=True,
            check=False,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def survives(mutant: Mutant, tree: Path, url: str, tests: list[str]) -> bool:
    """Whether every test passes although the condition is gone."""
    path = tree / mutant.path
    before = path.read_text()
    path.write_text(mutant.applied(before))
    # What was compiled of the file a moment ago may look as old as this.
    for compiled in path.parent.glob(f"__pycache__/{path.stem}.*"):
        compiled.unlink()
    try:
        return passes(tree, url, tests)
    finally:
        path.write_text(before)


def main() -> int:
    """See the module; 1 where a mutant survived, 2 where the tests fail without any."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tests", nargs="*", default=TESTS)
    parser.add_argument("--only", default="", help="only mutants whose name holds these words")
    parser.add_argument("--start", type=int, default=1, help="go on at this number of the list")
    parser.add_argument("--list", action="store_true", help="print the names and end")
    given = parser.parse_args()
    chosen = [each for each in mutants(ROOT) if given.only in each.name]
    if given.list:
        print(*(each.name for each in chosen), sep="\n")
        return 0
    survivors = []
    with copy_of_the_tree() as tree, server() as url:
        if not passes(tree, url, given.tests):
            print("The tests fail although nothing was deleted; mend them first.")
            return 2
        for number, mutant in list(enumerate(chosen, start=1))[given.start - 1 :]:
            began = time.monotonic()
            alive = survives(mutant, tree, url, given.tests)
            word = "SURVIVES" if alive else "killed  "
            seconds = time.monotonic() - began
            print(f"{number:3}/{len(chosen)} {word} {seconds:4.0f} s  {mutant.name}", flush=True)
            survivors += [mutant.name] if alive else []
    print(
        f"{len(chosen) - given.start + 1} mutants, survivors: " + (", ".join(survivors) or "none")
    )
    return bool(survivors)


if __name__ == "__main__":
    raise SystemExit(main())
