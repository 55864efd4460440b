"""Run the installed command line as a user does: as processes, with settings in the environment."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.silence import SILENCE

PROGRAM = Path(sys.executable).with_name("throughline")
_START_SECONDS = 150


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        assert isinstance(port, int)
        return port


def environment(state: Path, **settings: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TL_")}
    return kept | {"TL_STATE_DIR": str(state), "COLUMNS": "200"} | settings


def throughline(state: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [PROGRAM, *arguments],
        env=environment(state, **settings),
        capture_output=True,
        text=True,
        timeout=_START_SECONDS,
        check=False,
    )
    SILENCE.heard(done.stderr.splitlines())
    return done


@dataclass
class Served:
    """A service that runs. lines: what it printed on standard output."""

    process: subprocess.Popen[str]
    base: str
    settings: dict[str, str]
    lines: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def end(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(90)

    def said(self, words: str, seconds: float = _START_SECONDS) -> None:
        """Wait until it has said this on standard error."""
        deadline = time.monotonic() + seconds
        while not any(words in line for line in self.notes):
            assert time.monotonic() < deadline, "".join(self.notes)
            assert self.process.poll() is None, "".join(self.notes)
            time.sleep(0.05)

    def printed(self, count: int, seconds: float = _START_SECONDS) -> list[str]:
        """Wait until it has printed that many lines: the two outputs are read side by side."""
        deadline = time.monotonic() + seconds
        while len(self.lines) < count and time.monotonic() < deadline:
            time.sleep(0.05)
        return self.lines


@contextmanager
def serving(state: Path, command: str, **settings: str) -> Iterator[Served]:
    """A service that answers; whatever the test left of it is ended."""
    settings = {"TL_PORT": str(free_port())} | settings
    process = subprocess.Popen(
        [PROGRAM, command],
        env=environment(state, **settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    served = Served(process, f"http://127.0.0.1:{settings['TL_PORT']}/fhir", settings)
    assert process.stdout is not None
    assert process.stderr is not None
    readers = [
        threading.Thread(target=served.lines.extend, args=(process.stdout,)),
        threading.Thread(target=served.notes.extend, args=(process.stderr,)),
    ]
    for reader in readers:
        reader.start()
    try:
        served.said("Ctrl-C ends it")
        yield served
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(30)
        for reader in readers:
            reader.join(10)
        process.stdout.close()
        process.stderr.close()
        SILENCE.heard(served.notes)


def session_of(process: subprocess.Popen[str]) -> set[int]:
    """Every process that was started by this one and lives: workers, the database and its backends."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                state, parent = (folder / "stat").read_text().rsplit(")", 1)[1].split()[:2]
            except OSError:
                continue
            if state != "Z":
                parents[int(folder.name)] = int(parent)
    found = {process.pid}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found & parents.keys()


def all_ended(processes: set[int], seconds: float = 60.0) -> bool:
    """Whether every one of them ends in time; a number taken anew by a stranger would count as alive."""
    deadline = time.monotonic() + seconds
    while any(_alive(pid) for pid in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _alive(pid: int) -> bool:
    try:
        return re.search(r"\) Z", Path(f"/proc/{pid}/stat").read_text()) is None
    except OSError:
        return False
