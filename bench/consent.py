"""What consent costs with 1, 10 and 200 Consents a patient, and on pages and counts of the population.

    python -m bench.consent [--patients 20000]

A read and a patient's fifty are held against the same SQL without consent. A page and a count of the
population are held against the same SQL over a copy of only those rows that the caller may see: what it would
cost if the store held nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Final

from app.fhir_mappings import registry
from app.storage import predicate, resources
from bench.cluster import Cluster
from bench.load import Plan, arguments, store
from bench.pairs import in_turns
from bench.records import SLOTS
from bench.report import Figure, Report
from bench.statements import UNUSED, Bench, Statement, alone, opened, without_predicate

_TABLES: Final = ("index_token", "resource")
_TYPE: Final = "Observation"


def _cohorts(plan: Plan) -> Iterator[tuple[int, range]]:
    """How many Consents, and the patients who have so many."""
    yield 1, range(2 * plan.cohort, min(plan.patients, 2 * plan.cohort + 60))
    yield 10, range(plan.cohort)
    yield 200, range(plan.cohort, 2 * plan.cohort)


async def _reads(bench: Bench, patients: Sequence[int], count: int) -> list[list[Statement]]:
    found: list[list[Statement]] = []
    for patient in patients:
        for slot in range(len(SLOTS)):
            type_, id_ = SLOTS[slot], bench.plan.id(slot, patient)
            if len(found) < count and await bench.read(type_, id_) is not None:
                found.append(
                    await bench.heard(
                        lambda r, t=type_, i=id_: resources.read(  # type: ignore[misc]
                            r, bench.caller, registry.type_code(t), i
                        )
                    )
                )
    return found


async def _searches(bench: Bench, patients: Sequence[int], count: int) -> list[list[Statement]]:
    ids = [bench.plan.id(0, patient) for patient in patients[:count]]
    seen = [id_ for id_ in ids if await bench.read("Patient", id_) is not None]
    statements = [await bench.searched(_TYPE, f"patient={id_}&_count=50") for id_ in seen]
    return statements * max(1, min(30, count) // max(1, len(statements)))


async def _by_consents(bench: Bench, report: Report, count: int) -> None:
    for consents, patients in _cohorts(bench.plan):
        for name, statements in (
            ("read", await _reads(bench, patients, count)),
            ("patient search of 50", await _searches(bench, patients, count)),
        ):
            if not statements:
                report.note(
                    f"{name}, {consents} Consents a patient: no patient of these is visible"
                )
                continue
            times = await bench.compare_all(statements)
            for way, said, most in (("checked", "predicate", 1.15), ("walls", "both walls", 1.5)):
                ratio = times.ratio(way, "unchecked")
                report.add(
                    Figure(
                        f"{name}, {consents} Consents a patient: {said} ÷ unchecked",
                        ratio,
                        f"≤ {most}",
                        ratio <= most,
                        f"p50 {times.p50(way):.3f} ms ÷ {times.p50('unchecked'):.3f} ms",
                    )
                )


async def _copy_visible(bench: Bench) -> None:
    """Only the caller's rows, in tables of the same form with the same indexes."""
    await bench.owner.execute("DROP SCHEMA IF EXISTS bench CASCADE; CREATE SCHEMA bench")
    first = bench.caller.parameters()
    for table in _TABLES:
        await bench.owner.execute(f"CREATE TABLE bench.{table} (LIKE tl.{table} INCLUDING INDEXES)")
        await bench.owner.execute(
            f"{UNUSED} INSERT INTO bench.{table} SELECT d.* FROM tl.{table} d "
            f"WHERE d.type = $7::smallint AND {predicate.for_query('d')}",
            *first,
            registry.type_code(_TYPE),
        )
        await bench.owner.execute(f"VACUUM (ANALYZE) bench.{table}")


def _over_copy(body: str) -> str:
    body = without_predicate(body)
    for table in _TABLES:
        body = body.replace(f"tl.{table} ", f"bench.{table} ")
    return alone(body)


async def _population(bench: Bench, report: Report) -> None:
    await _copy_visible(bench)
    first = bench.caller.parameters()

    async def only_visible(statements: Sequence[Statement]) -> None:
        for statement in statements:
            # Planned as the service plans it: anew each time would be dearer than a page is.
            owner = bench.owners[statement.by_key]
            await owner.fetch(_over_copy(str(statement.body)), *first, *statement.arguments)

    walls = bench.runs()["walls"]

    async def all_rows(statements: Sequence[Statement]) -> None:
        for statement in statements:
            await walls(statement)

    for name, text in (
        ("population page of 50", "category=laboratory&_count=50"),
        ("population page of 50 by type alone", "_count=50"),
        ("exact count by code", "code=718-7&_summary=count"),
        ("exact count by category", "category=laboratory&_summary=count"),
    ):
        statements = [await bench.searched(_TYPE, text)] * 10
        times = await in_turns(
            statements, {"walls": all_rows, "visible": only_visible}, warm=1, best_of=2
        )
        ratio = times.ratio("walls", "visible")
        report.add(
            Figure(
                f"{name}: both walls ÷ no check over only the visible rows",
                ratio,
                "≤ 2",
                ratio <= 2,
                f"p50 {times.p50('walls'):.2f} ms ÷ {times.p50('visible'):.2f} ms",
            )
        )
    await bench.owner.execute("DROP SCHEMA bench CASCADE")


async def measure(made: Cluster, plan: Plan, report: Report, count: int) -> None:
    """All figures of this program."""
    async with opened(made, plan) as bench:
        await _by_consents(bench, report, count)
        await _population(bench, report)


def main() -> None:
    given = arguments("Measure what consent costs").parse_args()
    with store(given.patients, given.folder, keep=given.keep) as (made, plan):
        report = Report("Consent", plan)
        asyncio.run(measure(made, plan, report, min(given.cases, 150)))
        report.end(given.report)


if __name__ == "__main__":
    main()
