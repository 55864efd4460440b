"""Figures, printed as they come and kept as one readable table."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.load import Plan
from bench.records import SLOTS


@dataclass(frozen=True, slots=True)
class Figure:
    """One ratio. wanted: the bound it is held against, "" where there is none; met: whether it holds."""

    name: str
    ratio: float
    wanted: str
    met: bool
    measured: str


class Report:
    """Figures of one program."""

    def __init__(self, title: str, plan: Plan) -> None:
        self._title = title
        self._plan = plan
        self._figures: list[Figure] = []
        self._notes: list[str] = []
        print(f"\n{title}: {self._about()}", flush=True)

    def _about(self) -> str:
        return (
            f"{self._plan.patients:,} patients, {self._plan.patients * len(SLOTS):,} resources; "
            f"{_commit()}; {datetime.now(UTC):%Y-%m-%d}; {_machine()}"
        )

    def add(self, figure: Figure) -> None:
        """Print one figure."""
        self._figures.append(figure)
        verdict = f"{figure.wanted:>8} {'holds' if figure.met else 'NOT'}" if figure.wanted else ""
        print(f"  {figure.ratio:6.2f}  {verdict:16} {figure.name}  ({figure.measured})", flush=True)

    def note(self, text: str) -> None:
        """Print something that is no figure."""
        self._notes.append(text)
        print(f"          {text}", flush=True)

    def end(self, file: Path | None) -> None:
        """Append the table to `file`."""
        if file is None:
            return
        lines = [
            f"## {self._title}",
            "",
            self._about(),
            "",
            "| what | ratio | wanted | holds | measured |",
            "|---|---|---|---|---|",
            *(
                f"| {f.name} | {f.ratio:.2f} | {f.wanted} | "
                f"{('yes' if f.met else 'no') if f.wanted else ''} | {f.measured} |"
                for f in self._figures
            ),
            "",
            *(f"- {note}" for note in self._notes),
            "",
        ]
        with file.open("a") as out:
            out.write("\n".join(lines) + "\n")


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return f"commit {done.stdout.strip() or 'unknown'}"


def _machine() -> str:
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return f"{os.cpu_count()} CPUs, {model}, Python {platform.python_version()}"
