"""Two processes of the operating system on one database: what one revokes the other refuses, and they count
the requests of a client together."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.commands.program import Served, free_port, serving, throughline
from tests.conftest import SERVICE_PASSWORD, Cluster

SECRET = "shared by both processes of this test 0123456789"
LIMIT = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("two")


@pytest.fixture(scope="module")
def two(cluster: Cluster, template_database: str, folder: Path) -> Iterator[tuple[Served, Served]]:
    """Each with a state folder of its own; they share the database, the key secret and the public address."""
    name, port = f"tl_two_{cluster.worker}", free_port()
    cluster.create(name, template_database)
    shared = {
        "TL_DATABASE_URL": cluster.service_url(name),
        "TL_MIGRATION_DATABASE_URL": cluster.admin_url(name),
        "TL_SERVICE_PASSWORD": SERVICE_PASSWORD,
        "TL_RATE_LIMIT": f"{LIMIT}/hour",
        "TL_BASE_URL": f"http://127.0.0.1:{port}/fhir",
        "TL_KEY_SECRET": SECRET,
    }
    with ExitStack() as stack:
        first, second = (
            stack.enter_context(serving(folder / name, "serve", **shared, TL_PORT=str(where)))
            for name, where in (("first", port), ("second", free_port()))
        )
        yield first, second
    cluster.drop(name)


def _registered(served: Served, state: Path, name: str) -> dict[str, str]:
    """What a client proves itself with, registered anew."""
    added = throughline(
        state, "client", "add", "--name", name, "--organization", "river", **served.settings
    )
    assert added.returncode == 0, added.stderr
    return {"client_id": name, "client_secret": added.stdout.strip()}


def _token(served: Served, proof: dict[str, str]) -> str:
    form = proof | {"grant_type": "client_credentials"}
    return str(httpx.post(_oauth(served, "token"), data=form, timeout=30).json()["access_token"])


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
    two: tuple[Served, Served], folder: Path
) -> None:
    first, second = two
    proof = _registered(first, folder / "first", "writer")
    revoked, kept = _token(first, proof), _token(first, proof)
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
        folder / "second", "client", "revoke", "--name", "writer", **second.settings
    )
    assert ended.returncode == 0, ended.stderr
    assert _refused_within_a_second(first, kept)
    assert _refused_within_a_second(second, kept)


def test_two_processes_admit_of_one_client_together_what_the_limit_says(
    two: tuple[Served, Served], folder: Path
) -> None:
    first, second = two
    token = _token(first, _registered(first, folder / "first", "eager"))
    other = _token(second, _registered(second, folder / "second", "patient"))
    headers = {"Authorization": f"Bearer {token}"}
    with (
        httpx.Client(headers=headers, timeout=30) as http,
        ThreadPoolExecutor(8) as threads,
    ):
        addresses = [f"{served.base}/Patient?_count=1" for served in two] * LIMIT
        answers = list(threads.map(http.get, addresses))
    told = Counter(each.status_code for each in answers)
    # The token was asked for by the same client; what a process admits before it asks is counted afterwards.
    assert told == {200: LIMIT - 1, 429: LIMIT + 1}
    waits = [int(each.headers["retry-after"]) for each in answers if each.status_code == 429]
    assert all(0 < each <= 3600 for each in waits)
    assert [_status(served, token) for served in two] == [429, 429]
    assert [_status(served, other) for served in two] == [200, 200]
