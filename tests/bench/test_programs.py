"""The programs of bench/ run, on a store of a few patients, and print their figures: no time is asserted."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from app.consent.purposes import purpose_bit
from app.fhir_mappings import json_text, registry
from app.interactions import writing
from app.storage.database import Database
from app.storage.identities import Identity, resolve_caller
from app.storage.migrate import SURVIVOR_TABLES
from bench import consent, package, read_path, search
from bench.cluster import Cluster
from bench.load import Plan, store
from bench.records import SLOTS
from bench.report import Report

PATIENTS = 20
Store = tuple[Cluster, Plan]


@pytest.fixture(scope="module")
def loaded() -> Iterator[Store]:
    # Not pytest's own temporary folder: it is closed to the account that PostgreSQL runs as.
    with tempfile.TemporaryDirectory(prefix="tl-bench-") as folder:
        Path(folder).chmod(0o711)
        with store(PATIENTS, Path(folder) / "store", workers=0, durable=False) as made:
            yield made


def test_loaded_rows_are_those_that_the_service_itself_writes(loaded: Store) -> None:
    for slot in (SLOTS.index(name) for name in ("Procedure", "Task", "Appointment")):
        ours, theirs = asyncio.run(_both(loaded, slot))
        assert ours == theirs, SLOTS[slot]


async def _both(loaded: Store, slot: int) -> tuple[Any, Any]:
    """Everything filed for a loaded resource, and for the same content written by the service."""
    made, plan = loaded
    owner = await asyncpg.connect(made.owner_url)
    database = await Database.open(
        made.service_url, minimum=1, maximum=2, statement_timeout_ms=10_000
    )
    try:
        rid = plan.rid(slot, 0)
        content = await owner.fetchval("SELECT content FROM tl.resource WHERE rid = $1", rid)
        resource = json_text.parse(content, max_depth=64)
        del resource["id"]
        del resource["meta"]
        writer = await resolve_caller(
            database.pool,
            Identity(plan.custodian(0, 0), None, None),
            purpose=purpose_bit("TREAT"),
            emergency=False,
        )
        operation = writing.Operation(SLOTS[slot], None, resource)
        (written,) = await writing.write(database, writer, [operation], writing.WriteRules(()))
        return [await _filed(owner, each) for each in (rid, written.rid)]  # type: ignore[return-value]
    finally:
        await database.close()
        await owner.close()


async def _filed(owner: asyncpg.Connection, rid: int) -> dict[str, Any]:
    tables = await owner.fetch(
        "SELECT table_name::text AS name, array_agg(column_name::text ORDER BY 1) AS columns "
        "FROM information_schema.columns WHERE table_schema = 'tl' AND "
        # Words are not loaded: nothing here searches by text.
        "(table_name LIKE 'index_%' AND table_name <> 'index_text' "
        "OR table_name IN ('resource', 'link')) GROUP BY 1"
    )
    own = {"rid", "id", "source", "last_updated", "custodian", "content"}
    found: dict[str, Any] = {}
    for table in tables:
        columns = ", ".join(c for c in table["columns"] if c not in own)
        key = "source" if table["name"] == "link" else "rid"
        rows = await owner.fetch(f"SELECT {columns} FROM tl.{table['name']} WHERE {key} = $1", rid)
        found[table["name"]] = sorted(repr(sorted(row.items())) for row in rows)
    return found


def test_the_read_path_prints_its_ratios(
    loaded: Store, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    report = Report("The read path", loaded[1])
    for figure in read_path.measure(*loaded, rounds=1, seconds=0.2, cases=10):
        report.add(figure)
    report.end(tmp_path / "results.md")
    printed = capsys.readouterr().out
    for name in ("÷ ceiling", "read: both walls ÷ unchecked", "patient search of 50: predicate"):
        assert name in printed
    assert "| what | ratio |" in (tmp_path / "results.md").read_text()


def test_searches_print_a_ratio_for_every_kind(
    loaded: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    report = Report("Searches", loaded[1])
    asyncio.run(search.figures(*loaded, report, 2))
    printed = capsys.readouterr().out
    for each in search.SEARCHES:
        assert each.name in printed


def test_consent_is_measured_with_1_10_and_200_consents_and_over_the_visible_rows(
    loaded: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(consent.measure(*loaded, Report("Consent", loaded[1]), 4))
    printed = capsys.readouterr().out
    for name in ("read, 1 Consents", "10 Consents", "200 Consents", "over only the visible rows"):
        assert name in printed


def test_the_referral_package_is_measured_beside_a_bare_select(
    loaded: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    before = asyncio.run(_rows(loaded[0]))
    asyncio.run(package.measure(*loaded, Report("The referral package", loaded[1]), 2, count=12))
    assert "package of 15 resources" in capsys.readouterr().out
    assert asyncio.run(_rows(loaded[0])) == before


async def _rows(made: Cluster) -> dict[str, int]:
    """How many rows each table of survivors' data has."""
    owner = await asyncpg.connect(made.owner_url)
    try:
        return {
            table: await owner.fetchval(f"SELECT count(*) FROM tl.{table}")
            for table in SURVIVOR_TABLES
        }
    finally:
        await owner.close()


def test_every_slot_of_a_record_is_loaded_for_every_patient(loaded: Store) -> None:
    made, plan = loaded

    async def counts() -> dict[int, int]:
        owner = await asyncpg.connect(made.owner_url)
        try:
            rows = await owner.fetch(
                "SELECT type, count(*) FROM tl.resource WHERE rid BETWEEN $1 AND $2 GROUP BY 1",
                plan.first,
                plan.rid(len(SLOTS), 0) - 1,
            )
            return dict(tuple(row) for row in rows)
        finally:
            await owner.close()

    found = asyncio.run(counts())
    assert found == {registry.type_code(name): SLOTS.count(name) * PATIENTS for name in set(SLOTS)}
