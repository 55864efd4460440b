"""Write the software bill of materials: every locked dependency, as CycloneDX 1.5 JSON, from requirements.lock.

.venv/bin/python tools/sbom.py > sbom.json
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

LOCK = Path(__file__).resolve().parent.parent / "requirements.lock"
_PINNED = re.compile(r"^([A-Za-z0-9_.-]+)(?:\[[^\]]*\])?==([^\s;\\]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def components(lock: str) -> list[dict[str, object]]:
    """The locked packages with their versions and the hashes that an installation is held to."""
    found: list[dict[str, object]] = []
    hashes: list[dict[str, str]] = []
    for line in lock.splitlines():
        pinned = _PINNED.match(line)
        if pinned:
            name, version = pinned[1].lower().replace("_", "-"), pinned[2]
            hashes = []
            found.append(
                {
                    "type": "library",
                    "name": name,
                    "version": version,
                    "purl": f"pkg:pypi/{name}@{version}",
                    "hashes": hashes,
                }
            )
        hashes += [{"alg": "SHA-256", "content": each} for each in _HASH.findall(line)]
    return found


def main() -> None:
    """Print the bill."""
    sys.path.insert(0, str(LOCK.parent))
    from app import __version__

    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {"type": "application", "name": "throughline", "version": __version__}
        },
        "components": components(LOCK.read_text()),
    }
    json.dump(bill, sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
