"""What compose.yaml starts, started by hand: two replicas on one PostgreSQL behind deploy/nginx.conf."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import yaml

from tests.commands.program import free_port, serving, throughline
from tests.conftest import Cluster

ROOT = Path(__file__).parents[2]
NGINX = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
needs_nginx = pytest.mark.skipif(NGINX is None, reason="Debian's nginx is not installed")


def _configuration(folder: Path, port: int, first: int, second: int) -> Path:
    """The shipped file, with addresses of this machine in the place of those of the composition."""
    text = (ROOT / "deploy" / "nginx.conf").read_text()
    for shipped, here in (
        ("server first:8000", f"server 127.0.0.1:{first}"),
        ("server second:8000", f"server 127.0.0.1:{second}"),
        ("listen 8000;", f"listen 127.0.0.1:{port};"),
    ):
        assert text.count(shipped) == 1, shipped
        text = text.replace(shipped, here)
    places = "".join(
        f"{kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    text = re.sub(r"^http \{$", f"http {{\n{places}", text, count=1, flags=re.MULTILINE)
    path = folder / "nginx.conf"
    path.write_text(f"pid {folder}/pid;\nerror_log {folder}/errors;\ndaemon off;\n{text}")
    return path


def _nginx(folder: Path, path: Path, *more: str) -> list[str]:
    return [str(NGINX), "-e", str(folder / "errors"), "-p", str(folder), "-c", str(path), *more]


@contextmanager
def _proxy(folder: Path, path: Path, port: int) -> Iterator[None]:
    process = subprocess.Popen(_nginx(folder, path))
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{port}/healthz")
                break
            except httpx.HTTPError:
                assert time.monotonic() < deadline
                assert process.poll() is None
                time.sleep(0.1)
        yield
    finally:
        process.send_signal(signal.SIGQUIT)
        assert process.wait(30) == 0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    if tmp_path.stat().st_uid == 0:  # its workers are another account's
        for each in (tmp_path, *tmp_path.parents[:2]):
            each.chmod(0o711)
    return tmp_path


@pytest.fixture
def settings(cluster: Cluster) -> Iterator[dict[str, str]]:
    name = f"tl_proxied_{cluster.worker}"
    cluster.create(name, "template0")
    yield {
        "TL_DATABASE_URL": cluster.admin_url(name),
        "TL_SERVICE_ROLE": f"tl_service_{cluster.worker}",
    }
    cluster.drop(name)


@needs_nginx
def test_nginx_takes_the_shipped_configuration(folder: Path) -> None:
    path = _configuration(folder, free_port(), free_port(), free_port())
    done = subprocess.run(
        _nginx(folder, path, "-t"), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "warn" not in done.stderr


@needs_nginx
def test_two_replicas_behind_the_proxy_serve_and_one_may_go_without_a_request_lost(
    settings: dict[str, str], state: Path, folder: Path
) -> None:
    port, one, two = free_port(), free_port(), free_port()
    settings |= {"TL_BASE_URL": f"http://127.0.0.1:{port}/fhir"}
    path = _configuration(folder, port, one, two)
    with (
        serving(state, "demo", **settings, TL_PORT=str(one)) as first,
        serving(state, "serve", **settings, TL_PORT=str(two)) as second,
        _proxy(folder, path, port),
    ):
        told = throughline(state, "tour", **settings)
        assert told.returncode == 0, told.stdout + told.stderr
        token = throughline(state, "token", "--client", "river-clinic", **settings).stdout.strip()
        with httpx.Client(
            base_url=settings["TL_BASE_URL"], headers={"Authorization": f"Bearer {token}"}
        ) as http:
            page = http.get("/Observation?patient=survivor-a&_count=2").json()
            following = next(link["url"] for link in page["link"] if link["relation"] == "next")
            assert following.startswith(settings["TL_BASE_URL"])
            statuses = {http.get(following).status_code for _ in range(6)}  # by either replica
            assert statuses == {200}
            first.process.send_signal(signal.SIGTERM)
            for _ in range(40):
                assert http.get("/Patient/survivor-a").status_code == 200
                made = http.post("/Patient", json={"resourceType": "Patient"})
                assert made.status_code == 201
            assert first.process.wait(60) == 0
            assert http.get("/Patient/survivor-a").status_code == 200
        assert second.end(signal.SIGTERM) == 0


def test_the_composition_mounts_this_configuration_and_names_its_replicas() -> None:
    composed = yaml.safe_load((ROOT / "compose.yaml").read_text())
    text = (ROOT / "deploy" / "nginx.conf").read_text()
    replicas = re.findall(r"server (\w+):8000", text)
    assert set(replicas) < set(composed["services"])
    assert composed["services"]["proxy"]["depends_on"].keys() == set(replicas)
    assert any("deploy/nginx.conf" in each for each in composed["services"]["proxy"]["volumes"])
