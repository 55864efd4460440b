"""What changing a Consent, or withdrawing one, takes where a survivor has 200 of them, and 50,000 rows.

    python -m bench.recompile [--consents 200] [--rows 50000] [--others 200000] [--times 20]

A store of its own, durable. A Consent is changed by the service's own PUT (the ASGI application, without a
socket): validated, written, the survivor's grants compiled anew from all Consents, committed. Each change
alters the grants. Half of the Consents end on one day, half each on a day of its own. In turns with it one is
withdrawn, and an Observation is written, for which nothing is compiled.
Neighbours: `bench.records` (the Consents), tests/consent/test_many_consents.py (which counts the steps).
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import asyncpg
import httpx

from app.commands import registration
from app.commands.serving import keep_what_start_up_made
from app.fhir_mappings import registry, search_keys
from app.main import create_app
from app.settings import Settings
from app.storage.database import Database
from bench.cluster import cluster
from bench.records import ORGANIZATIONS, consent, organization_id
from bench.report import Figure

CONSENTS: Final = 200
ROWS: Final = 50_000
OTHERS: Final = 200_000
LIMIT_MS: Final = 1000.0
_CLIENT: Final = "bench"
_TRANSACTION: Final = 50

_FILL: Final = """
INSERT INTO tl.resource (rid, type, id, version, last_updated, deleted, open, patient, co_subjects, custodian,
                         labels, clinical_from, clinical_to, codes, content)
SELECT nextval('tl.rid'), $1::smallint, 'filled-' || $2::text || '-' || n, 1, now(), false, false,
       coalesce($3::bigint, -n), CASE WHEN n % 1000 = 0 THEN ARRAY[-n - 1::bigint] END, $4::bigint, 16, now(),
       now(), '{}', decode(repeat('7b7d', 200), 'hex')
FROM generate_series(1, $5::integer) AS n"""

_REFER: Final = """
INSERT INTO tl.link (source, target, parameter, climbs, author)
SELECT r.rid, r.patient, key, false, false
FROM tl.resource r CROSS JOIN unnest(ARRAY[0, $2::bigint]) AS k(key) WHERE r.type = $1::smallint"""


CHANGED, WITHDRAWN, WRITTEN = "one of them changed", "one withdrawn", "an Observation written"


@dataclass(frozen=True, slots=True)
class Recompiled:
    """Milliseconds of each request by what was done, and how many grants there are in the end."""

    milliseconds: Mapping[str, Sequence[float]]
    grants: int

    def told(self, kind: str) -> str:
        """The times of one kind in words."""
        times = sorted(self.milliseconds[kind])
        return (
            f"p50 {median(times):.0f} ms, fastest {times[0]:.0f}, slowest {times[-1]:.0f} ({kind})"
        )

    def figure(self, kind: str, consents: int, rows: int) -> Figure:
        """The median against one second."""
        ratio = median(self.milliseconds[kind]) / LIMIT_MS
        name = f"{consents} Consents, {rows:,} rows: {kind} ÷ one second"
        return Figure(name, ratio, "< 1", ratio < 1, self.told(kind))


def of(number: int, patient: str, changed: int = 0) -> dict[str, Any]:
    """The Consent of a number. changed: another end of its period, so that its grants change."""
    made = consent(number % 8, number)
    if number % 2 or changed:
        made["provision"]["period"]["end"] = f"{2027 + number % 70 + changed}-0{1 + number % 9}-01"
    return made | {"patient": {"reference": f"Patient/{patient}"}}


async def _patient(http: httpx.AsyncClient, consents: int) -> tuple[str, list[str]]:
    """A survivor with so many Consents, written by the service; their ids."""
    answer = await http.post("/fhir/Patient", json={"resourceType": "Patient"})
    answer.raise_for_status()
    patient = str(answer.json()["id"])
    found: list[str] = []
    for start in range(0, consents, _TRANSACTION):
        entries = [
            {"resource": of(n, patient), "request": {"method": "POST", "url": "Consent"}}
            for n in range(start, min(start + _TRANSACTION, consents))
        ]
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        answer = await http.post("/fhir", json=bundle)
        answer.raise_for_status()
        places = [each["response"]["location"] for each in answer.json()["entry"]]
        found += [place.split("/_history/")[0].rsplit("/", 1)[1] for place in places]
    return patient, found


async def _fill(url: str, patient: str, rows: int, others: int) -> None:
    """The survivor's rows, and those of as many other people as there are other rows; by their owner."""
    type_ = registry.type_code("Observation")
    owner = await asyncpg.connect(url)
    try:
        survivor = await owner.fetchrow(
            "SELECT rid, custodian FROM tl.resource WHERE id = $1", patient
        )
        assert survivor is not None
        await owner.execute(_FILL, type_, "own", survivor["rid"], survivor["custodian"], rows)
        await owner.execute(_FILL, type_, "other", None, survivor["custodian"], others)
        await owner.execute(_REFER, type_, search_keys.parameter_key("Observation", "patient"))
        await owner.execute("ANALYZE tl.resource, tl.link, tl.consent_grant")
    finally:
        await owner.close()


async def measure(
    folder: Path, *, consents: int, rows: int, others: int, times: int, durable: bool = True
) -> Recompiled:
    """Load the store in an empty folder, then change Consents one after the other."""
    with cluster(folder, durable=durable) as made:
        opened = await Database.open(
            made.service_url, minimum=1, maximum=1, statement_timeout_ms=60_000
        )
        for number in range(ORGANIZATIONS):
            await registration.organization(opened, organization_id(number))
        secret = await registration.add_client(
            opened,
            name=_CLIENT,
            organization_id=organization_id(0),
            scope="system/*.cruds",
            purposes=("TREAT",),
        )
        await opened.close()
        application = create_app(Settings(state_dir=folder), made.service_url)
        transport = httpx.ASGITransport(app=application)
        async with (
            application.router.lifespan_context(application),
            httpx.AsyncClient(transport=transport, base_url="http://test", timeout=60) as http,
        ):
            form = {
                "grant_type": "client_credentials",
                "client_id": _CLIENT,
                "client_secret": secret,
            }
            answer = await http.post("/oauth/token", data=form)
            answer.raise_for_status()
            http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
            patient, ids = await _patient(http, consents)
            await _fill(made.owner_url, patient, rows, others)
            keep_what_start_up_made()
            found: dict[str, list[float]] = {CHANGED: [], WITHDRAWN: [], WRITTEN: []}
            for turn in range(times + 2):
                number, changed = turn % consents, 1 + turn // consents
                for kind, method, path, body in _asked(number, changed, patient, ids):
                    begun = time.perf_counter()
                    answer = await http.request(method, path, json=body)
                    found[kind].append((time.perf_counter() - begun) * 1000)
                    answer.raise_for_status()
            owner = await asyncpg.connect(made.owner_url)
            grants = await owner.fetchval("SELECT count(*) FROM tl.consent_grant")
            await owner.close()
    # The first two find everything cold: plans, pages, the compiler's own caches.
    return Recompiled({kind: each[2:] for kind, each in found.items()}, int(grants))


def _asked(
    number: int, changed: int, patient: str, ids: Sequence[str]
) -> list[tuple[str, str, str, dict[str, Any]]]:
    """What is done in a turn: kind, method, path and body."""
    made = of(number, patient, changed) | {"id": ids[number]}
    path = f"/fhir/Consent/{ids[number]}"
    return [
        (WITHDRAWN, "PUT", path, made | {"status": "inactive"}),
        (CHANGED, "PUT", path, made),
        (
            WRITTEN,
            "POST",
            "/fhir/Observation",
            {
                "resourceType": "Observation",
                "status": "final",
                "code": {"text": "A word of the survivor's"},
                "subject": {"reference": f"Patient/{patient}"},
            },
        ),
    ]


def run(
    consents: int = CONSENTS, rows: int = ROWS, others: int = OTHERS, times: int = 20
) -> Recompiled:
    """Measure in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="tl-recompile-") as folder:
        Path(folder).chmod(0o711)
        store = Path(folder) / "store"
        return asyncio.run(measure(store, consents=consents, rows=rows, others=others, times=times))


def main() -> int:
    """Print the times; 1 where the slowest change or withdrawal took a second or more."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--consents", type=int, default=CONSENTS)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--others", type=int, default=OTHERS, help="rows of other people")
    parser.add_argument("--times", type=int, default=20)
    given = parser.parse_args()
    found = run(given.consents, given.rows, given.others, given.times)
    print(
        f"{given.consents} Consents, {given.rows:,} rows of the survivor among "
        f"{given.rows + given.others:,}; {found.grants} grants"
    )
    for kind in found.milliseconds:
        print(f"  {found.told(kind)}")
    return int(max(*found.milliseconds[CHANGED], *found.milliseconds[WITHDRAWN]) >= LIMIT_MS)


if __name__ == "__main__":
    raise SystemExit(main())
