"""Who sees what is the same on an older PostgreSQL: Debian's where it is installed, else the wheel's second.

A part of what `make test-oldest` runs: the predicate's conditions, the policies, the keeper's functions,
searches and histories.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.embedded import binaries

ROOT = Path(__file__).parents[2]
CHOSEN = (
    "tests/platform/test_database_fixture.py",
    "tests/consent/test_conditions.py",
    "tests/consent/test_doors.py",
    "tests/search",
    "tests/interactions/test_history.py",
)


@pytest.mark.timeout(600)
def test_what_a_caller_sees_is_the_same_on_the_oldest_postgresql_that_is_here() -> None:
    if len({found.major for found in binaries.installed()}) < 2:
        pytest.skip("there is one version of PostgreSQL here only")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "0", "-q", "-m", "database", *CHOSEN],
        cwd=ROOT,
        env=os.environ | {"TL_TEST_POSTGRESQL": "oldest"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
