"""Become PostgreSQL: drop root, ask to be ended with the parent, then exec.

Run as a program: `launch.py PARENT UID GID PROGRAM ARGUMENT…`, UID `-` to stay the same user.
A program, because code between fork and exec is not safe in a process with threads.
Neighbour: `app.embedded.server`, which runs it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Replace this process by the program; returns never."""
    parent, uid, gid, *command = arguments
    if uid != "-":
        os.setgroups([])
        os.setgid(int(gid))
        os.setuid(int(uid))
    os.umask(0o077)
    # Only now: a change of user clears the request.
    # SIGQUIT ends every backend at once, so that nothing lingers; the log of writes makes it safe.
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(signal.SIGQUIT)) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != int(parent):  # it ended before the request was made
        sys.exit(1)
    os.execv(command[0], command)  # noqa: S606 (a list of arguments, no shell, is the point)


if __name__ == "__main__":
    main(sys.argv[1:])
