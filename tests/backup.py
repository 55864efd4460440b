"""Dump a database and restore it into another cluster, as docs/backup.md says it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from app.embedded import EmbeddedPostgres, binaries
from app.embedded.account import unprivileged


def _run(program: str, *arguments: str | Path, **more: Any) -> bytes:
    folder = binaries.find(unprivileged(), None).folder
    done = subprocess.run([folder / program, *arguments], capture_output=True, check=False, **more)
    assert done.returncode == 0, done.stderr.decode()
    return bytes(done.stdout)


def dump(url: str, folder: Path) -> None:
    """Roles and database into two files. url: the owner's."""
    _run("pg_dump", "--format=custom", "--file", folder / "throughline.dump", url)
    (folder / "roles.sql").write_bytes(_run("pg_dumpall", "--roles-only", "--dbname", url))


def restore(folder: Path, server: EmbeddedPostgres) -> str:
    """Both into an empty cluster; the owner's URL there."""
    url = server.url_for("throughline", "postgres")
    # The role that restores is there already.
    lines = (folder / "roles.sql").read_bytes().splitlines()
    kept = [line for line in lines if b"throughline;" not in line]
    kept = [line for line in kept if not line.startswith(b"ALTER ROLE throughline ")]
    _run("psql", "--quiet", "-v", "ON_ERROR_STOP=1", url, input=b"\n".join(kept))
    _run("pg_restore", "--exit-on-error", "--dbname", url, folder / "throughline.dump")
    return url
