"""Runs of the tests on a copy of the tree with something deleted, and what each run found.

All runs share one PostgreSQL and one database with the tables already made. Each is a fork of a process that
has loaded the service: what depends on the file with the deletion is loaded anew, the rest is not.
Neighbours: `tools.mutants` (which deletions, in what order), `tools.mutant`.
"""

from __future__ import annotations

import ast
import gc
import importlib
import json
import multiprocessing
import os
import re
import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest
from alembic import command
from alembic.config import Config

from app.embedded import EmbeddedPostgres
from tests.conftest import Cluster
from tools.mutant import Mutant

ROOT = Path(__file__).parents[1]
COPIED = (
    *("app", "tests", "migrations", "tools", "openapi", "bench", "docs"),
    *("pyproject.toml", "README.md", "CHANGELOG.md"),
)
PLUGINS = ("pytest_asyncio.plugin", "pytest_timeout", "_hypothesis_pytestplugin")
"""Those of pytest that the tests need; to load all that are there took longer than most runs."""

LOADED = (*PLUGINS, "asyncpg", "httpx", "hypothesis", "psycopg", "uvicorn", "app.main", "app.cli")
"""What takes long to load."""

SECONDS = 600
BROKE_OFF = "no test: the run broke off"
"""What failed where pytest itself did: the packages were made anew meanwhile, say. It notices no deletion."""

_TEMPLATE = "tl_mutants"
_TOLD, _FOUND = "told.txt", "found.json"
"""What the last run of the tests said, beside the copy of the tree, and what it came to."""

_SENSELESS = re.compile(
    r"\b\w*(SyntaxError|Undefined(Column|Table|Function|Object|Parameter)|IndeterminateDatatype|"
    r"Ambiguous(Column|Parameter|Function)|DatatypeMismatch|NameError|IndentationError|ImportError)\w*"
)
"""Errors of a text that cannot run, with which it would be no wonder that a test fails."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a run came to: its first test that failed, None where all passed; what was told of that."""

    ran: int
    failed: str | None = None
    told: str = ""

    @property
    def senseless(self) -> str | None:
        """The error by which a test failed, where that is none of a service that runs."""
        if self.failed == BROKE_OFF:
            return BROKE_OFF
        found = _SENSELESS.search(self.told)
        return found[0] if found else None


class _Recorder:
    """A plugin of pytest: runs no tests but those wanted, and keeps the first failure."""

    def __init__(self, wanted: Collection[str]) -> None:
        self._wanted = wanted
        self.run = Run(0)

    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        if self._wanted:
            config.hook.pytest_deselected(
                items=[each for each in items if each.nodeid not in self._wanted]
            )
            items[:] = [each for each in items if each.nodeid in self._wanted]
        self.run = Run(len(items))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note(report)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._note(report)

    def _note(self, report: pytest.CollectReport | pytest.TestReport) -> None:
        if report.failed and self.run.failed is None:
            told = "\n".join([report.longreprtext, *(text for _, text in report.sections)])
            self.run = Run(self.run.ran, report.nodeid, told)


@contextmanager
def _copy_of_the_tree() -> Iterator[Path]:
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
def _server() -> Iterator[str]:
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


def _own() -> dict[str, ModuleType]:
    """The modules of the tree that this process has loaded."""
    return {name: each for name, each in sys.modules.items() if name.partition(".")[0] in COPIED}


def _unload(names: Collection[str]) -> None:
    for name in names:
        del sys.modules[name]
        package, _, last = name.rpartition(".")
        # `from package import last` would find it there still.
        if package in sys.modules and hasattr(sys.modules[package], last):
            delattr(sys.modules[package], last)


def _imported(path: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(Path(path).read_text())):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{each.name}" for each in node.names)


@cache
def _importers() -> dict[str, set[str]]:
    """Of each module of the tree, those that import it."""
    found: dict[str, set[str]] = defaultdict(set)
    for name, module in _own().items():
        for each in _imported(module.__file__) if module.__file__ else ():
            found[each].add(name)
    return found


def _depending(path: str) -> set[str]:
    """The loaded modules in whose making a file of the tree has had a part; none for SQL."""
    found: set[str] = set()
    waiting = [path.removesuffix(".py").replace("/", ".")] if path.endswith(".py") else []
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _importers()[name]
    return found & set(_own())


class Ground:
    """Where mutants are tried: a copy of the tree, and a server. One a process."""

    def __init__(self, tree: Path, url: str) -> None:
        self.tree = tree
        self._url = url
        self._sound: dict[tuple[str, ...], bool] = {}

    @classmethod
    @contextmanager
    def made(cls) -> Iterator[Ground]:
        """Made for this process, which loads the tree's copy instead of the tree."""
        with _copy_of_the_tree() as tree, _server() as url:
            _unload(list(_own()))
            os.chdir(tree)
            sys.path[:] = [str(tree), *(each for each in sys.path if Path(each or ".") != ROOT)]
            for name in LOADED:
                importlib.import_module(name)
            _importers()
            # Nothing of this is ever collected: no run needs to look through it.
            gc.freeze()
            yield cls(tree, url)

    def run(self, tests: Sequence[str], changed: str = "", *, first: bool = True) -> Run:
        """Run test files, or of them the tests named (as pytest names them, by node id).

        changed: the file that is not as it was loaded. first: end at the first failure. A run that never ends
        has failed.
        """
        (self.tree / _FOUND).unlink(missing_ok=True)
        forked = multiprocessing.get_context("fork").Process(
            target=self._pytest, args=(tests, changed, first)
        )
        forked.start()
        forked.join(SECONDS)
        if forked.exitcode is None:
            forked.kill()
            forked.join()
            return Run(1, "a test that never ended")
        if not (self.tree / _FOUND).exists():
            return Run(1, BROKE_OFF, (self.tree / _TOLD).read_text()[-3000:])
        return Run(**json.loads((self.tree / _FOUND).read_text()))

    def is_sound(self, tests: Sequence[str]) -> bool:
        """Whether these tests pass with nothing deleted; asked once."""
        key = tuple(tests)
        if key not in self._sound:
            self._sound[key] = self.run(tests).failed is None
        return self._sound[key]

    def told(self) -> str:
        """What the last run said."""
        return (self.tree / _TOLD).read_text()

    @contextmanager
    def without(self, mutant: Mutant) -> Iterator[None]:
        """The tree's copy with the deletion."""
        path = self.tree / mutant.path
        before = path.read_text()
        path.write_text(mutant.applied(before))
        _forget(path)
        try:
            yield
        finally:
            path.write_text(before)
            _forget(path)

    def _pytest(self, tests: Sequence[str], changed: str, first: bool) -> None:
        told = os.open(self.tree / _TOLD, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(told, stream)
        os.environ |= {
            "TL_TEST_DATABASE_URL": self._url,
            "TL_TEST_TEMPLATE": _TEMPLATE,
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        }
        _unload(_depending(changed))
        recorder = _Recorder({each for each in tests if "::" in each})
        files = list(dict.fromkeys(each.partition("::")[0] for each in tests))
        # Plugins are loaded already, and so is the tree.
        calm = ["-W", "ignore::pytest.PytestAssertRewriteWarning", "-p", "no:cacheprovider"]
        plugins = [word for each in PLUGINS for word in ("-p", each)]
        stop = ["-x"] if first else []
        pytest.main([*plugins, *calm, *stop, *files], plugins=[recorder])
        (self.tree / _FOUND).write_text(json.dumps(asdict(recorder.run)))
        os._exit(0)


def _forget(path: Path) -> None:
    """What was compiled of a file a moment ago may look as old as its text of now."""
    for compiled in path.parent.glob(f"__pycache__/{path.stem}.*"):
        compiled.unlink()
