"""The clock of a running service is set, by an hour back and ahead: nothing that time has ended comes back."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.chaos.load import client, token
from tests.commands.program import Served, serving, throughline

LIFETIME = 8
HOUR = 3600


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tl-clock-") as made:
        Path(made).chmod(0o711)
        yield Path(made)


@pytest.fixture
def clock(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Sets the time of day of the processes that are started from now on, by seconds from the true one."""
    file = folder / "offset"

    def jump(seconds: int) -> None:
        draft = file.with_suffix(".new")
        draft.write_text(f"{seconds:+d}")
        draft.rename(file)

    jump(0)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "skewed"))
    monkeypatch.setenv("SKEWED_BY", str(file))
    return jump


def _get(served: Served, bearer: str, path: str = "/Patient") -> httpx.Response:
    headers = {"Authorization": f"Bearer {bearer}"}
    return httpx.get(f"{served.base}{path}", headers=headers, timeout=30)


def _await_clock(served: Served, seconds: int) -> None:
    """Until the service tells, by the header that its server renews each second, that it is so late."""
    deadline = time.monotonic() + 30
    while True:
        answer = httpx.get(f"{served.base.removesuffix('/fhir')}/healthz", timeout=30)
        told = parsedate_to_datetime(answer.headers["date"]).timestamp()
        if abs(told - time.time() - seconds) < HOUR / 2:
            return
        assert time.monotonic() < deadline, "the clock was not set, so nothing is tested"
        time.sleep(0.2)


def test_a_clock_set_back_or_ahead_revives_nothing_and_stops_nothing(
    folder: Path, clock: Callable[[int], None]
) -> None:
    state = folder / "state"
    with serving(state, "serve", TL_TOKEN_LIFETIME_SECONDS=str(LIFETIME)) as served:
        secret = client(state, served)
        made = [_post(served, token(served, secret)) for _ in range(2)]
        page = _get(served, token(served, secret), "/Patient?_count=1").json()
        (onward,) = [e["url"] for e in page["link"] if e["relation"] == "next"]
        old, unseen = token(served, secret), token(served, secret)
        issued = time.monotonic()
        assert _get(served, old).status_code == 200

        clock(-HOUR)
        _await_clock(served, -HOUR)
        time.sleep(max(0.0, issued + LIFETIME + 1 - time.monotonic()))
        assert _get(served, old).status_code == 401
        assert _get(served, unseen).status_code == 401, "also where it is seen for the first time"
        fresh = token(served, secret)
        assert _get(served, fresh, onward.removeprefix(served.base)).status_code == 200
        assert _get(served, fresh, f"/Patient/{made[0]}").status_code == 200
        for lane in _recorded(state):
            assert lane == sorted(lane), "the audit has an order in time as well"

        clock(HOUR)
        _await_clock(served, HOUR)
        assert _get(served, fresh).status_code == 401
        ahead = token(served, secret)
        assert _get(served, ahead).status_code == 200
        clock(0)
        assert _get(served, ahead).status_code == 401, "it would be good for an hour"
        assert _get(served, token(served, secret)).status_code == 200
        verified = throughline(state, "audit", "verify", **served.settings)
        assert verified.returncode == 0, verified.stderr
        assert served.end() == 0
    assert any("the clock of this machine was set back" in line for line in served.notes)


def _post(served: Served, bearer: str) -> str:
    headers = {"Authorization": f"Bearer {bearer}"}
    body = {"resourceType": "Patient"}
    answer = httpx.post(f"{served.base}/Patient", json=body, headers=headers, timeout=30)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def _recorded(state: Path) -> list[list[datetime]]:
    """When the accesses of each lane were, in the order in which they were written down."""
    where = json.loads((state / "running.json").read_text())["url"].rpartition("@")[2]
    with psycopg.connect(f"postgresql://throughline@{where}") as owner:
        rows = owner.execute(
            "SELECT array_agg(recorded ORDER BY seq) FROM tl.audit_event GROUP BY lane"
        ).fetchall()
    return [row[0] for row in rows]
