"""No statement hands out stored content without asking which of its elements its caller may see."""

from __future__ import annotations

import re
from pathlib import Path

import app

_SELECTED = re.compile(r"\b(?!elements)[a-z]\w*\.content\b(?! TO)")
_INTERNAL = {
    # Functions of the keeper and for operators: their rows never reach a caller (see each docstring).
    "sql/routines.sql",
    "sql/review.sql",
    "relabelling.py",
}


def test_content_is_selected_by_the_one_function_that_asks() -> None:
    folder = Path(app.__file__).parent / "storage"
    found = []
    for path in sorted([*folder.rglob("*.py"), *folder.rglob("*.sql")]):
        name = str(path.relative_to(folder))
        if name in _INTERNAL or name == "elements.py":
            continue
        text = re.sub(r'""".*?"""', _without_prose, path.read_text(), flags=re.DOTALL)
        found += [
            f"{name}: {quoted[:80]}"
            for quoted in re.findall(r"\"[^\"\n]*\"|'[^'\n]*'", text)
            if _SELECTED.search(quoted)
        ]
    assert not found, "use elements.content(row) and elements.shown(record)"


def _without_prose(block: re.Match[str]) -> str:
    """A block of SQL as one line in quotes; a docstring as nothing."""
    return f'"{block[0][3:-3]}"'.replace("\n", " ") if "SELECT" in block[0] else '""'


def test_what_labels_the_store_anew_is_reached_from_the_command_line_alone() -> None:
    folder = Path(app.__file__).parent
    importing = {
        str(path.relative_to(folder))
        for path in folder.rglob("*.py")
        if re.search(r"^(from|import) .*\brelabel(ling)?\b", path.read_text(), flags=re.MULTILINE)
    }
    assert importing == {"commands/labelling.py", "interactions/relabel.py"}
