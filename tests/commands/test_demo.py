"""`throughline demo` as a newcomer meets it: what it prints works, and what goes with it."""

from __future__ import annotations

import json
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.demo.load import bundles
from tests.commands.program import Served, all_ended, free_port, serving, session_of, throughline

ALL_LOADED = "{0}/{0}".format(len(bundles(datetime.now(UTC).date())))


def test_the_demo_shows_progress_and_says_where_it_serves(demo: tuple[Path, Served]) -> None:
    _, served = demo
    text = "".join(served.notes)
    assert "Making a PostgreSQL of its own" in text
    assert ALL_LOADED in text
    assert served.base in text
    assert "Traceback" not in text


@pytest.mark.skipif(shutil.which("curl") is None, reason="the lines to copy are curl's")
def test_every_curl_line_works_as_it_is_printed(demo: tuple[Path, Served]) -> None:
    _, served = demo
    lines = served.printed(5)
    assert len(lines) == 5
    answers = []
    for line in lines:
        done = subprocess.run(["sh", "-c", line], capture_output=True, check=True, timeout=120)
        answers.append(json.loads(done.stdout))
    river, harbor, less, package, legal_aid = answers
    assert river["total"] >= 3
    noted, released = ({e["resource"]["id"] for e in each["entry"]} for each in (harbor, less))
    assert "survivor-a-psychotherapy-note" in noted
    assert "survivor-a-housing-letter" in released
    assert "survivor-a-psychotherapy-note" not in released
    assert package["type"] == "collection"
    assert {e["resource"]["resourceType"] for e in package["entry"]} >= {"Task", "ServiceRequest"}
    assert legal_aid["resourceType"] == "OperationOutcome"


def test_token_prints_a_token_and_nothing_else(demo: tuple[Path, Served]) -> None:
    state, served = demo
    # Without TL_PORT: the address, and so the issuer, is that of the service that runs.
    done = throughline(state, "token", "--client", "river-clinic")
    assert done.returncode == 0
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1
    assert _status(served, "Patient", done.stdout.strip()) == "200"


def test_token_is_narrowed_to_the_scope_asked_for(demo: tuple[Path, Served]) -> None:
    state, served = demo
    done = throughline(
        state, "token", "--client", "river-clinic", "--scope", "system/Observation.rs"
    )
    assert _status(served, "Observation", done.stdout.strip()) == "200"
    assert _status(served, "Patient", done.stdout.strip()) == "403"


def _status(served: Served, path: str, token: str) -> str:
    import httpx

    answer = httpx.get(f"{served.base}/{path}", headers={"Authorization": f"Bearer {token}"})
    return str(answer.status_code)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--client", "nobody-here"], "client list"),
        (["--client", "river-clinic", "--purpose", "HRESCH"], "TREAT, CAREMGT"),
        (["--client", "river-clinic", "--scope", "patient/*"], "system/*.cruds"),
        (["--client", "harbor-psychiatry", "--emergency-reason", "fire"], "--emergency"),
    ],
)
def test_a_token_that_cannot_be_had_says_why_in_a_sentence(
    demo: tuple[Path, Served], arguments: list[str], words: str
) -> None:
    state, _ = demo
    done = throughline(state, "token", *arguments)
    assert done.returncode == 1
    assert done.stdout == ""
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_an_emergency_token_reads_what_no_consent_opens(demo: tuple[Path, Served]) -> None:
    state, served = demo
    ordinary = throughline(state, "token", "--client", "river-clinic", "--purpose", "ETREAT")
    emergency = throughline(
        state, "token", "--client", "river-clinic", "--purpose", "ETREAT",
        "--emergency-reason", "unconscious, unknown medicines",
    )  # fmt: skip
    seen = []
    for done in (ordinary, emergency):
        assert done.returncode == 0, done.stderr
        seen.append(_status(served, "Observation/survivor-c-phq9-score", done.stdout.strip()))
    assert seen == ["404", "200"]


def test_the_tour_holds_against_the_running_demo(demo: tuple[Path, Served]) -> None:
    state, _ = demo
    done = throughline(state, "tour")
    assert done.returncode == 0, done.stdout
    assert "expectations held" in done.stdout


def test_doctor_finds_nothing_wrong_with_the_running_demo(demo: tuple[Path, Served]) -> None:
    state, served = demo
    done = throughline(state, "doctor")
    assert done.returncode == 0, done.stderr
    assert f"the service runs, at {served.base}" in done.stderr
    assert "policies stand on every survivor table" in done.stderr


def test_a_client_comes_lists_and_goes(demo: tuple[Path, Served]) -> None:
    state, _ = demo
    added = throughline(
        state, "client", "add", "--name", "demo-new-app", "--organization", "river-clinic",
        "--practitioner", "river-nurse-practitioner", "--purpose", "COC",
    )  # fmt: skip
    assert added.returncode == 0, added.stderr
    assert len(added.stdout.strip()) >= 40
    assert "demo-new-app" in throughline(state, "client", "list").stdout
    assert throughline(state, "token", "--client", "demo-new-app").returncode == 0
    assert throughline(state, "client", "revoke", "--name", "demo-new-app").returncode == 0
    assert throughline(state, "token", "--client", "demo-new-app").returncode == 1
    again = throughline(state, "client", "revoke", "--name", "demo-new-app")
    assert (again.returncode, "no such client" in again.stderr) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--jwks-url", "http://keys.example/jwks"], "https://"),
        (["--patient", "nobody"], "no such Patient"),
        (["--purpose", "FUN"], "purpose of use"),
        (["--scope", "everything"], "scope"),
    ],
)
def test_a_client_that_cannot_be_registered_says_why(
    demo: tuple[Path, Served], arguments: list[str], words: str
) -> None:
    state, _ = demo
    base = ["client", "add", "--name", "demo-x", "--organization", "river-clinic"]
    done = throughline(state, *base, *arguments)
    assert done.returncode == 1
    assert words in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_no_real_client_comes_to_share_the_demonstrations_server(
    demo: tuple[Path, Served],
) -> None:
    state, _ = demo
    done = throughline(
        state, "client", "add", "--name", "real-clinic", "--organization", "real-clinic"
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "demo-" in done.stderr
    assert "TL_STATE_DIR" in done.stderr
    assert "real-clinic" not in throughline(state, "client", "list").stdout


def test_a_second_service_on_the_same_folder_is_told_of_the_first(
    demo: tuple[Path, Served],
) -> None:
    state, served = demo
    done = throughline(state, "serve", TL_PORT="0")
    assert done.returncode == 1
    assert "TL_PORT" in done.stderr
    from tests.commands.program import free_port

    done = throughline(state, "serve", TL_PORT=str(free_port()))
    assert done.returncode == 1
    assert served.base in done.stderr


def test_a_taken_port_is_named_with_the_setting_that_mends_it(state: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = throughline(state, "demo", TL_PORT=port)
    assert done.returncode == 1
    assert port in done.stderr
    assert "TL_PORT" in done.stderr
    assert not state.exists(), "nothing is made where it cannot be served"


def test_ctrl_c_stops_everything_and_the_next_start_keeps_the_data(state: Path) -> None:
    with serving(state, "demo") as served:
        everything = session_of(served.process)
        assert len(everything) > 5, "the service, and PostgreSQL with its own"
        assert served.end() == 0
        assert all_ended(everything)
    assert not (state / "running.json").exists()
    with serving(state, "demo") as served:
        assert not any(ALL_LOADED in line for line in served.notes), "loaded once only"
        served.said("tour")
        done = throughline(state, "token", "--client", "open-door-shelter", "--purpose", "COC")
        assert _status(served, "Task/survivor-a-housing-task", done.stdout.strip()) == "200"


def test_the_demo_is_not_loaded_among_records_of_others(state: Path) -> None:
    added = throughline(
        state, "client", "add", "--name", "real-clinic", "--organization", "real-clinic"
    )
    assert added.returncode == 0, added.stderr
    done = throughline(state, "demo", TL_PORT=str(free_port()))
    assert done.returncode == 1
    assert "TL_STATE_DIR" in done.stderr
    assert "Traceback" not in done.stderr
    listed = throughline(state, "client", "list").stdout
    assert "real-clinic" in listed
    assert "river-clinic" not in listed
