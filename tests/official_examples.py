"""The official R4 examples, for tests: fetched once from npm, checked, never committed.

The package `hl7.fhir.r4.examples` 4.0.1 (CC0) also holds all definitions that
`tools/build_structure.py` reads. It is kept under `.cache/` of the checkout. The registry is
`npm_config_registry` where that is set; the authorities are those of SSL_CERT_FILE and
SSL_CERT_DIR. A package that is not the pinned one is refused, wherever it comes from.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
import tempfile
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

PACKAGE = "hl7.fhir.r4.examples"
VERSION = "4.0.1"
SHA512 = "DXBdIZOeQaSKIgCU7w6HOC7sw/6BzylmipLkBW4f//pT+Bc94x+8LImwTdvaNThPJoOzpBzvxAzNqjeu3X/zLw=="
CACHE = Path(__file__).parent.parent / ".cache"
_NOT_RESOURCES = ("package.json", ".index.json")


def tarball() -> Path:
    """Path of the verified package, fetched where it is not there; OSError, ValueError: none."""
    path = CACHE / f"{PACKAGE}-{VERSION}.tgz"
    if not path.exists():
        registry = _registry()
        with urlopen(f"{registry}/{PACKAGE}/-/{PACKAGE}-{VERSION}.tgz", timeout=120) as answer:
            content = answer.read()
        _verify(content)
        CACHE.mkdir(exist_ok=True)
        # Written aside and renamed: test processes may fetch at the same time.
        with tempfile.NamedTemporaryFile(dir=CACHE, delete=False) as partial:
            partial.write(content)
        Path(partial.name).rename(path)
    else:
        _verify(path.read_bytes())
    return path


def _registry() -> str:
    # npm itself reads the lower-case name.
    address = os.environ.get("npm_config_registry")  # noqa: SIM112
    return (address or "https://registry.npmjs.org").rstrip("/")


def _verify(content: bytes) -> None:
    digest = b64encode(hashlib.sha512(content).digest()).decode()
    if digest != SHA512:
        raise ValueError(f"the package is not {PACKAGE} {VERSION}: its sha512 differs")


def examples() -> Iterator[tuple[str, bytes]]:
    """(file name without folder, JSON bytes) of each resource, in the order of the package."""
    with tarfile.open(tarball()) as package:
        for member in package:
            name = member.name.rpartition("/")[2]
            stream = package.extractfile(member)
            if stream and name.endswith(".json") and name not in _NOT_RESOURCES:
                with stream:
                    yield name, stream.read()
