"""The service as real processes: what is acknowledged survives, and nothing outlives the service."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import httpx

from tests.commands.program import Served, all_ended, serving, session_of, throughline


def _client(state: Path, served: Served) -> dict[str, str]:
    added = throughline(
        state, "client", "add", "--name", "river-clinic", "--organization", "river-clinic"
    )
    assert added.returncode == 0, added.stderr
    return _headers(state, served)


def _headers(state: Path, served: Served) -> dict[str, str]:
    token = throughline(state, "token", "--client", "river-clinic").stdout.strip()
    return {"Authorization": f"Bearer {token}", "Content-Type": "application/fhir+json"}


def test_kill_9_loses_no_acknowledged_write_and_the_next_start_recovers(state: Path) -> None:
    acknowledged: list[str] = []
    enough = threading.Event()

    def write(base: str, headers: dict[str, str]) -> None:
        patient = {"resourceType": "Patient", "name": [{"family": "Sample"}]}
        with httpx.Client(headers=headers) as http:
            while True:
                try:
                    answer = http.post(f"{base}/Patient", json=patient)
                except httpx.HTTPError:
                    return
                assert answer.status_code == 201, answer.text
                acknowledged.append(answer.json()["id"])
                if len(acknowledged) >= 60:
                    enough.set()

    with serving(state, "serve") as served:
        headers = _client(state, served)
        everything = session_of(served.process)
        writers = [threading.Thread(target=write, args=(served.base, headers)) for _ in range(4)]
        for each in writers:
            each.start()
        assert enough.wait(120)
        served.process.kill()
        for each in writers:
            each.join(120)
        assert all_ended(everything), "the database ends with the service"
    with serving(state, "serve") as served:
        headers = _headers(state, served)
        with httpx.Client(headers=headers) as http:
            for identifier in acknowledged:
                assert http.get(f"{served.base}/Patient/{identifier}").status_code == 200
            counted = http.get(f"{served.base}/Patient?_total=accurate&_count=1").json()["total"]
        # At most one write of each writer was done and not acknowledged any more.
        assert 0 <= counted - len(acknowledged) <= len(writers)
        assert served.end(signal.SIGTERM) == 0


def test_several_workers_serve_and_end_together(state: Path) -> None:
    with serving(state, "serve", TL_WORKERS="2") as served:
        headers = _client(state, served)
        for _ in range(8):
            assert httpx.get(f"{served.base}/Patient", headers=headers).status_code == 200
        everything = session_of(served.process)
        workers = [pid for pid in everything if _is_worker(pid)]
        assert len(workers) == 2
        os.kill(workers[0], signal.SIGKILL)  # another takes its place
        assert all_ended({workers[0]})
        assert httpx.get(f"{served.base}/Patient", headers=headers).status_code == 200
        everything |= session_of(served.process)
        assert served.end() == 0
        assert all_ended(everything)


def test_workers_do_not_outlive_a_killed_parent(state: Path) -> None:
    with serving(state, "serve", TL_WORKERS="2") as served:
        everything = session_of(served.process)
        served.process.kill()
        assert all_ended(everything)


def _is_worker(pid: int) -> bool:
    return "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()


def test_liveness_and_readiness_are_told_without_a_token(state: Path) -> None:
    with serving(state, "serve") as served:
        root = served.base.removesuffix("/fhir")
        assert httpx.get(f"{root}/healthz").json() == {"status": "alive"}
        answer = httpx.get(f"{root}/readyz")
        assert (answer.status_code, answer.json()) == (200, {"status": "ready"})
        assert answer.headers["cache-control"] == "no-store"


def test_the_service_ends_when_its_database_is_killed(state: Path) -> None:
    with serving(state, "serve") as served:
        everything = session_of(served.process)
        pid = int((state / "postgres" / "cluster" / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGKILL)
        assert served.process.wait(90) == 0
        assert all_ended(everything)
        assert any("The database ended by itself" in line for line in served.notes)


def test_a_setting_that_cannot_be_used_is_named(state: Path) -> None:
    done = throughline(state, "serve", TL_PORT="many")
    assert done.returncode == 1
    assert "TL_PORT" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_tour_says_how_to_start_the_service(state: Path) -> None:
    done = throughline(state, "tour", TL_PORT="1")
    assert done.returncode == 1
    assert "throughline demo" in done.stdout


def _loaded(by: str, of: set[str]) -> str:
    code = f"import sys, {by}; print(sorted({{m.partition('.')[0] for m in sys.modules}} & {of!r}))"
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_help_and_its_commands_come_without_loading_the_service() -> None:
    heavy = {"fastapi", "asyncpg", "sqlalchemy", "pydantic", "uvicorn", "fhir"}
    assert _loaded("app.cli", heavy) == "[]"


def test_the_service_starts_without_loading_what_only_a_migration_needs() -> None:
    assert (
        _loaded("app.commands.serving", {"alembic", "mako", "sqlalchemy", "uvicorn"})
        == "['uvicorn']"
    )
