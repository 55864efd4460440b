"""Writers that never rest, and what was acknowledged to them."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import asyncpg
import httpx
import psycopg

from app.storage.audit_chain import verify
from tests.commands.program import Served, throughline

WRITERS = 16
WRITES = int(os.environ.get("TL_CHAOS_WRITES", "200"))
"""Acknowledged writes before the blow falls; `make chaos` takes 10,000."""

PATIENCE = 300 + WRITES // 4
"""Seconds until that many must have been acknowledged, on a machine that does other things as well."""


@dataclass
class Acknowledged:
    """What the service said it has done: ids by the id of the request that made them."""

    made: dict[str, str] = field(default_factory=dict)
    reads: set[str] = field(default_factory=set)

    async def gather(self, base: str, token: str, blow: asyncio.Event) -> None:
        """Write and read until the service is gone; sets `blow` once there are enough."""
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=base, headers=headers, timeout=10) as http:
            await asyncio.gather(*(self._write(http, blow) for _ in range(WRITERS)))

    async def _write(self, http: httpx.AsyncClient, blow: asyncio.Event) -> None:
        while True:
            name = str(uuid4())
            try:
                answer = await http.post(
                    "/Patient",
                    json={"resourceType": "Patient", "name": [{"family": "Sample"}]},
                    headers={"X-Request-Id": name},
                )
                if answer.status_code == 201:
                    self.made[name] = answer.json()["id"]
                    read = str(uuid4())
                    seen = await http.get(
                        f"/Patient/{self.made[name]}", headers={"X-Request-Id": read}
                    )
                    if seen.status_code == 200:
                        self.reads.add(read)
            except httpx.HTTPError:
                return
            if len(self.made) >= WRITES:
                blow.set()


def client(state: Path, served: Served) -> str:
    """The secret of a client registered anew."""
    added = throughline(
        state, "client", "add", "--name", "writer", "--organization", "river", **served.settings
    )
    assert added.returncode == 0, added.stderr
    return added.stdout.strip()


def token(served: Served, secret: str) -> str:
    """A bearer token for the client."""
    form = {"grant_type": "client_credentials", "client_id": "writer", "client_secret": secret}
    answer = httpx.post(f"{served.base.removesuffix('/fhir')}/oauth/token", data=form, timeout=30)
    return str(answer.json()["access_token"])


def postmaster(process: subprocess.Popen[str]) -> int:
    """The PostgreSQL that the service started."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if parent == process.pid and b"postgres" in command:
            return int(entry.name)
    raise AssertionError("the service has no PostgreSQL of its own")


async def check_everything(state: Path, acknowledged: Acknowledged) -> None:
    """Every acknowledged write is there, whole, with its audit row; and the audit's chain holds."""
    url = json.loads((state / "running.json").read_text())["url"]
    where = url.rpartition("@")[2]
    with psycopg.connect(f"postgresql://throughline@{where}") as owner:
        ids = {row[0] for row in owner.execute("SELECT id FROM tl.resource")}
        assert set(acknowledged.made.values()) <= ids
        audited = {str(row[0]) for row in owner.execute("SELECT request_id FROM tl.audit_event")}
        assert set(acknowledged.made) | acknowledged.reads <= audited
        half = owner.execute(
            "SELECT count(*) FROM tl.resource r WHERE NOT deleted AND (NOT EXISTS "
            "(SELECT FROM tl.index_token t WHERE t.rid = r.rid) OR (patient IS NOT NULL AND NOT EXISTS "
            "(SELECT FROM tl.consent_grant g WHERE g.patient = r.patient)))"
        ).fetchone()
        assert half == (0,)
    connection = await asyncpg.connect(f"postgresql://throughline@{where}")
    try:
        assert (await verify(connection)).broken is None
    finally:
        await connection.close()
