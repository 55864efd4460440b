"""Start and stop one PostgreSQL as a direct child, reachable through a private socket only.

Neighbours: `app.embedded.places` (folders), `app.embedded.binaries` (programs),
`app.embedded.launch` (the step between this process and PostgreSQL).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote

import psycopg

from app.embedded import binaries, launch, places
from app.embedded.account import give, unprivileged
from app.embedded.errors import EmbeddedPostgresError

SUPERUSER: Final = "throughline"
_PORT: Final = "5432"
_READY_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 30.0
_SETTINGS: Final = {
    "listen_addresses": "",
    "port": _PORT,
    "unix_socket_permissions": "0700",
    "jit": "off",
    "shared_buffers": "256MB",
    "wal_compression": "on",
    "max_connections": "100",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Statements and the DETAIL of errors hold values of records: neither is logged.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}
_HERE: Final = "/proc/self/cwd"
"""The cluster as PostgreSQL is told it. The folder is entered before root is dropped, and this link
leads back to it even where the account may not pass through the folders above, which stay closed."""

_NOT_DURABLE: Final = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}


class EmbeddedPostgres:
    """One server and its folder. Start it once; it ends with `stop`, or with this process."""

    def __init__(
        self,
        data_dir: Path,
        *,
        durable: bool = True,
        major: int | None = None,
        log_file: Path | None = None,
        on_exit: Callable[[int], None] | None = None,
    ) -> None:
        """Name the folder; nothing is touched before `start`.

        `durable=False` gives up safety in a crash of the machine, for tests. `major` is the version of
        PostgreSQL that makes a new folder, by default what `binaries.find` prefers. `log_file` is
        PostgreSQL's own log, by default postgres.log in the folder: anew at each start, the one
        before kept as `.1`. `on_exit` is called, in a thread of the server's own, with the exit
        status of a server that ended without `stop`.
        """
        self._home = data_dir.absolute()
        self._durable = durable
        self._major = major
        self._log_file = log_file or self._home / "postgres.log"
        self._on_exit = on_exit
        self._stopping = False
        self._lock: int | None = None
        self._socket: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._keeper: threading.Thread | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the server, None when it does not run."""
        return None if self._process is None else self._process.pid

    def start(self) -> str:
        """Start the server, made first if the folder is new; returns the superuser's URL.

        Raises EmbeddedPostgresError when another instance has the folder, there are no programs,
        or the server does not come up (the end of its log is then in the message).
        """
        if self._lock is not None:
            raise EmbeddedPostgresError("already started")
        self._home.mkdir(parents=True, exist_ok=True, mode=0o711)
        self._lock = places.lock(self._home)
        try:
            account = unprivileged()
            identity = ["-", "-"] if account is None else [str(account.uid), str(account.gid)]
            cluster = self._home / "cluster"
            made_by = cluster / "PG_VERSION"
            programs = binaries.find(
                account, int(made_by.read_text()) if made_by.exists() else self._major
            ).folder
            if not cluster.exists():
                draft = cluster.with_name("cluster.new")
                shutil.rmtree(draft, ignore_errors=True)
                draft.mkdir(mode=0o700)
                give(draft, account)
                self._initialize(programs, draft, identity)
                draft.rename(cluster)  # a cluster half made is never taken for one
            places.await_predecessor(cluster)
            self._socket = places.socket_folder(self._home, account)
            self._keep_last_log()
            self._stopping = False
            self._spawn(self._command(programs / "postgres", self._socket), cluster, identity)
            return self._ready()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the server, open connections included, and release the folder. Safe to repeat."""
        self._stopping = True
        if self._process is not None:
            for request, seconds in ((signal.SIGINT, _STOP_SECONDS), (signal.SIGQUIT, 5.0)):
                self._process.send_signal(request)
                try:
                    self._process.wait(seconds)
                    break
                except subprocess.TimeoutExpired:
                    continue
            else:
                self._process.kill()
                self._process.wait()
            self._process = None
        if self._keeper is not None:
            self._keeper.join()
            self._keeper = None
        if self._socket is not None:
            shutil.rmtree(self._socket, ignore_errors=True)
            (self._home / "socket").unlink(missing_ok=True)
            self._socket = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def url_for(self, user: str, database: str) -> str:
        """The URL by which `user` reaches `database`; EmbeddedPostgresError when not started."""
        if self._socket is None:
            raise EmbeddedPostgresError("not started")
        return (
            f"postgresql://{quote(user, safe='')}@/{quote(database, safe='')}"
            f"?host={self._socket}&port={_PORT}"
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _launched(self, command: list[str], identity: list[str]) -> list[str]:
        launcher = [sys.executable, "-I", "-S", launch.__file__]
        return [*launcher, str(os.getpid()), *identity, *command]

    def _environment(self) -> dict[str, str]:
        # Variables such as PGDATA or PGOPTIONS of whoever started us must not reach the server.
        return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}

    def _keep_last_log(self) -> None:
        if self._log_file.exists():
            self._log_file.replace(self._log_file.with_name(f"{self._log_file.name}.1"))

    def _initialize(self, programs: Path, cluster: Path, identity: list[str]) -> None:
        command = [str(programs / "initdb"), "-D", _HERE, "-U", SUPERUSER]
        command += ["-E", "UTF8", "--locale=C", "--auth=trust"]
        if not self._durable:
            command.append("--no-sync")
        done = subprocess.run(  # noqa: S603
            self._launched(command, identity),
            env=self._environment(),
            cwd=cluster,
            capture_output=True,
            check=False,
            text=True,
            start_new_session=True,
        )
        if done.returncode != 0:
            raise EmbeddedPostgresError(f"initdb failed: {done.stderr.strip()[-2000:]}")

    def _command(self, program: Path, socket: Path) -> list[str]:
        settings = {**_SETTINGS, "unix_socket_directories": str(socket)}
        if not self._durable:
            settings |= _NOT_DURABLE
        command = [str(program), "-D", _HERE]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        return command

    def _spawn(self, command: list[str], cluster: Path, identity: list[str]) -> None:
        """Start the child from a thread that waits for it.

        The kernel sends the parent's death signal when the *thread* that started the child ends, so
        the thread must be one of our own: the caller's may be a worker that goes away.
        """
        outcome: list[subprocess.Popen[bytes] | OSError] = []
        begun = threading.Event()

        def keep() -> None:
            try:
                descriptor = os.open(
                    self._log_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600
                )
                try:
                    child = subprocess.Popen(  # noqa: S603
                        self._launched(command, identity),
                        env=self._environment(),
                        cwd=cluster,
                        stdin=subprocess.DEVNULL,
                        stdout=descriptor,
                        stderr=descriptor,
                        # Ctrl-C is for the service, which stops the server when it is done itself.
                        start_new_session=True,
                    )
                finally:
                    os.close(descriptor)
            except OSError as error:
                outcome.append(error)
                begun.set()
                return
            outcome.append(child)
            begun.set()
            status = child.wait()
            if self._on_exit is not None and not self._stopping:
                self._on_exit(status)

        self._keeper = threading.Thread(target=keep, name="embedded-postgres", daemon=True)
        self._keeper.start()
        begun.wait()
        if isinstance(outcome[0], OSError):
            raise EmbeddedPostgresError("the server could not be started") from outcome[0]
        self._process = outcome[0]

    def _ready(self) -> str:
        url = self.url_for(SUPERUSER, "postgres")
        deadline = time.monotonic() + _READY_SECONDS
        while self._process is not None and self._process.poll() is None:
            try:
                psycopg.connect(url, connect_timeout=5).close()
                return url
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    break
                time.sleep(0.05)
        end = self._log_file.read_text(errors="replace").strip()[-2000:]
        raise EmbeddedPostgresError(f"the server did not come up: {end}")
