"""One deletion of `tools/mutants.py`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ROUTINES: Final = "app/storage/sql/routines.sql"
POLICIES: Final = "app/storage/migrate.py"


@dataclass(frozen=True, slots=True)
class Mutant:
    """One deletion: what it is called, the file, the text that goes and the text in its place."""

    name: str
    path: str
    old: str
    new: str = ""
    first: tuple[str, ...] = ()
    """The tests that should notice soonest, where they are not those of the predicate."""

    def applied(self, text: str) -> str:
        """The file's text with it; ValueError where there is nothing to delete, or more than one."""
        if text.count(self.old) != 1:
            raise ValueError(
                f"{self.name}: its text stands {text.count(self.old)} times in {self.path}"
            )
        return text.replace(self.old, self.new)
