"""A full disk: what cannot be written down is not answered, and what was acknowledged is there afterwards."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.chaos.load import client, token
from tests.commands.program import serving


@pytest.fixture
def small_disk() -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    with tempfile.TemporaryDirectory(prefix="tl-small-") as folder:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=220m,mode=0711", "tmpfs", folder], check=False
        )
        if mounted.returncode != 0:
            pytest.skip("no tmpfs can be mounted here")
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_answers_nothing_and_loses_nothing(small_disk: Path) -> None:
    state, ballast = small_disk / "state", small_disk / "ballast"
    made: list[str] = []
    refused = 0
    body = {
        "resourceType": "Patient",
        "name": [{"family": "Sample", "text": os.urandom(100_000).hex()}],
    }
    with serving(state, "serve") as served:
        headers = {"Authorization": f"Bearer {token(served, client(state, served))}"}
        free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
        with ballast.open("wb") as file:
            file.write(b"\0" * (free - 2_000_000))
        with httpx.Client(base_url=served.base, headers=headers, timeout=30) as http:
            for _ in range(400):
                try:
                    answer = http.post("/Patient", json=body)
                    if answer.status_code == 201:
                        made.append(answer.json()["id"])
                        continue
                    refused += 1
                    assert answer.status_code in (500, 503), answer.text
                    read = http.get(f"/Patient/{made[-1]}") if made else answer
                    if read.status_code == 200:
                        continue  # its audit row found a place that the larger write did not
                    assert "Sample" not in read.text
                except httpx.HTTPError:
                    refused += 1
                if refused > 5:
                    break
        assert made
        assert refused, "the disk never filled up"
        ballast.unlink()
    with (
        serving(state, "serve", **served.settings) as again,
        httpx.Client(base_url=again.base, headers=headers, timeout=30) as http,
    ):
        for id_ in made:
            assert http.get(f"/Patient/{id_}").status_code == 200
        assert http.post("/Patient", json=body).status_code == 201
