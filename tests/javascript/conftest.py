"""A running demo, and npm's packages beside scripts that use them as they are."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import npm_packages
from tests.commands.program import Served, free_port, serving, throughline

HERE = Path(__file__).parent
Run = Callable[..., dict[str, Any]]


@dataclass(frozen=True)
class Demo:
    """The demo, and an application that is registered with it."""

    served: Served
    state: Path
    secret: str

    def token(self, client: str) -> str:
        done = throughline(self.state, "token", "--client", client, "--purpose", "COC")
        return done.stdout.strip()


@pytest.fixture(scope="package")
def origin() -> str:
    """The one foreign origin that may call the service from a browser."""
    return f"http://127.0.0.1:{free_port()}"


@pytest.fixture(scope="package")
def demo(origin: str) -> Iterator[Demo]:
    with tempfile.TemporaryDirectory(prefix="tl-npm-") as folder:
        Path(folder).chmod(0o711)
        state = Path(folder) / "state"
        with serving(state, "demo", TL_CORS_ORIGINS=json.dumps([origin])) as served:
            added = throughline(
                state, "client", "add", "--name", "demo-npm-app",
                "--organization", "river-clinic", "--purpose", "COC",
            )  # fmt: skip
            assert added.returncode == 0, added.stderr
            yield Demo(served, state, added.stdout.strip())


@pytest.fixture(scope="package")
def run(demo: Demo) -> Iterator[Run]:
    """Runs a script of this folder by Node.js; gives what it printed, as JSON."""
    node = npm_packages.node()
    if node is None:
        pytest.skip(
            "npm has no Node.js for this machine, and none of version 20 or later is installed"
        )
    packages = npm_packages.installed(HERE / "packages.json")
    with tempfile.TemporaryDirectory(prefix="tl-js-") as name:
        folder = Path(name)
        (folder / "node_modules").symlink_to(packages / "node_modules")

        def script(script: str, **more: str) -> dict[str, Any]:
            (folder / script).write_bytes((HERE / script).read_bytes())
            given = {
                "BASE": demo.served.base,
                "CLIENT": "demo-npm-app",
                "SECRET": demo.secret,
            } | more
            done = subprocess.run(
                [node, script],
                cwd=folder,
                env=os.environ | given,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            told: dict[str, Any] = json.loads(done.stdout)
            return told

        yield script
