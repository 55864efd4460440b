"""How the tour is told: numbered headings, expectations counted, tables of who reads what.

Neighbour: `app.demo.tour`, which knows the story.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

_READ = 200


@dataclass(frozen=True)
class Row:
    """One resource: what it is called, the statuses agencies got, who should read it, and why."""

    name: str
    statuses: Sequence[int]
    readers: list[str]
    why: str


def _mark(status: int) -> str:
    return "[green]reads it[/green]" if status == _READ else f"[dim]{status}[/dim]"


@dataclass
class Telling:
    """Prints a story and keeps count of what held."""

    console: Console
    held: int = 0
    failed: int = 0
    steps: int = 0

    def heading(self, title: str, why: str) -> None:
        """The next step: its title, and why it goes as it goes."""
        self.steps += 1
        self.console.print()
        self.console.rule(f"[bold]{self.steps}. {title}", align="left")
        self.console.print(why, markup=False, highlight=False)

    def expect(self, sentence: str, answered: object, expected: object) -> None:
        """Count one expectation and say how it went."""
        if answered == expected:
            self.held += 1
            self.console.print(f"  [green]✓[/green] {sentence}", highlight=False)
            return
        self.failed += 1
        self.console.print(f"  [red]✗ not so:[/red] {sentence}", highlight=False)
        self.console.print(f"    expected {expected!r}, got {answered!r}", markup=False)

    def who_reads(self, agencies: Sequence[str], rows: Sequence[Row]) -> None:
        """Side by side: what each agency got for each resource, and why; one expectation each."""
        table = Table("", *agencies, "why")
        for row in rows:
            table.add_row(row.name, *map(_mark, row.statuses), row.why)
        self.console.print(table)
        for row in rows:
            read = [
                agency
                for agency, status in zip(agencies, row.statuses, strict=True)
                if status == _READ
            ]
            self.expect(f"{row.name}: read by {' and '.join(row.readers)} only", read, row.readers)

    def listing(self, title: str, rows: Sequence[tuple[str, str]]) -> None:
        """A table of two columns."""
        table = Table(title, "")
        for row in rows:
            table.add_row(*row)
        self.console.print(table)

    def close(self) -> int:
        """The last line, and the exit code: 0 where every expectation held."""
        self.console.print()
        if self.failed:
            self.console.print(f"[red]{self.failed} expectations failed[/red], {self.held} held.")
            return 1
        self.console.print(f"[green]All {self.held} expectations held.[/green]")
        return 0
