"""The plugin that listens to the whole suite hears a leak, alone and with workers, and nothing in silence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

SUITE = """
import logging, subprocess, sys
import httpx
from tests.silence import SILENCE

TOKEN = "aaaaaaaaaaaaaaaaaaaa.bbbbbbbbbbbbbbbbbbbbbbbb.cccccccccccccccccccccc"
ID = "0f0e0d0c-0b0a-4908-8706-050403020100"


def answer(request):
    headers = {{"location": f"http://test/fhir/Patient/{{ID}}/_history/1"}}
    return httpx.Response(201, headers=headers, json={{}})


def test_something():
    with httpx.Client(transport=httpx.MockTransport(answer)) as http:
        http.post(
            "http://test/fhir/Patient",
            json={{"resourceType": "Patient", "name": [{{"family": "Quillfeather"}}]}},
            headers={{"Authorization": f"Bearer {{TOKEN}}"}},
        )
    log = logging.getLogger("throughline")
    {speaks}


def test_another():
    pass
"""

LEAKS = {
    "an id": ("log.info('written %s', ID)", "identifier"),
    "an id at debug": ("log.debug('written %s', ID)", "identifier"),
    "a name": ("log.warning('a patient called Quillfeather')", "name"),
    "a part of a token": ("log.error('refused %s', TOKEN.split('.')[1])", "token"),
    "what a process said": ("SILENCE.heard([f'GET /fhir/Patient/{ID}'])", "identifier"),
}
SILENT = {
    "nothing": "pass",
    "the kind of an error": "log.error('an audit row could not be written: %s', 'OSError')",
    "another library's arguments": "logging.getLogger('asyncio').warning('took %s', ID)",
    "an exception's text": (
        "\n    try:\n        raise ValueError(ID)\n    except ValueError:\n        log.exception('failed')"
    ),
}


def _run(folder: Path, speaks: str, workers: int) -> subprocess.CompletedProcess[str]:
    file = folder / "test_speaking.py"
    file.write_text(SUITE.format(speaks=speaks))
    return subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "pytest",
                "-q",
                "-p",
                "tests.silence",
                "-p",
                "no:cacheprovider",
            ),
            *("-n", str(workers), "--rootdir", str(folder), "-c", "/dev/null", str(file)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("kind", LEAKS)
def test_a_leak_fails_the_run_and_is_told_without_being_repeated(tmp_path: Path, kind: str) -> None:
    speaks, said = LEAKS[kind]
    done = _run(tmp_path, speaks, 0)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"holds a {said}" in done.stdout
    assert "test_something" in done.stdout
    assert "2 passed" in done.stdout
    for secret in ("0f0e0d0c", "Quillfeather", "bbbbbbbb"):
        assert secret not in done.stdout


def test_a_leak_in_a_worker_fails_the_run_of_all(tmp_path: Path) -> None:
    done = _run(tmp_path, LEAKS["an id"][0], 2)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "holds a identifier" in done.stdout


@pytest.mark.parametrize("kind", SILENT)
def test_what_tells_of_nobody_does_not_fail_the_run(tmp_path: Path, kind: str) -> None:
    done = _run(tmp_path, SILENT[kind], 0)
    assert done.returncode == 0, done.stdout + done.stderr
