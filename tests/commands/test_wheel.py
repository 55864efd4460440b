"""The wheel holds all that serving needs: unpacked by itself, away from the checkout, it works."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.commands.program import environment

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's content, in a folder that is put before the checkout's own."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (wheel,) = folder.glob("throughline-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "content")
    return folder / "content"


def _run(unpacked: Path, state: Path, code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=unpacked.parent,
        env=environment(state, PYTHONPATH=str(unpacked), PYTHONSAFEPATH="1"),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_the_wheel_is_the_project_and_nothing_else(unpacked: Path) -> None:
    assert {each.name.partition("-")[0] for each in unpacked.iterdir()} == {
        "app",
        "migrations",
        "throughline",
    }
    for room in ("app", "migrations"):
        files = {p for p in (ROOT / room).rglob("*") if p.is_file() and p.suffix != ".pyc"}
        assert {str(p.relative_to(ROOT)) for p in files} <= {
            str(p.relative_to(unpacked)) for p in unpacked.rglob("*")
        }
    points = next(unpacked.glob("*.dist-info")) / "entry_points.txt"
    assert "throughline = app.cli:main" in points.read_text()


def test_the_wheel_brings_its_site_and_its_openapi_document(unpacked: Path, state: Path) -> None:
    code = (
        "import app.routers.docs as docs; found = docs.document(); print(found); "
        "assert found.exists() and (found.parent / 'index.html').exists()"
    )
    assert str(unpacked) in _run(unpacked, state, code)
