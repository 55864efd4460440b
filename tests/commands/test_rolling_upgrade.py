"""A release that still serves goes on serving when the next one has migrated the database beneath it."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.commands.program import Served, serving, throughline
from tests.conftest import Cluster

ROOT = Path(__file__).parents[2]
_PARTS = ("app", "migrations", "openapi", "docs")
_EXPANDS = "ALTER TABLE tl.client ADD COLUMN note text;\nCREATE TABLE tl.later (id int);\n"
_BREAKS = "ALTER TABLE tl.resource DROP COLUMN content CASCADE;\n"


@pytest.fixture
def empty(cluster: Cluster) -> Iterator[dict[str, str]]:
    """Settings that name a database with nothing in it."""
    name = f"tl_rolling_{cluster.worker}"
    cluster.create(name, "template0")
    role = f"tl_service_{cluster.worker}"
    yield {"TL_DATABASE_URL": cluster.admin_url(name), "TL_SERVICE_ROLE": role}
    cluster.drop(name)


def _next_release(folder: Path, migration: str) -> Path:
    """This release, changed as the next one might be: one migration more, a later number."""
    tree = folder / "next"
    for part in _PARTS:
        shutil.copytree(ROOT / part, tree / part, ignore=shutil.ignore_patterns("__pycache__"))
    versions = tree / "migrations" / "versions"
    last = sorted(versions.glob("[0-9]*.sql"))[-1].stem
    script = (versions / f"{last}.py").read_text()
    number = last.partition("_")[0]
    script = script.replace(f'revision = "{number}"', 'revision = "9999"', 1)
    head, _, rest = script.partition("down_revision = ")
    script = f'{head}down_revision = "{number}"\n{rest.partition(chr(10))[2]}'
    (versions / "9999_next.py").write_text(script)
    (versions / "9999_next.sql").write_text(migration)
    package = tree / "app" / "__init__.py"
    package.write_text(package.read_text().replace('__version__ = "0.', '__version__ = "9.'))
    return tree


def _previous_release(folder: Path) -> Path | None:
    """The tree as it was before the last migration was added; None where there is but one."""
    scripts = sorted((ROOT / "migrations" / "versions").glob("[0-9]*.py"))
    if len(scripts) < 2:
        return None
    path = scripts[-1].relative_to(ROOT)
    git = ["git", "-C", str(ROOT)]
    added = subprocess.run(
        [*git, "log", "--diff-filter=A", "--format=%H", "--", str(path)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    archive = subprocess.run(
        [*git, "archive", f"{added[-1]}~1", *_PARTS], capture_output=True, check=True
    )
    tree = folder / "previous"
    tree.mkdir()
    subprocess.run(["tar", "x", "-C", str(tree)], input=archive.stdout, check=True)
    return tree


def _http(state: Path, served: Served) -> httpx.Client:
    token = throughline(
        state, "token", "--client", "river-clinic", "--purpose", "COC", **served.settings
    ).stdout.strip()
    return httpx.Client(base_url=served.base, headers={"Authorization": f"Bearer {token}"})


def _works(http: httpx.Client) -> str:
    """Read, search, write, a package: the id of what was written."""
    assert http.get("/Patient/survivor-a").status_code == 200
    assert http.get("/Observation?patient=survivor-a&_total=accurate").json()["total"] > 0
    package = http.get("/Task/survivor-a-housing-task/$referral-package")
    assert package.status_code == 200
    made = http.post("/Patient", json={"resourceType": "Patient", "active": True})
    assert made.status_code == 201
    identifier = made.json()["id"]
    changed = http.put(f"/Patient/{identifier}", json=made.json() | {"active": False})
    assert changed.status_code == 200
    assert isinstance(identifier, str)
    return identifier


def _at(tree: Path) -> dict[str, str]:
    return {"PYTHONPATH": str(tree)}


def test_a_running_release_serves_on_after_the_next_one_has_migrated_and_beside_it(
    empty: dict[str, str], state: Path, tmp_path: Path
) -> None:
    following = _at(_next_release(tmp_path, _EXPANDS))
    present = _at(ROOT)
    with serving(state, "demo", **empty, **present) as served:
        with _http(state, served) as http:
            _works(http)
            migrated = throughline(state, "migrate", **empty, **following)
            assert migrated.returncode == 0, migrated.stderr
            _works(http)
            with serving(state, "serve", **empty, **following) as beside:
                with _http(state, beside) as other:
                    identifier = _works(other)
                assert http.get(f"/Patient/{identifier}").status_code == 200
                _works(http)
                assert beside.end(signal.SIGTERM) == 0
        assert served.end(signal.SIGTERM) == 0
    again = throughline(state, "serve", **empty, **present)
    assert again.returncode == 1, "it would take back what the later release needs"
    assert "Start the later release" in again.stderr
    assert "Traceback" not in again.stderr


def test_this_test_notices_a_migration_that_takes_away_what_is_used(
    empty: dict[str, str], state: Path, tmp_path: Path
) -> None:
    following = _next_release(tmp_path, _BREAKS)
    with serving(state, "demo", **empty, **_at(ROOT)) as served:
        with _http(state, served) as http:
            _works(http)
            throughline(state, "migrate", **empty, **_at(following))
            with pytest.raises(AssertionError):
                _works(http)
        served.end(signal.SIGTERM)


def test_the_release_before_the_last_migration_serves_on_the_present_schema(
    empty: dict[str, str], state: Path, tmp_path: Path
) -> None:
    before = _previous_release(tmp_path)
    if before is None:
        pytest.skip("there is one migration only: no release before it")
    with serving(state, "demo", **empty, **_at(before)) as served:
        with _http(state, served) as http:
            _works(http)
            migrated = throughline(state, "migrate", **empty, **_at(ROOT))
            assert migrated.returncode == 0, migrated.stderr
            _works(http)
        assert served.end(signal.SIGTERM) == 0
