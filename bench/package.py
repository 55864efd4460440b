"""What assembling a referral package costs: 2,000 resources, beside a bare select of the same rows.

    python -m bench.package [--patients 20000] [--resources 2000]

The record is written by the service, once, for a patient of the store whose custodian is the caller, and taken
away after: or the newest rows of the store, a page of the population, would all be the caller's own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, cast

import asyncpg

from app.care.referrals.package import referral_package
from app.fhir_mappings import registry
from app.interactions import writing
from app.storage.database import Database
from app.storage.migrate import CONSENTED
from bench.cluster import Cluster
from bench.load import Plan, arguments, store
from bench.pairs import in_turns
from bench.records import SLOTS, VARIANTS, Json, home, organization_id, resource
from bench.report import Figure, Report
from bench.statements import Bench, Recorder, opened

RESOURCES: Final = 2_000
_BASE: Final = "http://127.0.0.1:8000/fhir"
_BATCH: Final = 250
_OBSERVATION: Final = SLOTS.index("Observation")

_WRITTEN: Final = dict.fromkeys(CONSENTED, "rid") | {"link": "source"}
"""Tables of resources, and the column that names one."""


async def _write(bench: Bench, made: list[Json]) -> list[writing.Written]:
    operations = [writing.Operation(each["resourceType"], None, each) for each in made]
    return list(
        await writing.write(bench.database, bench.caller, operations, writing.WriteRules(()))
    )


def _whose(plan: Plan) -> int:
    """The last patient whose record the caller keeps: the first ones are those with many Consents."""
    return next(p for p in range(plan.patients - 1, -1, -1) if home(p % VARIANTS) == 0)


async def _referral(bench: Bench, count: int) -> str:
    """Write a record of so many Observations and a Task that refers all of it; the Task's id."""
    patient = {"reference": f"Patient/{bench.plan.id(0, _whose(bench.plan))}"}
    ids: list[str] = []
    while len(ids) < count:
        size = min(_BATCH, count - len(ids))
        observations = [
            {k: v for k, v in resource(_OBSERVATION, n % 128).items() if k != "encounter"}
            | {"subject": patient}
            for n in range(size)
        ]
        ids += [each.id for each in await _write(bench, observations)]
    (request,) = await _write(
        bench,
        [
            {
                "resourceType": "ServiceRequest",
                "status": "active",
                "intent": "order",
                "subject": patient,
                "supportingInfo": [{"reference": f"Observation/{each}"} for each in ids],
            }
        ],
    )
    organization = {"reference": f"Organization/{organization_id(0)}"}
    (task,) = await _write(
        bench,
        [
            {
                "resourceType": "Task",
                "status": "requested",
                "intent": "order",
                "focus": {"reference": f"ServiceRequest/{request.id}"},
                "for": patient,
                "requester": organization,
                "owner": organization,
            }
        ],
    )
    return task.id


async def _rows(owner: asyncpg.Connection, rids: list[int]) -> None:
    await owner.fetch("SELECT content FROM tl.resource WHERE rid = ANY ($1::bigint[])", rids)


@asynccontextmanager
async def _taken_away(owner: asyncpg.Connection) -> AsyncIterator[None]:
    """What is written meanwhile leaves no row behind."""
    last = await owner.fetchval("SELECT last_value FROM tl.rid")
    try:
        yield
    finally:
        for table, column in _WRITTEN.items():
            await owner.execute(f"DELETE FROM tl.{table} WHERE {column} > $1", last)
            await owner.execute(f"VACUUM tl.{table}")


async def measure(
    made: Cluster, plan: Plan, report: Report, repeats: int, count: int = RESOURCES
) -> None:
    """Write the record and time its package."""
    async with opened(made, plan) as bench, _taken_away(bench.owner):
        task = await _referral(bench, count)

        async def assemble(_: int) -> None:
            await referral_package(
                bench.database, bench.caller, task, _BASE, registry.is_resource_type
            )

        recorder = Recorder(bench.database)
        found = await referral_package(
            cast(Database, recorder), bench.caller, task, _BASE, registry.is_resource_type
        )
        times = await in_turns(
            range(repeats),
            {"package": assemble, "select": lambda _: _rows(bench.owner, found.rids)},
            warm=1,
        )
        ratio = times.ratio("package", "select")
        report.add(
            Figure(
                f"package of {len(found.rids):,} resources ÷ bare select of the same rows",
                ratio,
                "≤ 3",
                ratio <= 3,
                f"p50 {times.p50('package'):.0f} ms ÷ {times.p50('select'):.0f} ms, "
                f"{len(recorder.heard)} statements",
            )
        )


def main() -> None:
    parser = arguments("Measure the referral package")
    parser.add_argument("--resources", type=int, default=RESOURCES)
    given = parser.parse_args()
    with store(given.patients, given.folder, keep=given.keep) as (made, plan):
        report = Report("The referral package", plan)
        asyncio.run(measure(made, plan, report, 20, given.resources))
        report.end(given.report)


if __name__ == "__main__":
    main()
