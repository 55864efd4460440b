"""Pools and sessions: how the service reaches PostgreSQL, always as somebody.

A `Caller` holds what `tl.enter` takes. A `WriteSession` is one transaction entered as a caller; reads are
single statements that enter by themselves (docs/decisions/0001-the-spine.md, "One statement a read").
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from time import perf_counter
from typing import Any, Final, NewType, Protocol, TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from app import metrics
from app.consent.model import ANYONE, CUSTODIAN, EMERGENCY, Action
from app.errors import FhirError, IssueCode, fhir_error
from app.storage import predicate
from app.storage.grouped_reads import GroupedReads, Key
from app.storage.lanes import Lanes
from app.storage.scope_sql import ReadScope, narrowed
from app.storage.traced import TracedConnection

LANES: Final = 12
"""Connections of a process that serve reads by key."""

PLANNED: Final = 6
"""Connections of a process for searches that are planned once: apart, so that no read waits for them."""

LOST: Final = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)
"""What is raised where the database cannot be asked."""

_CLOSING_SECONDS: Final = 10.0

FEW: Final = dict.fromkeys(("enable_seqscan", "enable_hashjoin", "enable_mergejoin"), "off")
"""Of what is planned once: few rows by an index, whatever a plan for any value may think of how many."""

Pool: TypeAlias = asyncpg.Pool
Executor: TypeAlias = asyncpg.Pool | PoolConnectionProxy
"""The service's connections."""

Connection: TypeAlias = asyncpg.Connection
"""One connection, outside the pool."""

WriteConnection = NewType("WriteConnection", PoolConnectionProxy)
"""A connection inside a transaction that has entered as a caller."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as the database needs it; made from verified claims only (`app.security.caller`).

    closure, deny_closure: identities for permits, and widened for denies. purpose: one bit.
    organization: the caller's custodianship, None for a survivor's own app.
    epoch: the directory epoch at which the closures were computed. privacy_officer: the token says so.
    person: the Patient or RelatedPerson whose own app asks, None for an organization's client.
    scope: what the access token leaves to be read; None leaves everything that the caller may see.
    """

    closure: tuple[int, ...]
    deny_closure: tuple[int, ...]
    purpose: int
    organization: int | None
    epoch: int
    privacy_officer: bool = False
    person: int | None = None
    scope: ReadScope | None = None

    def parameters(self, action: Action = Action.READ) -> tuple[Any, ...]:
        """The first statement parameters, $1 to $6."""
        return (
            self.closure,
            self.deny_closure,
            predicate.need(self.purpose, int(action)),
            self.organization,
            int(action),
            self.epoch,
        )


class StaleClosure(Exception):  # noqa: N818 - a signal to compute the closure again, not an error
    """Memberships changed since the caller's closure was computed."""


class WriteCollision(StaleClosure):
    """Two transactions waited for each other: this one was undone, and may be done again."""


class Reader(Protocol):
    """Whatever runs an entered SELECT: the pool, or a transaction that sees its own writes."""

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
        """See `Database.fetch`."""
        ...


@dataclass(frozen=True, slots=True)
class OneRow:
    """A SELECT of at most one row, `x`, in parts; as text it is an ordinary body.

    columns: not null where the row is, `x.rid` at least; source: a table; condition: with the predicate.
    """

    columns: str
    source: str
    condition: str

    def __str__(self) -> str:
        return f"SELECT {self.columns} FROM {self.source} x WHERE {self.condition}"


@lru_cache(maxsize=512)
def entered(body: str | OneRow, record: str | None = None) -> str:
    """The statement that sets the caller and then runs `body`, as one round trip.

    record: see `predicate.entry`.
    """
    if isinstance(body, OneRow):
        # One row is joined as it stands: sub-selects around it would copy it twice. The join is a loop that
        # asks the entry first; were it not, the policies would see no caller, and the caller no row.
        return (
            f"SELECT entry.fresh, x.rid IS NOT NULL AS there, {body.columns} "
            f"FROM {predicate.entry(record)} AS entry(fresh) "
            f"LEFT JOIN {body.source} x ON entry.fresh AND {body.condition}"
        )
    # The LATERAL sub-select refers to the entry, so that it cannot run before it, nor for a stale caller.
    return (
        f"SELECT entry.fresh, found.* FROM {predicate.entry(record)} AS entry(fresh) "
        f"LEFT JOIN LATERAL (SELECT true AS there, inside.* FROM ({body}) AS inside "
        "WHERE entry.fresh OFFSET 0) AS found ON true"
    )


def _entered_within(body: str | OneRow) -> str:
    """The same inside a transaction, for which a directory that it has itself changed is not stale."""
    return (
        f"SELECT entry.fresh, found.* FROM {predicate.ENTER} AS entry(fresh) "
        f"LEFT JOIN LATERAL (SELECT true AS there, inside.* FROM ({body}) AS inside "
        "WHERE entry.fresh IS NOT NULL OFFSET 0) AS found ON true"
    )


_Asked: TypeAlias = tuple[tuple[OneRow, ...], tuple[str, ...], Caller]
"""What a group of reads is run with: see `Database.fetch_grouped`."""


class Database:
    """The service's connections. `open` before use, `close` at the end.

    pool: for writing and administration. Searches have a pool of their own, where each is planned for its
    values: a plan for any value took 50 times as long where the caller sees nothing. Reads by key have lanes
    of their own, where a plan is made once: planning took three times as long as reading.
    """

    def __init__(
        self, pool: asyncpg.Pool, searching: asyncpg.Pool, keyed: Lanes, planned: Lanes
    ) -> None:
        self.pool = pool
        self._searching = searching
        self._keyed = keyed
        self._planned = planned
        self._grouped: GroupedReads[_Asked, asyncpg.Record] = GroupedReads(self._group)

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        minimum: int,
        maximum: int,
        statement_timeout_ms: int,
        traced: bool = False,
    ) -> Database:
        """Connect; no reset query between uses, because settings are local to a statement.

        minimum, maximum: connections of the pool; of searches as many at most, and `LANES` for reads by key.
        traced: whether each statement is a span (`app.tracing`).
        """

        def pool(
            least: int, most: int, plans: str, more: Mapping[str, str] | None = None
        ) -> asyncpg.Pool:
            return asyncpg.create_pool(
                url,
                min_size=least,
                max_size=most,
                reset=_no_reset,
                connection_class=TracedConnection if traced else asyncpg.Connection,
                server_settings={
                    "statement_timeout": str(statement_timeout_ms),
                    "search_path": "tl",
                    "timezone": "UTC",
                    "application_name": "throughline",
                    "plan_cache_mode": plans,
                    # Where PostgreSQL has a compiler, it took longer to compile a predicate than to ask it.
                    "jit": "off",
                    **(more or {}),
                },
            )

        writing = await pool(minimum, maximum, "auto")
        searching = await pool(0, maximum, "force_custom_plan")
        keyed = await pool(0, LANES, "force_generic_plan", FEW)
        planned = await pool(0, PLANNED, "force_generic_plan", FEW)
        return cls(
            writing, searching, Lanes(keyed, LANES, "reads"), Lanes(planned, PLANNED, "searches")
        )

    async def close(self) -> None:
        """Close all connections; what does not come back in time is cut off."""
        for each in (self._planned, self._keyed, self._searching, self.pool):
            # asyncpg cuts the connections off where its closing is cancelled.
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLOSING_SECONDS):
                    await each.close()

    async def answers(self, seconds: float = 3.0) -> bool:
        """Whether a statement gets through within `seconds`, the wait for a connection included."""
        try:
            async with asyncio.timeout(seconds):
                return bool(await self.pool.fetchval("SELECT true"))
        except LOST:
            return False

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
        """Run one entered SELECT; `body` is a sub-select whose own parameters begin at $7.

        by_key: it finds few rows by a unique key, so that one plan fits all values. planned:
        it is a search for which there is but one way. record: a scalar
        sub-select that names the Patient whose record is read, for speed (`predicate.entry`). StaleClosure
        where memberships changed.
        """
        run = self._keyed.fetch if by_key else self._planned.fetch if planned else self._search
        text, values = entered(body, record), (*caller.parameters(action), *arguments)
        if caller.scope is not None:
            # One plan for all values is made for the statement as it stands: not for one narrowed.
            run = self._search
            text, values = narrowed(text, caller.scope, values)
        rows: list[asyncpg.Record] = await run(text, *values)
        if not rows[0]["fresh"]:
            raise StaleClosure
        return rows if rows[0]["there"] else []

    async def _search(self, text: str, *values: Any) -> list[asyncpg.Record]:
        async with _lent(self._searching, "searches") as connection:
            rows: list[asyncpg.Record] = await connection.fetch(text, *values)
            return rows

    def connections(self) -> Iterator[tuple[str, int, int]]:
        """(name, open, free) of each pool."""
        yield "writes", self.pool.get_size(), self.pool.get_idle_size()
        opened, free = self._planned.connections
        searching = self._searching
        yield "searches", searching.get_size() + opened, searching.get_idle_size() + free
        yield "reads", *self._keyed.connections

    async def fetch_grouped(
        self, caller: Caller, alone: tuple[OneRow, ...], several: tuple[str, ...], key: Key
    ) -> asyncpg.Record | None:
        """The row of one (type code, id), read together with what else this caller reads at the moment.

        alone: as for `fetch`, over type $7::smallint and id $8::text, for what is read alone. several: over
        types $7::smallint[] and ids $8::text[]; a row's `place` counts from 1. Each of either is asked for what
        those before it have not found. StaleClosure: memberships changed.
        """
        # By identity, which one token's requests share; while a group waits it holds its caller.
        group = (several, id(caller))
        return await self._grouped.read((alone, several, caller), group, key)

    async def _group(self, asked: _Asked, keys: Sequence[Key]) -> list[tuple[int, asyncpg.Record]]:
        alone, several, caller = asked
        if len(keys) == 1:
            for one in alone:
                if rows := await self.fetch(caller, one, *keys[0], by_key=True):
                    return [(0, rows[0])]
            return []
        found: list[tuple[int, asyncpg.Record]] = []
        left = list(range(len(keys)))
        for body in several:
            types, ids = [keys[place][0] for place in left], [keys[place][1] for place in left]
            rows = await self.fetch(caller, body, types, ids, by_key=True)
            found += [(left[row["place"] - 1], row) for row in rows]
            if len(rows) == len(left):
                break
            there = {place for place, _ in found}
            left = [place for place in left if place not in there]
        return found

    @asynccontextmanager
    async def write(self, caller: Caller) -> AsyncIterator[WriteConnection]:
        """One transaction as this caller: commits at the end of the block, rolls back on an error.

        WriteCollision where the database ended it because another waited for it in a circle.
        """
        try:
            async with _lent(self.pool, "writes") as connection, connection.transaction():
                fresh = await connection.fetchval(
                    f"SELECT {predicate.ENTER}", *caller.parameters(Action.READ)
                )
                if not fresh:
                    raise StaleClosure
                yield WriteConnection(connection)
        except asyncpg.DeadlockDetectedError as error:
            raise WriteCollision from error


class TransactionReader:
    """Entered SELECTs inside a write transaction: they see what it has written so far."""

    def __init__(self, connection: WriteConnection, *, answering: bool = False) -> None:
        """answering: what is found goes to the caller, and so no further than the token's scopes.

        Else it serves a rule: what one must know of a record to let it be written is no answer.
        """
        self._connection = connection
        self._answering = answering

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
        """As `Database.fetch`; memberships that the transaction itself has written are no staleness."""
        text, values = _entered_within(body), (*caller.parameters(action), *arguments)
        if self._answering:
            text, values = narrowed(text, caller.scope, values)
        rows = await self._connection.fetch(text, *values)
        if not rows[0]["fresh"] and not await self._moved_here():
            raise StaleClosure
        return rows if rows[0]["there"] else []

    async def _moved_here(self) -> bool:
        return bool(
            await self._connection.fetchval(
                "SELECT xmin = pg_current_xact_id()::xid FROM tl.directory_epoch"
            )
        )


@asynccontextmanager
async def _lent(pool: asyncpg.Pool, name: str) -> AsyncIterator[PoolConnectionProxy]:
    """A connection of the pool; where none is free, the wait for one is measured."""
    begun = None if pool.get_idle_size() else perf_counter()
    async with pool.acquire() as connection:
        if begun is not None:
            metrics.POOL_WAIT.labels(name).observe(perf_counter() - begun)
        yield connection


async def _no_reset(_: asyncpg.Connection) -> None:
    return None


def base_closure(
    rids: Sequence[int], *, has_organization: bool, emergency: bool
) -> tuple[int, ...]:
    """The identities every caller has besides its own rids."""
    extra = [int(ANYONE)]
    if has_organization:
        extra.append(int(CUSTODIAN))
    if emergency:
        extra.append(int(EMERGENCY))
    return tuple(sorted({*rids, *extra}))


def refusal(error: Exception) -> FhirError | None:
    """The FHIR answer to a database that is busy or slow; None for an error that is a fault of ours."""
    match error:
        case asyncpg.QueryCanceledError():
            return fhir_error(IssueCode.TOO_COSTLY, "The request takes too long; narrow it.")
        case asyncpg.CharacterNotInRepertoireError() | asyncpg.UntranslatableCharacterError():
            return fhir_error(
                IssueCode.INVALID, "The request holds a character that no text may hold (U+0000)."
            )
        case (
            TimeoutError()
            | ConnectionError()
            | FileNotFoundError()  # the socket of a server that is not there
            | asyncpg.TooManyConnectionsError()
            | asyncpg.PostgresConnectionError()
            | asyncpg.OperatorInterventionError()
        ):
            return _busy()
        case asyncpg.InterfaceError() if "connection" in str(error):
            # The connection was lost, and asyncpg noticed in the midst of something else.
            return _busy()
        case asyncpg.InternalClientError():
            # So it calls, too, a connection whose server said goodbye while it lay idle.
            return _busy()
        case _:
            return None


def _busy() -> FhirError:
    return fhir_error(
        IssueCode.TRANSIENT,
        "The service is busy; try again in a moment.",
        headers=(("Retry-After", "1"),),
    )
