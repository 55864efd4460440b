"""Delete each condition of the predicate and each policy, run the tests that should miss it, print survivors.

    python tools/mutants.py [--only WORDS] [--start N] [--list] [--tests PATH …]

What is deleted is told in `tools/mutations.py`. It is deleted in a copy of the tree, never in the tree itself.
All runs share one PostgreSQL and one database with the tables already made, and each is a fork of a process
that has the libraries loaded: a run costs little more than the tests up to the first that fails.
"""

from __future__ import annotations

import argparse
import importlib
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from app.embedded import EmbeddedPostgres  # noqa: E402 - the tree's own, whoever starts this
from tests.conftest import Cluster  # noqa: E402
from tools.mutant import Mutant  # noqa: E402
from tools.mutations import mutants  # noqa: E402

TESTS = [
    # The quickest to notice come first.
    "tests/consent/test_conditions.py",
    "tests/consent/test_element_conditions.py",
    "tests/spine/test_two_walls.py",
    "tests/redaction",
    "tests/consent/test_sql_agrees.py",
    "tests/security/test_scopes.py",
    "tests/spine/test_consent_over_http.py",
    "tests/consent/test_attacks.py",
]
COPIED = (
    *("app", "tests", "migrations", "tools", "openapi", "bench", "docs"),
    *("pyproject.toml", "README.md", "CHANGELOG.md"),
)
LIBRARIES = ("asyncpg", "fastapi", "httpx", "hypothesis", "jose", "psycopg", "sqlmodel", "uvicorn")
"""What takes long to load and is no part of the tree."""

SECONDS = 900
_TEMPLATE = "tl_mutants"
_TOLD = "told.txt"
"""What the last run of the tests said, beside the copy of the tree."""


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
    """The URL of a PostgreSQL of its own, with a database that has the tables and no function or policy yet."""
    with tempfile.TemporaryDirectory(prefix="tl-mutants-pg-") as folder:
        Path(folder).chmod(0o711)
        started = EmbeddedPostgres(Path(folder) / "pg", durable=False)
        url = started.start()
        try:
            cluster = Cluster(url, "mutants")
            cluster.create(_TEMPLATE, "template0")
            config = Config()
            config.set_main_option("script_location", str(ROOT / "migrations"))
            config.attributes["url"] = cluster.admin_url(_TEMPLATE)
            command.upgrade(config, "head")
            yield url
        finally:
            started.stop()


def _pytest(tree: Path, url: str, tests: list[str]) -> None:
    """In a process of its own: the tests on the tree, the exit code theirs."""
    told = os.open(tree / _TOLD, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(told, stream)
    os.chdir(tree)
    os.environ |= {"TL_TEST_DATABASE_URL": url, "TL_TEST_TEMPLATE": _TEMPLATE}
    # What this process has of the tree itself is that of the tree without the deletion.
    for name in list(sys.modules):
        if name.partition(".")[0] in COPIED:
            del sys.modules[name]
    sys.path[:] = [str(tree), *(each for each in sys.path if Path(each or ".") != ROOT)]
    # Libraries that are plugins of pytest too are loaded already.
    calm = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    os._exit(pytest.main(["-n", "0", "-x", "-q", "-p", "no:cacheprovider", *calm, *tests]))


def passes(tree: Path, url: str, tests: list[str]) -> bool:
    """Whether every test passes on the tree as it stands; one that never ends does not pass."""
    run = multiprocessing.get_context("fork").Process(target=_pytest, args=(tree, url, tests))
    run.start()
    run.join(SECONDS)
    if run.exitcode is None:
        run.kill()
        run.join()
    return run.exitcode == 0


def _forget(path: Path) -> None:
    """What was compiled of a file a moment ago may look as old as its text of now."""
    for compiled in path.parent.glob(f"__pycache__/{path.stem}.*"):
        compiled.unlink()


def survives(mutant: Mutant, tree: Path, url: str, tests: list[str]) -> bool:
    """Whether every test passes although the condition is gone."""
    path = tree / mutant.path
    before = path.read_text()
    path.write_text(mutant.applied(before))
    _forget(path)
    try:
        first = [each for each in mutant.first if each in tests] or tests[:1]
        rest = [each for each in tests if each not in first]
        return passes(tree, url, first) and (not rest or passes(tree, url, rest))
    finally:
        path.write_text(before)
        _forget(path)


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
    for name in LIBRARIES:
        importlib.import_module(name)
    with copy_of_the_tree() as tree, server() as url:
        if not passes(tree, url, given.tests):
            print("The tests fail although nothing was deleted; mend them first.")
            print((tree / _TOLD).read_text()[-3000:])
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
