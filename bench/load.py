"""Load a store to measure on: by default 20,000 patients, 1,000,000 resources, 60,000 provisions.

    python -m bench.load [--patients 20000] [--folder .bench/20000] [--keep]

Every patient has the fifty slots of `bench.records`. Rows come from `bench.templates` (the service's own
mapping code), grants from the Consent compiler, organizations and the client from the service itself;
COPY writes them with the indexes taken off, then ANALYZE. The same seed gives the same store. A folder that
holds this very store is used as it is; one made by other code is made anew (`--keep` takes it nevertheless).
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import asyncpg

from app.commands import registration
from app.consent.compile import compile_grants
from app.consent.model import CUSTODIAN, Grant, StoredConsent
from app.ids import Rid
from app.interactions.grants import TERMS
from app.storage import writes
from app.storage.database import Database
from bench.cluster import Cluster, cluster
from bench.records import (
    ORGANIZATIONS,
    SLOTS,
    VARIANTS,
    Json,
    consent,
    home,
    organization_id,
    placeholder,
)
from bench.templates import Template, make, rows_of, template

PATIENTS: Final = 20_000
CLIENT: Final = "bench"
"""The client of organization 0, which a third of the patients let read."""

_START: Final = datetime(2024, 11, 1, tzinfo=UTC)
_SPAN: Final = timedelta(days=700)
_BATCH: Final = 2_000
_ROOT: Final = Path(__file__).parent.parent
_CONSENT: Final = SLOTS.index("Consent")

_ROW: Final = ("type", "open", "patient", "co_subjects", "custodian", "labels", "code_mask")
_TIMES: Final = ("clinical_from", "clinical_to")
_COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "resource": (
        *("rid", "id", "version", "deleted", "last_updated", "codes", "content"),
        *_ROW,
        *_TIMES,
    ),
    "index_token": ("hash", "item", "rid", "last_updated", *_ROW, *_TIMES),
    "index_date": ("hash", "low", "high", "item", "rid", "last_updated", *_ROW, *_TIMES),
    "index_string": ("hash", "normalized", "exact", "item", "rid", "last_updated", *_ROW, *_TIMES),
    "index_number": ("hash", "low", "high", "item", "rid", "last_updated", *_ROW, *_TIMES),
    "link": ("source", "target", "parameter", "climbs", "author"),
}
"""What is copied, in this order. A table that has other columns stops the load: teach it here."""

_EMPTY: Final = frozenset({"inline_mask", "inline_masks"})
"""Null in every row: no element of these resources carries labels of its own."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A store: how many patients, after which seed, and where its rids begin."""

    patients: int
    seed: int
    first: int
    organizations: tuple[int, ...]
    cohort: int
    """So many patients have 10 Consents, and as many after them 200; all others have one."""

    def rid(self, slot: int, patient: int) -> int:
        """Slots lie one after the other, as if each patient's record had grown over two years."""
        return self.first + slot * self.patients + patient

    def id(self, slot: int, patient: int) -> str:
        """The logical id: random-looking, and the same for the same seed."""
        text = f"{self.seed}/{slot}/{patient}".encode()
        return str(uuid.UUID(bytes=hashlib.blake2b(text, digest_size=16).digest(), version=4))

    def updated(self, slot: int, patient: int) -> datetime:
        """When the resource was written; never twice the same."""
        place = (slot * self.patients + patient) / (len(SLOTS) * self.patients)
        return _START + _SPAN * place

    def consents(self, patient: int) -> int:
        """How many Consents the patient has."""
        return 10 if patient < self.cohort else 200 if patient < 2 * self.cohort else 1

    def custodian(self, slot: int, patient: int) -> int:
        """Rid of the custodian: the patient's home, and another organization for every fifth slot."""
        number = home(patient % VARIANTS)
        return self.organizations[(number + slot) % 16 if slot % 5 == 4 else number]


def _cohort(patients: int) -> int:
    return min(8, patients // 10)


def _variant(slot: int, patient: int) -> int:
    if SLOTS[slot] == "Consent":
        return patient % VARIANTS
    return ((patient * 40_503 + slot * 9_973) >> 3) % VARIANTS


Rows = dict[str, list[tuple[Any, ...]]]


def _add(
    rows: Rows, plan: Plan, made: Template, slot: int, patient: int, rid: int, id_: str
) -> None:
    ids = {number: plan.id(number, patient) for number in _numbers(made)} | {slot: id_}
    updated = plan.updated(slot, patient)
    shared = (
        *(made.type_code, False, plan.rid(0, patient), None),
        *(plan.custodian(slot, patient), made.labels, made.code_mask),
        *(made.clinical or (None, None)),
    )
    content = made.bytes(ids, updated)
    rows["resource"].append((rid, id_, 1, False, updated, made.codes, content, *shared))
    rows["index_token"] += [(key, item, rid, updated, *shared) for key, item in made.keys(ids)]
    for table, found in rows_of(made.rows).items():
        rows[table] += [(*_bounded(values), rid, updated, *shared) for values in found]
    rows["link"] += [(rid, plan.rid(target, patient), *rest) for target, *rest in made.links]
    for _, name, *rest in made.outward:
        rows["link"].append((rid, plan.organizations[int(name.rpartition("-")[2])], *rest))


@cache
def _numbers_of(content: tuple[bytes | int | None, ...]) -> frozenset[int]:
    return frozenset(part for part in content if isinstance(part, int))


def _numbers(made: Template) -> frozenset[int]:
    return _numbers_of(made.content) | {slot for _, slot in made.token_holes}


def _bounded(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """(key, low, high, item) with None as infinity; rows without an open end as they are."""
    key, low, high, item = values
    if low is None or high is None:
        low = low or datetime.min.replace(tzinfo=UTC)
        high = high or datetime.max.replace(tzinfo=UTC)
    return key, low, high, item


async def _copy(connection: asyncpg.Connection, rows: Rows) -> None:
    for table, records in rows.items():
        await connection.copy_records_to_table(
            table, schema_name="tl", columns=_COLUMNS[table], records=records
        )


def _slot(url: str, plan: Plan, slot: int) -> int:
    """Copy one slot of every patient; how many resources."""

    async def run() -> int:
        connection = await asyncpg.connect(url)
        for start in range(0, plan.patients, _BATCH):
            rows: Rows = {table: [] for table in _COLUMNS}
            for patient in range(start, min(start + _BATCH, plan.patients)):
                made = template(slot, _variant(slot, patient))
                _add(
                    rows, plan, made, slot, patient, plan.rid(slot, patient), plan.id(slot, patient)
                )
            await _copy(connection, rows)
        await connection.close()
        return plan.patients

    return asyncio.run(run())


@cache
def _consent_template(variant: int, number: int) -> Template:
    return make(_CONSENT, consent(variant, number) | {"id": placeholder(_CONSENT)})


def _more_consents(plan: Plan) -> tuple[Rows, dict[int, list[tuple[int, Json]]]]:
    """The cohorts' further Consents: their rows, and every Consent (rid, resource) by patient."""
    rows: Rows = {table: [] for table in _COLUMNS}
    rid = plan.first + len(SLOTS) * plan.patients
    known: dict[int, list[tuple[int, Json]]] = {}
    for patient in range(2 * plan.cohort):
        variant = patient % VARIANTS
        known[patient] = [(plan.rid(_CONSENT, patient), consent(variant))]
        for number in range(1, plan.consents(patient)):
            made = _consent_template(variant, number)
            id_ = plan.id(1_000 + number, patient)
            _add(rows, plan, made, _CONSENT, patient, rid, id_)
            known[patient].append((rid, consent(variant, number)))
            rid += 1
    return rows, known


def _compiled(
    patient: int, home_rid: int, consents: Sequence[tuple[int, Json]], resolve: dict[str, Rid]
) -> tuple[Grant, ...]:
    stored = [StoredConsent(Rid(rid), Rid(home_rid), None, made) for rid, made in consents]
    return compile_grants(
        Rid(patient), stored, (CUSTODIAN,), now=datetime.now(UTC), resolve=resolve, terms=TERMS
    )


_SOMEBODY: Final = (1 << 60, (1 << 60) + 1)
"""Stand for the rids of the patient and of the Consent in grants that are copied."""


def _grants(plan: Plan, known: dict[int, list[tuple[int, Json]]]) -> Iterator[dict[str, Any]]:
    """Every patient's grants: compiled once a variant, and for each patient of the cohorts."""
    resolve = {
        f"Organization/{organization_id(n)}": Rid(rid) for n, rid in enumerate(plan.organizations)
    }
    patient_rid, consent_rid = _SOMEBODY
    compiled = [
        _compiled(
            patient_rid,
            plan.organizations[home(variant)],
            [(consent_rid, consent(variant))],
            resolve,
        )
        for variant in range(VARIANTS)
    ]
    for patient in range(plan.patients):
        rid = plan.rid(0, patient)
        if patient in known:
            home_rid = plan.organizations[home(patient % VARIANTS)]
            grants = _compiled(rid, home_rid, known[patient], resolve)
        else:
            own = plan.rid(_CONSENT, patient)
            grants = tuple(
                replace(
                    each,
                    grantee=Rid(rid) if each.grantee == patient_rid else each.grantee,
                    consent=Rid(own) if each.consent is not None else None,
                )
                for each in compiled[patient % VARIANTS]
            )
        yield from (writes.grant_json(rid, each) for each in grants)


async def _put_grants(connection: asyncpg.Connection, grants: Iterator[dict[str, Any]]) -> int:
    total, batch = 0, []
    insert = (
        f"INSERT INTO tl.consent_grant ({writes.GRANT_COLUMNS}) SELECT {writes.GRANT_COLUMNS} "
        "FROM jsonb_populate_recordset(NULL::tl.consent_grant, $1::jsonb)"
    )
    for each in grants:
        batch.append(each)
        if len(batch) == 5_000:
            await connection.execute(insert, json.dumps(batch))
            total += len(batch)
            batch = []
    await connection.execute(insert, json.dumps(batch))
    return total + len(batch)


_INDEXES: Final = """
SELECT format('ALTER TABLE tl.%I DROP CONSTRAINT %I', t.relname, k.conname) AS off,
       format('ALTER TABLE tl.%I ADD CONSTRAINT %I %s', t.relname, k.conname, pg_get_constraintdef(k.oid))
         AS back
  FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid
  WHERE k.contype IN ('p', 'u') AND t.relnamespace = 'tl'::regnamespace AND t.relname = ANY ($1::text[])
UNION ALL
SELECT format('DROP INDEX tl.%I', i.relname), pg_get_indexdef(i.oid)
  FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
  WHERE t.relnamespace = 'tl'::regnamespace AND t.relname = ANY ($1::text[])
    AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.oid)
"""


async def _check_columns(connection: asyncpg.Connection) -> None:
    rows = await connection.fetch(
        "SELECT table_name, array_agg(column_name::text) AS columns FROM information_schema.columns "
        "WHERE table_schema = 'tl' AND table_name = ANY ($1::text[]) GROUP BY 1",
        list(_COLUMNS),
    )
    for row in rows:
        other = (set(row["columns"]) ^ set(_COLUMNS[row["table_name"]])) - _EMPTY
        if other:
            raise SystemExit(f"bench/load.py does not know {row['table_name']}: {sorted(other)}")


async def _plan(opened: Database, patients: int, seed: int) -> Plan:
    organizations = tuple(
        [await registration.organization(opened, organization_id(n)) for n in range(ORGANIZATIONS)]
    )
    await registration.add_client(
        opened,
        name=CLIENT,
        organization_id=organization_id(0),
        scope="system/*.cruds",
        purposes=("TREAT",),
    )
    first = await opened.pool.fetchval("SELECT nextval('tl.rid')") + 1
    return Plan(patients, seed, first, organizations, _cohort(patients))


async def _fill(made: Cluster, patients: int, seed: int, workers: int) -> Plan:
    started = time.monotonic()
    opened = await Database.open(
        made.service_url, minimum=1, maximum=1, statement_timeout_ms=60_000
    )
    plan = await _plan(opened, patients, seed)
    await opened.close()
    owner = await asyncpg.connect(made.owner_url)
    await _check_columns(owner)
    await owner.execute("SET maintenance_work_mem = '1GB'")
    switches = await owner.fetch(_INDEXES, [*_COLUMNS, "consent_grant"])
    for switch in switches:
        await owner.execute(switch["off"])
    await _slots(made.owner_url, plan, workers, started)
    rows, known = _more_consents(plan)
    await _copy(owner, rows)
    grants = await _put_grants(owner, _grants(plan, known))
    print(f"  {grants:,} grants; indexes, ANALYZE …", flush=True)
    for switch in switches:
        await owner.execute(switch["back"])
    highest = plan.rid(len(SLOTS), 0) + len(rows["resource"])
    await owner.execute("SELECT setval('tl.rid', $1)", highest)
    await owner.execute("VACUUM (ANALYZE)")
    await owner.close()
    print(f"  loaded in {time.monotonic() - started:.0f} s", flush=True)
    return plan


async def _slots(url: str, plan: Plan, workers: int, started: float) -> None:
    """Every slot, in so many processes; in this one where there are none."""
    loop = asyncio.get_running_loop()
    if not workers:
        for slot in range(len(SLOTS)):
            await loop.run_in_executor(None, _slot, url, plan, slot)
        return
    done = 0
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        works = [loop.run_in_executor(pool, _slot, url, plan, slot) for slot in range(len(SLOTS))]
        for number, work in enumerate(asyncio.as_completed(works), start=1):
            done += await work
            if number % 10 == 0:
                print(f"  {done:,} resources, {time.monotonic() - started:.0f} s", flush=True)


def _digest() -> str:
    """Of all code that decides what is in the store."""
    found = hashlib.sha256()
    for pattern in ("migrations/versions/*", "app/fhir_mappings/**/*", "app/consent/**/*"):
        for file in sorted(_ROOT.glob(pattern)):
            if file.is_file() and "__pycache__" not in file.parts:
                found.update(file.read_bytes())
    for name in ("load", "records", "templates"):
        found.update((_ROOT / "bench" / f"{name}.py").read_bytes())
    return found.hexdigest()


@contextmanager
def store(
    patients: int = PATIENTS,
    folder: Path | None = None,
    *,
    seed: int = 1,
    keep: bool = False,
    workers: int = 2,
    durable: bool = True,
) -> Iterator[tuple[Cluster, Plan]]:
    """The running, loaded store; loaded first where the folder does not hold it."""
    folder = folder or _ROOT / ".bench" / str(patients)
    stamp = folder / "loaded.json"
    known = json.loads(stamp.read_text()) if stamp.exists() else None
    wanted: dict[str, Any] = {"patients": patients, "seed": seed, "digest": _digest()}
    if known is not None and keep:
        wanted["digest"] = known["digest"]
    if known is None or {name: known[name] for name in wanted} != wanted:
        print(f"loading {patients * len(SLOTS):,} resources into {folder}", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        with cluster(folder, durable=False) as made:
            plan = asyncio.run(_fill(made, patients, seed, workers))
        known = wanted | {"first": plan.first, "organizations": plan.organizations}
        stamp.write_text(json.dumps(known))
    with cluster(folder, durable=durable) as made:
        yield (
            made,
            Plan(patients, seed, known["first"], tuple(known["organizations"]), _cohort(patients)),
        )


def arguments(description: str) -> argparse.ArgumentParser:
    """The options that every program of this folder has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--patients", type=int, default=PATIENTS)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--cases", type=int, default=1000, help="how many resources are read")
    parser.add_argument("--report", type=Path, default=None, help="append the figures to this file")
    parser.add_argument("--keep", action="store_true", help="take a store made by other code")
    return parser


def main() -> None:
    given = arguments("Load a store to measure on").parse_args()
    with store(given.patients, given.folder, keep=given.keep) as (made, _):
        print(f"ready: {made.owner_url}")


if __name__ == "__main__":
    main()
