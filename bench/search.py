"""What searches cost on the loaded store, each beside the same SQL without consent.

    python -m bench.search [--patients 20000] [--smaller 5000]

p50 of the statements of one search, taken from the service as it sends them (`bench.statements`): a
patient's fifty, a page of the population, chain, `_has`, `_include`, exact count. --smaller: also the
patient-scoped ones on a store of fewer patients, in turns, to see what growth costs.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from typing import Final

from app.errors import FhirError
from bench.cluster import Cluster
from bench.load import Plan, arguments, store
from bench.pairs import in_turns
from bench.report import Figure, Report
from bench.statements import Bench, Run, Statement, opened

BATCH: Final = 30


@dataclass(frozen=True, slots=True)
class Search:
    """A kind of search; `{patient}` in its text is a patient's id. walls: the most its ratio may be."""

    name: str
    type: str
    text: str
    walls: float | None = None

    @property
    def scoped(self) -> bool:
        """Whether it is about one patient."""
        return "{patient}" in self.text


SEARCHES: Final = (
    Search("patient search of 50", "Observation", "patient={patient}&_count=50", 1.6),
    Search(
        "patient search by code and date",
        "Observation",
        "patient={patient}&category=vital-signs&date=ge2022&_count=50",
    ),
    Search("patient search with _include", "Task", "patient={patient}&_include=Task:focus"),
    Search("population page of 50", "Observation", "category=laboratory&_count=50"),
    Search("population page of 50 by type alone", "Observation", "_count=50"),
    Search(
        "population page, caller sees few",
        "Observation",
        "category=laboratory&status=amended&_count=50",
    ),
    Search("chain", "Observation", "patient.family=eze&code=718-7&_count=50"),
    Search("_has", "Patient", "_has:Observation:patient:code=718-7&family=eze&_count=50"),
    Search(
        "population page with _include", "Task", "status=requested&_include=Task:focus&_count=50"
    ),
    Search("exact count by code", "Observation", "code=718-7&_summary=count"),
    Search("exact count by type", "Condition", "_summary=count"),
)


async def visible_patients(bench: Bench, count: int, seed: int = 11) -> list[str]:
    """Ids of patients whom the caller may read."""
    draw = random.Random(seed)
    found: list[str] = []
    while len(found) < count:
        id_ = bench.plan.id(0, draw.randrange(bench.plan.patients))
        if await bench.read("Patient", id_) is not None:
            found.append(id_)
    return found


async def cases(bench: Bench, search: Search, patients: Sequence[str]) -> list[list[Statement]]:
    """The statements of each of the searches; FhirError where the service does not serve it."""
    texts = (
        [search.text.format(patient=each) for each in patients]
        if search.scoped
        else [search.text] * (len(patients) // 2)
    )
    return [await bench.searched(search.type, text) for text in texts]


async def figures(made: Cluster, plan: Plan, report: Report, count: int) -> None:
    """Every kind of search, by every way."""
    async with opened(made, plan) as bench:
        patients = await visible_patients(bench, count)
        for search in SEARCHES:
            try:
                statements = await cases(bench, search, patients)
            except FhirError as error:
                report.note(f"{search.name}: not served ({error.issues[0].diagnostics})")
                continue
            times = await bench.compare_all(statements)
            walls, checked = (times.ratio(way, "unchecked") for way in ("walls", "checked"))
            report.add(
                Figure(
                    f"{search.name}: both walls ÷ unchecked (predicate alone {checked:.2f})",
                    walls,
                    f"≤ {search.walls}" if search.walls else "",
                    search.walls is None or walls <= search.walls,
                    f"p50 {times.p50('walls'):.2f} ms ÷ {times.p50('unchecked'):.2f} ms, "
                    f"{len(statements[0])} statements",
                )
            )


def _side(run: Run, held: Sequence[list[Statement]]) -> Callable[[int], Awaitable[None]]:
    async def case(number: int) -> None:
        for statement in held[number]:
            await run(statement)

    return case


async def growth(stores: Sequence[tuple[Cluster, Plan]], report: Report, count: int) -> None:
    """The patient-scoped searches on two stores, the smaller first, in turns."""
    async with AsyncExitStack() as stack:
        benches = [await stack.enter_async_context(opened(*each)) for each in stores]
        patients = [await visible_patients(bench, count) for bench in benches]
        for search in SEARCHES:
            if not search.scoped:
                continue
            small, large = [
                await cases(bench, search, each)
                for bench, each in zip(benches, patients, strict=True)
            ]
            sides = {
                "small": (benches[0].runs()["walls"], small),
                "large": (benches[1].runs()["walls"], large),
            }
            times = await in_turns(
                range(count), {name: _side(*side) for name, side in sides.items()}, best_of=3
            )
            ratio = times.ratio("large", "small")
            fewer, more = (bench.plan.patients for bench in benches)
            report.add(
                Figure(
                    f"{search.name}: {more:,} patients ÷ {fewer:,}",
                    ratio,
                    "≤ 1.3",
                    ratio <= 1.3,
                    f"p50 {times.p50('large'):.2f} ms ÷ {times.p50('small'):.2f} ms",
                )
            )


def main() -> None:
    parser = arguments("Measure searches")
    parser.add_argument("--smaller", type=int, default=None, help="compare with so many patients")
    given = parser.parse_args()
    count = min(given.cases, BATCH)
    with ExitStack() as stack:
        large = stack.enter_context(store(given.patients, given.folder, keep=given.keep))
        report = Report("Searches", large[1])
        asyncio.run(figures(*large, report, count))
        if given.smaller:
            small = stack.enter_context(store(given.smaller, keep=given.keep))
            asyncio.run(growth((small, large), report, count))
        report.end(given.report)


if __name__ == "__main__":
    main()
