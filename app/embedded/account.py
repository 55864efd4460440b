"""The account PostgreSQL runs as: it refuses to run as root, so root hands it to `nobody`.

Neighbours: `app.embedded.launch` (changes to the account), `app.embedded.binaries`.
"""

from __future__ import annotations

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from app.embedded.errors import EmbeddedPostgresError


@dataclass(frozen=True, slots=True)
class Account:
    """Numeric user and group; no further groups are kept."""

    uid: int
    gid: int


def unprivileged() -> Account | None:
    """The account to change to, or None when this process is not root and need not change.

    Raises EmbeddedPostgresError when root has no `nobody` to change to.
    """
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        raise EmbeddedPostgresError("running as root needs an account named nobody") from None
    return Account(entry.pw_uid, entry.pw_gid)


def can_reach(path: Path, account: Account | None) -> bool:
    """Whether `account` may pass through every folder above `path` (by mode bits, not ACLs)."""
    if account is None:
        return True
    for folder in path.resolve().parents:
        found = folder.stat()
        if found.st_uid == account.uid:
            needed = stat.S_IXUSR
        elif found.st_gid == account.gid:
            needed = stat.S_IXGRP
        else:
            needed = stat.S_IXOTH
        if not found.st_mode & needed:
            return False
    return True


def give(path: Path, account: Account | None) -> None:
    """Make `account` the owner of the folder `path` itself, not of what is in it."""
    if account is not None:
        os.chown(path, account.uid, account.gid, follow_symlinks=False)
