"""The service's own statements, taken from it as it runs them, and timed with and without consent.

`Recorder` listens to what storage sends. `unchecked` is the same text with every consent predicate taken out,
run as a role that no policy binds: what a store without consent would do. `checked` has the predicate but no
policy; `walls` is what the service really runs: entered as the caller, predicate and row-level security.
"""

from __future__ import annotations

import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import asyncpg

from app.consent.model import Action
from app.consent.purposes import purpose_bit
from app.fhir_mappings import registry
from app.fhir_mappings.search_query import SearchQuery, parse
from app.storage import predicate, resources, search_sql
from app.storage.database import Caller, Database, entered
from app.storage.identities import Identity, resolve_caller
from app.storage.resources import Stored
from bench.cluster import Cluster
from bench.load import Plan
from bench.pairs import Times, in_turns
from bench.report import Figure

_ALIAS: Final = re.compile(r"CASE WHEN (\w+)\.patient IS NULL")
_TYPES: Final = ("bigint[]", "bigint[]", "bigint", "bigint", "integer", "bigint")
_UNUSED: Final = "WITH caller AS (SELECT {})".format(
    ", ".join(f"${n}::{sql_type}" for n, sql_type in enumerate(_TYPES, start=1))
)


@dataclass(frozen=True, slots=True)
class Statement:
    """The body of one entered SELECT, with its own arguments."""

    body: str
    arguments: tuple[Any, ...]
    by_key: bool


class Recorder:
    """A Reader that runs what it is given and remembers it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.heard: list[Statement] = []

    async def fetch(
        self,
        caller: Caller,
        body: str,
        *arguments: Any,
        action: Action = Action.READ,
        by_key: bool = False,
    ) -> list[asyncpg.Record]:
        """Run, and remember."""
        self.heard.append(Statement(body, arguments, by_key))
        return await self._database.fetch(caller, body, *arguments, action=action, by_key=by_key)


def without_predicate(body: str) -> str:
    """The statement with every consent predicate replaced by true."""
    for alias in set(_ALIAS.findall(body)):
        body = body.replace(predicate.for_query(alias), "true")
    if "consent_grant" in body:
        raise ValueError("a predicate of another form is left in the statement")
    return body


Run = Callable[[Statement], Awaitable[Sequence[asyncpg.Record]]]


@dataclass(slots=True)
class Bench:
    """An opened store: the caller of the measurements, and a connection of either role."""

    plan: Plan
    database: Database
    caller: Caller
    owner: asyncpg.Connection
    service: asyncpg.Connection

    async def read(self, type_: str, id_: str) -> Stored | None:
        """As the service reads."""
        return await resources.read(self.database, self.caller, registry.type_code(type_), id_)

    async def heard(self, work: Callable[[Recorder], Awaitable[object]]) -> list[Statement]:
        """What storage sends while it does `work`."""
        recorder = Recorder(self.database)
        await work(recorder)
        return recorder.heard

    def query(self, type_: str, text: str) -> SearchQuery:
        """A parsed search, `name=value` pairs joined by `&`."""
        pairs = [(n, v) for n, _, v in (each.partition("=") for each in text.split("&"))]
        return parse(type_, pairs, strict=True, base_urls=(), max_count=1_000, default_count=50)

    async def page(self, type_: str, text: str) -> Statement:
        """The statement of a search's first page."""
        query = self.query(type_, text)
        (statement,) = await self.heard(
            lambda reader: search_sql.page(reader, self.caller, query, 0)
        )
        return statement

    def runs(self) -> dict[str, Run]:
        """Ways to run a statement: unchecked, checked, walls."""
        first = self.caller.parameters()

        def way(connection: asyncpg.Connection, text: Callable[[str], str]) -> Run:
            texts: dict[str, str] = {}

            async def run(statement: Statement) -> Sequence[asyncpg.Record]:
                found = texts.get(statement.body)
                if found is None:
                    found = texts[statement.body] = text(statement.body)
                rows: Sequence[asyncpg.Record] = await connection.fetch(
                    found, *first, *statement.arguments
                )
                return rows

            return run

        return {
            "unchecked": way(self.owner, lambda b: f"{_UNUSED} {without_predicate(b)}"),
            "checked": way(self.owner, lambda b: f"{_UNUSED} {b}"),
            "walls": way(self.service, entered),
        }

    async def compare(self, statements: Sequence[Statement], best_of: int = 3) -> Times[Statement]:
        """Time the statements by every way, in turns."""
        return await in_turns(statements, self.runs(), best_of=best_of)

    async def read_figures(self, reads: Sequence[tuple[str, str]]) -> list[Figure]:
        """A read in SQL: the predicate, and both walls, over no check."""
        statements = [
            statement
            for type_, id_ in reads
            for statement in await self.heard(
                lambda r, t=type_, i=id_: resources.read(  # type: ignore[misc]
                    r, self.caller, registry.type_code(t), i
                )
            )
        ]
        times = await self.compare(statements)
        return figures("read", times, 1.25, 1.6)

    async def patient_search_figures(self, count: int = 150) -> list[Figure]:
        """A search of fifty of one patient's resources, likewise."""
        draw = random.Random(11)
        statements: list[Statement] = []
        while len(statements) < count:
            patient = self.plan.id(0, draw.randrange(self.plan.patients))
            if await self.read("Patient", patient) is not None:
                statements.append(await self.page("Observation", f"patient={patient}&_count=50"))
        times = await self.compare(statements)
        return figures("patient search of 50", times, 1.25, 1.6)


def figures(name: str, times: Times[Statement], checked: float, walls: float) -> list[Figure]:
    """The two ratios of a statement, with what they should be."""
    made = []
    for way, most, said in (("checked", checked, "predicate"), ("walls", walls, "both walls")):
        ratio = times.ratio(way, "unchecked")
        made.append(
            Figure(
                f"{name}: {said} ÷ unchecked",
                ratio,
                f"≤ {most}",
                ratio <= most,
                f"p50 {times.p50(way):.3f} ms ÷ {times.p50('unchecked'):.3f} ms",
            )
        )
    return made


@asynccontextmanager
async def opened(made: Cluster, plan: Plan) -> AsyncIterator[Bench]:
    """Connect to a store as the caller of the measurements."""
    database = await Database.open(
        made.service_url, minimum=1, maximum=2, statement_timeout_ms=60_000
    )
    # Searches are planned for their values, as the service does.
    options = {"search_path": "tl", "plan_cache_mode": "force_custom_plan"}
    owner = await asyncpg.connect(made.owner_url, server_settings=options)
    service = await asyncpg.connect(made.service_url, server_settings=options)
    identity = Identity(plan.organizations[0], None, None)
    caller = await resolve_caller(
        database.pool, identity, purpose=purpose_bit("TREAT"), emergency=False
    )
    try:
        yield Bench(plan, database, caller, owner, service)
    finally:
        await owner.close()
        await service.close()
        await database.close()
