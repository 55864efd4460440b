"""Folders of an embedded server: its lock, its socket, what a killed one left.

Neighbours: `app.embedded.account` (who must reach them), `app.embedded.server`.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
import time
from pathlib import Path
from typing import Final

from app.embedded.account import Account, can_reach, give
from app.embedded.errors import EmbeddedPostgresError, FolderInUseError

_SOCKET_PREFIX: Final = "tl-"
_PLAIN: Final = re.compile(r"/[A-Za-z0-9_./-]{0,59}\Z")
"""Temporary folders usable for a socket: the path may have 107 bytes, a comma would split it."""


def lock(home: Path) -> int:
    """Take the lock of `home`; returns the descriptor that holds it, which its end releases.

    Raises FolderInUseError when another process, or another object of this one, holds it.
    """
    descriptor = os.open(home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise FolderInUseError(f"another process runs the database in {home}") from None
    return descriptor


def socket_folder(home: Path, account: Account | None) -> Path:
    """Make a new private folder for the socket; one that a killed process left is removed."""
    note = home / "socket"
    if note.exists():
        left = Path(note.read_text())
        if left.name.startswith(_SOCKET_PREFIX):
            shutil.rmtree(left, ignore_errors=True)
    parent = tempfile.gettempdir()
    if not _PLAIN.match(parent) or not can_reach(Path(parent) / "x", account):
        parent = "/tmp"  # noqa: S108 (mkdtemp makes a new folder, mode 0700)
    folder = Path(tempfile.mkdtemp(prefix=_SOCKET_PREFIX, dir=parent))
    note.write_text(str(folder))
    give(folder, account)
    return folder


def await_predecessor(cluster: Path, seconds: float = 10.0) -> None:
    """Deal with the postmaster.pid that a server leaves when its parent was killed.

    Processes still on their way out are waited for. With none left the file is stale and is
    removed: PostgreSQL itself would take a zombie, or a stranger that got the same number, for
    a running server. Call it with the lock held.
    Raises EmbeddedPostgresError when a server goes on living there.
    """
    pid_file = cluster / "postmaster.pid"
    if not pid_file.exists():
        return
    deadline = time.monotonic() + seconds
    while _inhabited(cluster.resolve()):
        if time.monotonic() > deadline:
            raise EmbeddedPostgresError(f"a PostgreSQL that is not ours runs in {cluster}")
        time.sleep(0.02)
    pid_file.unlink(missing_ok=True)


def _inhabited(cluster: Path) -> bool:
    """Whether a process of PostgreSQL stands in the folder, as all do that run it; no zombie does."""
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                here = os.readlink(process / "cwd") == str(cluster)
                if here and (process / "comm").read_text() == "postgres\n":
                    return True
            except OSError:  # it ended, or is somebody else's: then it cannot be in our folder
                continue
    return False
