"""What `tools/mutants.py` deletes of the places at which a statement asks the predicate: each, one at a time.

The policies beneath would refuse all the same, so that these are missed by tests that take the policies away
(`tests/consent/test_places.py`). A place is left out where the same statement asks the same of the same row
twice (`_ASKED_TWICE`): without one of the two nothing changes. Neighbour: `tools.mutations`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tools.mutant import Mutant

PLACES: Final = ("tests/consent/test_places.py",)
_FILES: Final = (
    "audit_entries",
    "canonical",
    "disclosures",
    "emergency",
    "everything",
    "history",
    "notes",
    "person",
    "receivers",
    "resources",
    "reviews",
    "search_clause_sql",
    "search_include",
    "search_order",
    "search_sql",
)
"""Modules of `app.storage` that find rows for a caller; the rest hold no predicate (a test says so)."""

_ASKING: Final = re.compile(
    r"(?:predicate\.(?:for|walk_for|keyed_for)_query|elements\.(?:followed|same_row))\([^()]*\)"
)
_DEFINED: Final = re.compile(r"^(?:async )?(?:def|class) (\w+)|^(\w+)(?:: Final)? = ", re.MULTILINE)

_ASKED_TWICE: Final = {
    'asked in history._SPAN: for_query("n")': 'for_query("r"), of the older version that it would end',
    "asked in search_include.included: for_query('r'), 2": 'for_query("o"), of what was reached',
}
"""Name to what asks the same of the same row."""


def mutants(root: Path) -> list[Mutant]:
    """All of them, for the files as they stand."""
    return [each for each in _all(root) if each.name not in _ASKED_TWICE]


def gone(root: Path) -> set[str]:
    """Names of places that are left out, and stand nowhere any more."""
    return set(_ASKED_TWICE) - {each.name for each in _all(root)}


def _all(root: Path) -> Iterator[Mutant]:
    for name in _FILES:
        yield from _places(name, (root / f"app/storage/{name}.py").read_text())


def modules(root: Path) -> set[str]:
    """The modules of `app.storage` that ask."""
    return {
        path.stem
        for path in (root / "app/storage").glob("*.py")
        if _ASKING.search(path.read_text())
    }


def _places(module: str, text: str) -> Iterator[Mutant]:
    met: Counter[str] = Counter()
    for found in _ASKING.finditer(text):
        within = [m[1] or m[2] for m in _DEFINED.finditer(text, 0, found.start())][-1]
        name = f"asked in {module}.{within}: {found[0].partition('.')[2]}"
        met[name] += 1
        number = f", {met[name]}" if met[name] > 1 else ""
        begin = _unique(text, found.start(), found.end())
        before = text[begin : found.start()]
        # True of everybody who has entered, with all the parameters of a caller in it.
        yield Mutant(
            f"{name}{number}",
            f"app/storage/{module}.py",
            before + found[0],
            f"{before}predicate.ENTER",
            PLACES,
        )


def _unique(text: str, start: int, end: int) -> int:
    """Where the shortest text begins that ends there, and stands there alone."""
    while text.count(text[start:end]) != 1:
        start -= 1
    return start
