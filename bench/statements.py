"""The service's own statements, taken from it as it runs them, and timed with and without consent.

`Recorder` listens to what storage sends. `unchecked` is the same text with every consent predicate taken out,
run as a role that no policy binds: what a store without consent would do. `checked` has the predicate but no
policy; `walls` is what the service really runs: entered as the caller, predicate and row-level security.
"""

from __future__ import annotations

import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, cast

import asyncpg

from app.consent.model import Action
from app.consent.purposes import purpose_bit
from app.fhir_mappings import registry
from app.interactions.search import SearchRules, search_type
from app.storage import predicate, resources
from app.storage.database import FEW, Caller, Database, OneRow, entered
from app.storage.identities import Identity, resolve_caller
from app.storage.resources import Stored
from bench.cluster import Cluster
from bench.load import Plan
from bench.pairs import Times, in_turns
from bench.report import Figure

_ALIAS: Final = re.compile(r"CASE WHEN (\w+)\.patient IS NULL")
_COUNT: Final = re.compile(
    r"SELECT \((.*)\) \+ \((SELECT .*) AND \(d\.patient IS NULL OR .*?\)\) AS matches", re.DOTALL
)
_TYPES: Final = ("bigint[]", "bigint[]", "bigint", "bigint", "integer", "bigint")
UNUSED: Final = "WITH caller AS (SELECT {})".format(
    ", ".join(f"${n}::{sql_type}" for n, sql_type in enumerate(_TYPES, start=1))
)

_RULES: Final = SearchRules(
    base_url="http://127.0.0.1:8000/fhir",
    strict=True,
    default_count=50,
    max_count=1_000,
    cursor_key=bytes(32),
)


@dataclass(frozen=True, slots=True)
class Statement:
    """The body of one entered SELECT, with its own arguments."""

    body: str | OneRow
    arguments: tuple[Any, ...]
    by_key: bool
    record: str | None


class Recorder:
    """A Reader that runs what it is given and remembers it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.heard: list[Statement] = []

    @property
    def searches(self) -> Recorder:
        """Searches are heard like everything else."""
        return self

    async def fetch(
        self,
        caller: Caller,
        body: str | OneRow,
        *arguments: Any,
        action: Action = Action.READ,
        by_key: bool = False,
        planned: bool = False,
        record: str | None = None,
    ) -> list[asyncpg.Record]:
        """Run, and remember."""
        self.heard.append(Statement(body, arguments, by_key or planned, record))
        return await self._database.fetch(
            caller, body, *arguments, action=action, by_key=by_key, planned=planned, record=record
        )


def without_predicate(body: str) -> str:
    """The statement with every consent predicate replaced by true, and a count in one part again."""
    counted = _COUNT.fullmatch(body)
    body = (counted[2] if counted else body).replace(predicate.keyed_for_query("x"), "true")
    for alias in set(_ALIAS.findall(body)):
        for record in (True, False):
            body = body.replace(predicate.for_query(alias, record=record), "true")
    if "consent_grant" in body:
        raise ValueError("a predicate of another form is left in the statement")
    return body


def alone(body: str) -> str:
    """A body as a statement that takes the caller's parameters, used or not."""
    return f"{UNUSED} SELECT * FROM ({body}) AS body"


def _unpoliced(body: str | OneRow) -> str:
    """A body over the tables themselves: the views are under a wall of their own, whoever asks."""
    text = str(body).replace(f"FROM {predicate.BY_KEY} x", "FROM tl.resource x")
    return text.replace(f"FROM {predicate.OTHERS} d", "FROM tl.index_token d")


def _unchecked(statement: Statement) -> str:
    return alone(without_predicate(_unpoliced(statement.body)))


def _checked(statement: Statement) -> str:
    # What a predicate looks up for a whole record, the entry does: that is a part of its cost.
    if statement.record is None:
        return alone(_unpoliced(statement.body))
    return _walls(statement)


def _walls(statement: Statement) -> str:
    return entered(statement.body, statement.record)


Run = Callable[[Statement], Awaitable[Sequence[asyncpg.Record]]]


@dataclass(slots=True)
class Bench:
    """An opened store: the caller of the measurements, and a connection of either role."""

    plan: Plan
    database: Database
    caller: Caller
    owners: Mapping[bool, asyncpg.Connection]
    services: Mapping[bool, asyncpg.Connection]
    """By whether a statement is planned once, or for its values."""

    @property
    def owner(self) -> asyncpg.Connection:
        """A connection that no policy binds."""
        return self.owners[False]

    async def read(self, type_: str, id_: str) -> Stored | None:
        """As the service reads."""
        return await resources.read(self.database, self.caller, registry.type_code(type_), id_)

    async def heard(self, work: Callable[[Recorder], Awaitable[object]]) -> list[Statement]:
        """What storage sends while it does `work`."""
        recorder = Recorder(self.database)
        await work(recorder)
        return recorder.heard

    async def searched(self, type_: str, text: str) -> list[Statement]:
        """What storage sends for one search by `name=value` pairs joined by `&`."""
        pairs = [(n, v) for n, _, v in (each.partition("=") for each in text.split("&"))]
        recorder = Recorder(self.database)
        # A search needs of the database no more than what the recorder gives.
        await search_type(cast(Database, recorder), self.caller, type_, pairs, _RULES)
        return recorder.heard

    def runs(self) -> dict[str, Run]:
        """Ways to run a statement: unchecked, checked, walls."""
        first = self.caller.parameters()

        def way(
            connections: Mapping[bool, asyncpg.Connection], text: Callable[[Statement], str]
        ) -> Run:
            texts: dict[str | OneRow, str] = {}

            async def run(statement: Statement) -> Sequence[asyncpg.Record]:
                found = texts.get(statement.body)
                if found is None:
                    found = texts[statement.body] = text(statement)
                rows: Sequence[asyncpg.Record] = await connections[statement.by_key].fetch(
                    found, *first, *statement.arguments
                )
                return rows

            return run

        return {
            "unchecked": way(self.owners, _unchecked),
            "checked": way(self.owners, _checked),
            "walls": way(self.services, _walls),
        }

    async def compare_all(
        self, works: Sequence[list[Statement]], best_of: int = 3
    ) -> Times[list[Statement]]:
        """Time pieces of work, each of some statements, by every way, in turns."""

        def way(run: Run) -> Callable[[list[Statement]], Awaitable[None]]:
            async def each(statements: list[Statement]) -> None:
                for statement in statements:
                    await run(statement)

            return each

        runs = {name: way(run) for name, run in self.runs().items()}
        return await in_turns(works, runs, warm=2, best_of=best_of)

    async def read_figures(self, reads: Sequence[tuple[str, str]]) -> list[Figure]:
        """A read in SQL: the predicate, and both walls, over no check."""
        statements = [
            await self.heard(
                lambda r, t=type_, i=id_: resources.read(  # type: ignore[misc]
                    r, self.caller, registry.type_code(t), i
                )
            )
            for type_, id_ in reads
        ]
        times = await self.compare_all(statements)
        return figures("read", times, 1.25, 1.6)

    async def patient_search_figures(self, count: int) -> list[Figure]:
        """A search of fifty of one patient's resources, likewise."""
        draw = random.Random(11)
        statements: list[list[Statement]] = []
        while len(statements) < count:
            patient = self.plan.id(0, draw.randrange(self.plan.patients))
            if await self.read("Patient", patient) is not None:
                statements.append(
                    await self.searched("Observation", f"patient={patient}&_count=50")
                )
        times = await self.compare_all(statements)
        return figures("patient search of 50", times, 1.25, 1.6)


def figures(name: str, times: Times[list[Statement]], checked: float, walls: float) -> list[Figure]:
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
    owners, services = [
        {
            once: await asyncpg.connect(
                url,
                server_settings={
                    "search_path": "tl",
                    "plan_cache_mode": "force_generic_plan" if once else "force_custom_plan",
                    **(FEW if once else {}),
                },
            )
            for once in (True, False)
        }
        for url in (made.owner_url, made.service_url)
    ]
    identity = Identity(plan.organizations[0], None, None)
    caller = await resolve_caller(
        database.pool, identity, purpose=purpose_bit("TREAT"), emergency=False
    )
    try:
        yield Bench(plan, database, caller, owners, services)
    finally:
        for connection in (*owners.values(), *services.values()):
            await connection.close()
        await database.close()
