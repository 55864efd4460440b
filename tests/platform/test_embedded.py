from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from app.embedded import EmbeddedPostgres, EmbeddedPostgresError, binaries, places
from app.embedded.account import Account, can_reach, unprivileged

ROOT = Path(__file__).parents[2]
CHILD = """
import sys, time
from pathlib import Path
from app.embedded import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]))
url = server.start()
print(server.pid, url, flush=True)
time.sleep(120)
"""


@pytest.fixture
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tl-test-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder) / "state"


def _ended(pid: int, seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.02)
    return False


def _socket_folder(url: str) -> Path:
    return Path(parse_qs(urlsplit(url).query)["host"][0])


def test_stop_and_start_keep_data_and_leave_no_socket(home: Path) -> None:
    server = EmbeddedPostgres(home)
    url = server.start()
    first = server.pid
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept (n int)")
        connection.execute("INSERT INTO kept VALUES (7)")
    server.stop()
    assert first is not None
    assert _ended(first)
    assert not _socket_folder(url).exists()
    with (
        EmbeddedPostgres(home) as again,
        psycopg.connect(again.url_for("throughline", "postgres")) as connection,
    ):
        assert connection.execute("SELECT n FROM kept").fetchone() == (7,)


def test_server_listens_on_a_private_socket_only_and_is_set_as_asked(home: Path) -> None:
    with EmbeddedPostgres(home, durable=False) as server:
        url = server.url_for("throughline", "postgres")
        with psycopg.connect(url) as connection:
            names = ["listen_addresses", "jit", "fsync", "server_encoding", "lc_collate"]
            rows = connection.execute(
                "SELECT current_setting(n) FROM unnest(%s::text[]) n WHERE n <> 'lc_collate'",
                (names,),
            ).fetchall()
            assert [row[0] for row in rows] == ["", "off", "off", "UTF8"]
            assert connection.execute(
                "SELECT datcollate FROM pg_database WHERE datname = 'template1'"
            ).fetchone() == ("C",)
        assert stat.S_IMODE(_socket_folder(url).stat().st_mode) == 0o700


def test_a_durable_server_writes_through(home: Path) -> None:
    with (
        EmbeddedPostgres(home) as server,
        psycopg.connect(server.url_for("throughline", "postgres")) as connection,
    ):
        assert connection.execute(
            "SELECT current_setting('fsync'), current_setting('full_page_writes'), "
            "current_setting('synchronous_commit')"
        ).fetchone() == ("on", "on", "on")


def test_a_second_instance_is_refused_and_the_first_goes_on(home: Path) -> None:
    with EmbeddedPostgres(home, durable=False) as server:
        with pytest.raises(EmbeddedPostgresError, match="another process runs the database"):
            EmbeddedPostgres(home, durable=False).start()
        with psycopg.connect(server.url_for("throughline", "postgres")) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_server_outlives_the_thread_that_started_it(home: Path) -> None:
    server = EmbeddedPostgres(home, durable=False)
    thread = threading.Thread(target=server.start)
    thread.start()
    thread.join()
    try:
        time.sleep(0.3)
        with psycopg.connect(server.url_for("throughline", "postgres")) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    finally:
        server.stop()


def test_server_ends_when_its_parent_is_killed_and_the_folder_can_be_used_again(
    home: Path,
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(home)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as parent:
        assert parent.stdout is not None
        pid_text, url = parent.stdout.readline().split()
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE kept (n int)")
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    assert _ended(int(pid_text))
    left = _socket_folder(url)
    with EmbeddedPostgres(home, durable=False) as server:
        assert not left.exists()
        with psycopg.connect(server.url_for("throughline", "postgres")) as connection:
            assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_a_stale_pid_file_that_names_another_program_is_no_hindrance(home: Path) -> None:
    with EmbeddedPostgres(home, durable=False):
        pass
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, cwd="/")
    try:
        (home / "cluster" / "postmaster.pid").write_text(f"{other.pid}\n{home / 'cluster'}\n0\n")
        with EmbeddedPostgres(home, durable=False) as server:
            assert server.pid != other.pid
        assert other.poll() is None
    finally:
        other.communicate()


def test_a_zombie_left_by_a_killed_server_is_no_hindrance(home: Path) -> None:
    with EmbeddedPostgres(home, durable=False):
        pass
    account = unprivileged() or Account(os.geteuid(), os.getegid())
    # Ended and not yet waited for, as a server is whose parent was killed where nothing reaps.
    zombie = subprocess.Popen(["/bin/true"], cwd="/", user=account.uid, group=account.gid)
    try:
        assert _ended(zombie.pid)
        pid_file = home / "cluster" / "postmaster.pid"
        pid_file.write_text(f"{zombie.pid}\n{home / 'cluster'}\n0\n5432\n\n\n")
        with EmbeddedPostgres(home, durable=False) as server:
            assert pid_file.read_text().split("\n", 1)[0] == str(server.pid)
    finally:
        zombie.wait()


def test_a_server_that_is_not_ours_is_not_disturbed(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EmbeddedPostgres(home, durable=False) as first:
        monkeypatch.setattr(places, "lock", lambda _: os.open("/dev/null", os.O_RDONLY))
        monkeypatch.setattr(places.await_predecessor, "__defaults__", (0.1,))
        with pytest.raises(EmbeddedPostgresError, match="not ours"):
            EmbeddedPostgres(home, durable=False).start()
        with psycopg.connect(first.url_for("throughline", "postgres")) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_data_stays_in_a_folder_below_one_that_is_closed_to_others(home: Path) -> None:
    home.mkdir(mode=0o700)
    with (
        EmbeddedPostgres(home / "state", durable=False) as server,
        psycopg.connect(server.url_for("throughline", "postgres")) as connection,
    ):
        assert connection.execute("SELECT 1").fetchone() == (1,)
        assert (home / "state" / "cluster" / "PG_VERSION").is_file()
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


def test_programs_are_the_newest_and_those_that_made_an_existing_cluster(home: Path) -> None:
    versions = [found.major for found in binaries.installed()]
    assert binaries.find(unprivileged()).major == versions[0]
    with EmbeddedPostgres(home, durable=False):
        pass
    made_by = home / "cluster" / "PG_VERSION"
    assert int(made_by.read_text()) == versions[0]
    made_by.write_text("9\n")
    with pytest.raises(EmbeddedPostgresError, match="made by PostgreSQL 9"):
        EmbeddedPostgres(home, durable=False).start()


def test_programs_of_the_operating_system_serve_where_the_wheel_is_absent(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = next(binaries.installed()).folder.parent
    (home / "17").mkdir(parents=True)
    # A system's layout, made of links to the real programs.
    (home / "17" / "bin").symlink_to(wheel / "bin")
    monkeypatch.setattr(binaries, "_WHEEL", "no_such_package")
    monkeypatch.setattr(binaries, "_SYSTEM", home)
    assert binaries.find(None).folder == home / "17" / "bin"
    monkeypatch.setattr(binaries, "_SYSTEM", home / "nowhere")
    with pytest.raises(EmbeddedPostgresError, match="no PostgreSQL found"):
        binaries.find(None)


def test_programs_that_the_account_cannot_reach_are_copied_once(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binaries, "can_reach", lambda path, _: "site-packages" not in path.parts)
    monkeypatch.setattr(binaries, "_CACHES", (home,))
    home.mkdir(mode=0o711)
    account = Account(os.geteuid(), os.getegid())
    first = binaries.find(account).folder
    assert first.is_relative_to(home)
    assert subprocess.run([first / "postgres", "-V"], check=True, capture_output=True).stdout
    made = first.stat().st_mtime_ns
    assert binaries.find(account).folder == first
    assert first.stat().st_mtime_ns == made


def test_owner_is_told_when_the_server_ends_by_itself(home: Path) -> None:
    told: list[int] = []
    ended = threading.Event()

    def tell(status: int) -> None:
        told.append(status)
        ended.set()

    with EmbeddedPostgres(home, durable=False, on_exit=tell) as server:
        assert server.pid is not None
        os.kill(server.pid, signal.SIGQUIT)
        assert ended.wait(10)
    with EmbeddedPostgres(home, durable=False, on_exit=tell):
        pass
    assert len(told) == 1


@pytest.mark.skipif(
    os.geteuid() != 0
    # The interpreter behind the environment's link may stand in root's own, closed home.
    or not all(
        can_reach(Path(program), Account(65534, 65534))
        for program in (psycopg.__file__, sys.executable)
    ),
    reason="only root can become an ordinary user, and only where that user reaches the programs",
)
def test_an_ordinary_user_can_start_it(home: Path) -> None:
    home.mkdir()
    os.chown(home, 65534, 65534)
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(home / "state")],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        user=65534,
        group=65534,
        extra_groups=[],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
    ) as parent:
        assert parent.stdout is not None
        pid_text, url = parent.stdout.readline().split()
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        assert Path(f"/proc/{pid_text}").stat().st_uid == 65534
        parent.kill()
    assert _ended(int(pid_text))
    shutil.rmtree(_socket_folder(url))


def test_a_server_that_cannot_come_up_says_why_and_leaves_the_folder_free(home: Path) -> None:
    with EmbeddedPostgres(home, durable=False):
        pass
    settings = home / "cluster" / "postgresql.conf"
    good = settings.read_text()
    settings.write_text(good + "\nno_such_setting = 1\n")
    with pytest.raises(EmbeddedPostgresError, match="no_such_setting"):
        EmbeddedPostgres(home, durable=False).start()
    settings.write_text(good)
    with EmbeddedPostgres(home, durable=False) as server:
        assert server.pid is not None
        assert "no_such_setting" in (home / "postgres.log.1").read_text()


def test_values_of_a_failed_statement_are_not_logged(home: Path) -> None:
    with EmbeddedPostgres(home, durable=False) as server:
        with psycopg.connect(
            server.url_for("throughline", "postgres"), autocommit=True
        ) as connection:
            connection.execute("CREATE TABLE t (name text PRIMARY KEY)")
            connection.execute("INSERT INTO t VALUES ('Marisol')")
            with pytest.raises(psycopg.errors.UniqueViolation):
                connection.execute("INSERT INTO t VALUES ('Marisol')")
        log = (home / "postgres.log").read_text()
    assert "duplicate key" in log
    assert "Marisol" not in log


def test_url_is_refused_before_start(home: Path) -> None:
    with pytest.raises(EmbeddedPostgresError, match="not started"):
        EmbeddedPostgres(home).url_for("throughline", "postgres")


def test_a_folder_that_others_can_write_to_is_not_taken_for_private(home: Path) -> None:
    home.mkdir()
    home.chmod(0o777)
    with pytest.raises(EmbeddedPostgresError, match="only its owner"):
        binaries.private_folder(home)


def test_an_account_cannot_reach_what_stands_below_a_closed_folder(home: Path) -> None:
    stranger = Account(uid=54321, gid=54321)
    (home / "open").mkdir(parents=True)
    home.chmod(0o711)
    assert can_reach(home / "open", stranger)
    home.chmod(0o700)
    assert not can_reach(home / "open", stranger)


def test_only_root_changes_to_another_account() -> None:
    account = unprivileged()
    assert (account is None) == (os.geteuid() != 0)
    assert account is None or account.uid != 0
