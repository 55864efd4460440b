"""Two processes of the operating system on one database: what one revokes the other refuses."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.commands.program import Served, free_port, serving, throughline
from tests.conftest import SERVICE_PASSWORD, Database

SECRET = "shared by both processes of this test 0123456789"


@pytest.fixture
def two(database: Callable[[], Database], tmp_path: Path) -> Iterator[tuple[Served, Served]]:
    """Each with a state folder of its own; they share the database, the key secret and the public address."""
    made, port = database(), free_port()
    shared = {
        "TL_DATABASE_URL": made.service_url,
        "TL_MIGRATION_DATABASE_URL": made.admin_url,
        "TL_SERVICE_PASSWORD": SERVICE_PASSWORD,
        "TL_BASE_URL": f"http://127.0.0.1:{port}/fhir",
        "TL_KEY_SECRET": SECRET,
    }
    with ExitStack() as stack:
        first, second = (
            stack.enter_context(serving(tmp_path / name, "serve", **shared, TL_PORT=str(where)))
            for name, where in (("first", port), ("second", free_port()))
        )
        yield first, second


def _oauth(served: Served, what: str) -> str:
    return f"{served.base.removesuffix('/fhir')}/oauth/{what}"


def _status(served: Served, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.get(f"{served.base}/Patient", headers=headers, timeout=30).status_code


def _refused_within_a_second(served: Served, token: str) -> bool:
    end = time.monotonic() + 1
    while time.monotonic() < end:
        if _status(served, token) == 401:
            return True
        time.sleep(0.02)
    return False


def test_what_one_process_revokes_the_other_refuses_within_a_second(
    two: tuple[Served, Served], tmp_path: Path
) -> None:
    first, second = two
    added = throughline(
        tmp_path / "first",
        *("client", "add", "--name", "writer", "--organization", "river"),
        **first.settings,
    )
    assert added.returncode == 0, added.stderr
    proof = {"client_id": "writer", "client_secret": added.stdout.strip()}

    def token() -> str:
        form = proof | {"grant_type": "client_credentials"}
        answer = httpx.post(_oauth(first, "token"), data=form, timeout=30)
        return str(answer.json()["access_token"])

    revoked, kept = token(), token()
    for served in two:
        assert [_status(served, each) for each in (revoked, kept)] == [200, 200]
    assert first.process.pid != second.process.pid
    gone = httpx.post(_oauth(first, "revoke"), data=proof | {"token": revoked}, timeout=30)
    assert gone.status_code == 200
    assert _refused_within_a_second(second, revoked)
    assert _status(first, revoked) == 401
    assert [_status(served, kept) for served in two] == [200, 200]

    # A third process, the command line, ends all tokens of the client in both.
    ended = throughline(
        tmp_path / "second", "client", "revoke", "--name", "writer", **second.settings
    )
    assert ended.returncode == 0, ended.stderr
    assert _refused_within_a_second(first, kept)
    assert _refused_within_a_second(second, kept)
