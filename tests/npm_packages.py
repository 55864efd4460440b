"""Packages of definitions from npm, for tests: fetched once, checked, never committed.

They are kept under `.cache/` of the checkout. The registry is `npm_config_registry` where that is
set; the authorities are those of SSL_CERT_FILE and SSL_CERT_DIR. A package that is not the pinned
one is refused, wherever it comes from.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
import tempfile
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

CACHE = Path(__file__).parent.parent / ".cache"


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

    def _verify(self, content: bytes) -> None:
        digest = b64encode(hashlib.sha512(content).digest()).decode()
        if digest != self.sha512:
            raise ValueError(f"the package is not {self.name} {self.version}: its sha512 differs")


def _registry() -> str:
    # npm itself reads the lower-case name.
    address = os.environ.get("npm_config_registry")  # noqa: SIM112
    return (address or "https://registry.npmjs.org").rstrip("/")
