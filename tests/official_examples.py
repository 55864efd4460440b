"""The official R4 examples, for tests: fetched once from npm, checked, never committed.

The package `hl7.fhir.r4.examples` 4.0.1 (CC0) also holds all definitions that
`tools/build_structure.py` reads.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

from tests.npm_packages import Package

PACKAGE = Package(
    "hl7.fhir.r4.examples",
    "4.0.1",
    "DXBdIZOeQaSKIgCU7w6HOC7sw/6BzylmipLkBW4f//pT+Bc94x+8LImwTdvaNThPJoOzpBzvxAzNqjeu3X/zLw==",
)
_NOT_RESOURCES = ("package.json", ".index.json")


def tarball() -> Path:
    """Path of the verified package, fetched where it is not there; OSError, ValueError: none."""
    return PACKAGE.tarball()


def examples() -> Iterator[tuple[str, bytes]]:
    """(file name without folder, JSON bytes) of each resource, in the order of the package."""
    with tarfile.open(tarball()) as package:
        for member in package:
            name = member.name.rpartition("/")[2]
            stream = package.extractfile(member)
            if stream and name.endswith(".json") and name not in _NOT_RESOURCES:
                with stream:
                    yield name, stream.read()
