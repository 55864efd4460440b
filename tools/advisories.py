"""Tell what pip-audit found, and what it could not ask about: by itself it says of both that nothing is known.

    pip-audit … --format json | python -m tools.advisories

Exit code 0: every package was asked about and has no known fault; 1: faults are known; 2: the source of the
advisories could not be read, for all packages or some, and of those nothing is known.
"""

from __future__ import annotations

import json
import sys

CLEAR, FAULTS, UNKNOWN = 0, 1, 2


def told(report: str) -> tuple[list[str], int]:
    """Lines for people, and the exit code. report: pip-audit's JSON; empty where it could not even begin."""
    try:
        packages = json.loads(report)["dependencies"]
    except (ValueError, KeyError, TypeError):
        packages = []
    if not packages:
        return [
            "pip-audit told nothing: whether any package has a known fault is not known."
        ], UNKNOWN
    lines = [
        f"{package['name']} {package['version']}: {fault['id']}"
        f"{_mended(fault.get('fix_versions', ()))}"
        for package in packages
        for fault in package.get("vulns", ())
    ]
    unasked = [package["name"] for package in packages if "skip_reason" in package]
    code = FAULTS if lines else UNKNOWN if unasked else CLEAR
    if len(unasked) == len(packages):
        lines.append(
            f"The source of the advisories cannot be reached from here: of none of the {len(packages)} "
            "locked packages is it known whether it has a fault. Ask again where it can be."
        )
    elif unasked:
        lines.append(f"Not known of {len(unasked)} packages: {', '.join(unasked)}.")
    if code == CLEAR:
        lines.append(f"None of the {len(packages)} locked packages has a known fault.")
    return lines, code


def _mended(versions: list[str]) -> str:
    return f", mended in {' or '.join(versions)}" if versions else ", not mended yet"


if __name__ == "__main__":
    lines, code = told(sys.stdin.read())
    print("\n".join(lines))
    sys.exit(code)
