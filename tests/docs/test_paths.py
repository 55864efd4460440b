"""What the sources and pages say of other files is true: each path that they name is there."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
_NAMED = re.compile(
    r"(?<![\w./-])(?:app|bench|deploy|docs|migrations|openapi|tests|tools)/[\w./-]+"
    r"\.(?:css|conf|html|js|json|md|py|sql|txt)\b"
)


_MADE = ("migrations/versions/NNNN_words.py", "app/site/openapi.json")
"""A pattern, and what a wheel alone holds."""


_KINDS = (".md", ".py", ".sql", ".conf", ".js")


def _texts() -> Iterator[Path]:
    """Every text of the project, but for what others wrote."""
    yield from (each for each in ROOT.iterdir() if each.is_file())
    for folder in ("app", "bench", "deploy", "docs", "migrations", "tests", "tools"):
        for each in (ROOT / folder).rglob("*"):
            if each.suffix in _KINDS and "vendor" not in each.parts:
                yield each


def test_every_path_that_a_text_names_exists() -> None:
    missing = {
        f"{text.relative_to(ROOT)} names {path}"
        for text in _texts()
        for path in _NAMED.findall(text.read_text(errors="ignore"))
        if path not in _MADE and not (ROOT / path).exists()
    }
    assert missing == set()


def test_every_decision_has_a_number_of_its_own() -> None:
    folder = ROOT / "docs" / "decisions"
    numbers = Counter(each.name.partition("-")[0] for each in folder.glob("*.md"))
    assert {number for number, count in numbers.items() if count > 1} == set()
    for each in folder.glob("*.md"):
        assert each.read_text().startswith(f"# {each.name.partition('-')[0]}"), each.name
