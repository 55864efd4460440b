"""Each place at which a statement asks the predicate, alone, with no policy beneath it.

The statements run as the database's owner, whom no policy binds, over views that bind nobody. Each case puts
what leads to an answer and hides one row of it, or none; `tools/mutants.py` takes away the places one by one
and sees to it that the case of each notices.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import psycopg
import pytest

from app.consent import labels
from app.fhir_mappings import canonicals, registry, search_keys
from app.fhir_mappings.search_clauses import (
    ChainClause,
    Clause,
    CompositeClause,
    HierarchyClause,
    IdClause,
    NearClause,
    StringClause,
    TextClause,
    TokenClause,
)
from app.fhir_mappings.search_query import Include, SearchQuery, SortKey
from app.storage import (
    audit_entries,
    canonical,
    disclosures,
    emergency,
    everything,
    history,
    notes,
    person,
    predicate,
    receivers,
    resources,
    reviews,
    search_include,
    search_sql,
)
from app.storage.audit_entries import AuditQuery
from app.storage.database import Database as Opened
from app.storage.database import TransactionReader
from app.storage.identities import Identity
from app.storage.migrate import SURVIVOR_TABLES
from tests.conftest import Database
from tests.consent.rows import (
    AUDIT,
    CALLER,
    CUSTODIAN,
    DAY,
    ENTRY,
    GRANTEE,
    HASH,
    INDEX,
    NORMAL,
    NOW,
    OTHER,
    PATIENT,
    ROW,
    SECRET,
    SHARED,
    TYPE,
    grant,
    insert,
)

NAME = registry.type_name(TYPE)
ASKING = replace(CALLER, epoch=5)
THERE, BEYOND, CONSENT = 200, 201, 400
LINKED, NAMING, NAMED, CLIMBING = 55, 61, 62, 82
DRIVING = search_keys.parameter_key(NAME, "")
URL = "urn:x:definition"


@pytest.fixture(scope="module")
def views_of_all(conditions: Database) -> None:
    """Views by which a policy is asked show all that their tables hold."""
    with psycopg.connect(conditions.admin_url, autocommit=True) as connection:
        connection.execute(f"ALTER VIEW {predicate.BY_KEY} OWNER TO CURRENT_USER".encode())
        connection.execute("DROP VIEW tl.others_token")
        connection.execute("CREATE VIEW tl.others_token AS SELECT d.* FROM tl.index_token d")


@pytest.fixture
async def bare(conditions: Database, views_of_all: None) -> AsyncIterator[Opened]:
    """The service's way in, without the wall beneath."""
    opened = await Opened.open(
        conditions.admin_url, minimum=1, maximum=2, statement_timeout_ms=5000
    )
    yield opened
    await opened.close()


@dataclass
class Put:
    """Puts rows. hiding: those that are named so are hidden from the caller."""

    owner: psycopg.Connection[Any]
    hiding: bool

    def _labels(self, hidden: bool) -> int:
        return NORMAL | (SECRET if hidden and self.hiding else 0)

    def resource(self, rid: int = ROW, *, hidden: bool = False, **more: Any) -> None:
        row = ENTRY | {"rid": rid, "id": f"x{rid}", "labels": self._labels(hidden)}
        insert(self.owner, "resource", row | more)

    def version(self, number: int, *, hidden: bool = False, **more: Any) -> None:
        own = {"refs": [], "authors": [], "version": number, "labels": self._labels(hidden)}
        insert(self.owner, "resource_history", ENTRY | own | more)

    def index(self, kind: str, rid: int = ROW, *, hidden: bool = False, **more: Any) -> None:
        row = {name: ENTRY[name] for name in SHARED} | INDEX[f"index_{kind}"]
        own = {"rid": rid, "labels": self._labels(hidden)}
        insert(self.owner, f"index_{kind}", row | own | more)

    def link(
        self, source: int, target: int, parameter: int = LINKED, *, hidden: bool = False
    ) -> None:
        names = ("source", "target", "parameter", "climbs", "author", "inline_mask")
        mask = SECRET if hidden and self.hiding else None
        values = (source, target, parameter, False, False, mask)
        insert(self.owner, "link", dict(zip(names, values, strict=True)))

    def driven(self, *rids: int) -> None:
        """Resources that a search of their type walks."""
        for rid in rids or (ROW,):
            self.resource(rid)
            self.index("token", rid, hash=DRIVING)


Ask = Callable[[Opened], Awaitable[Any]]
Place = tuple[Callable[[Put], None], Ask]
PLACES: dict[str, Place] = {}


def place(name: str, ask: Ask) -> Callable[[Callable[[Put], None]], Callable[[Put], None]]:
    """A case: what is put, and a question whose answer is true where the row is not hidden."""

    def kept(put: Callable[[Put], None]) -> Callable[[Put], None]:
        PLACES[name] = (put, ask)
        return put

    return kept


def query(*clauses: Clause, sort: tuple[SortKey, ...] = ()) -> SearchQuery:
    return SearchQuery((NAME,), clauses, 10, sort)


def page(*clauses: Clause) -> Ask:
    async def ask(bare: Opened) -> bool:
        found = await search_sql.page(bare, ASKING, query(*clauses))
        return [each.rid for each in found] == [ROW]

    return ask


def count(*clauses: Clause) -> Ask:
    async def ask(bare: Opened) -> int:
        return await search_sql.count(bare, ASKING, query(*clauses))

    return ask


def included(*, forward: bool, naming: tuple[int, ...] = (), last: int = THERE) -> Ask:
    """Whether the last is included, over others where it is not the first."""

    async def ask(bare: Opened) -> bool:
        each = [Include(NAME, "p", LINKED, iterate=last != THERE, naming=naming)]
        both = (each, []) if forward else ([], each)
        found = await search_include.included(bare, ASKING, [ROW], *both, limit=10)
        return last in {one.rid for one in found}

    return ask


def in_order(key: SortKey) -> Ask:
    async def ask(bare: Opened) -> bool:
        found = await search_sql.page(bare, ASKING, query(sort=(key,)))
        return [each.rid for each in found] == [ROW, THERE]

    return ask


@place("what is walked", page())
def _(put: Put) -> None:
    put.resource()
    put.index("token", hash=DRIVING, hidden=True)


@place("what others keep, counted", count())
def _(put: Put) -> None:
    put.resource()
    put.index("token", hash=DRIVING, hidden=True)


@place("what is walked by id", count(IdClause((f"x{ROW}",))))
def _(put: Put) -> None:
    put.resource(hidden=True)


@place("the resource of a row from an element, counted", count())
def _(put: Put) -> None:
    put.resource(hidden=True)
    put.index("token", hash=DRIVING, labels=NORMAL | labels.ELEMENT)


@place("the resource of a row from an element, on a page", page())
def _(put: Put) -> None:
    put.resource(hidden=True)
    put.index("token", hash=DRIVING, labels=NORMAL | labels.ELEMENT)


@place("a row of a clause", page(StringClause((HASH,), "exact", ("x",))))
def _(put: Put) -> None:
    put.driven()
    put.index("string", hidden=True)


@place("words", page(TextClause("content", "word")))
def _(put: Put) -> None:
    put.driven()
    put.index("text", content="word", hidden=True)


@place("the first row of a composite", page(CompositeClause(((TokenClause((HASH,)),),))))
def _(put: Put) -> None:
    put.driven()
    put.index("token", hidden=True)


@place("what a chain leads to", page(ChainClause((LINKED,), (), ())))
def _(put: Put) -> None:
    put.driven()
    put.resource(THERE, hidden=True)
    put.link(ROW, THERE)


@place("the link of a chain", page(ChainClause((LINKED,), (), ())))
def _(put: Put) -> None:
    put.driven()
    put.resource(THERE)
    put.link(ROW, THERE, hidden=True)


CALLED = ChainClause((LINKED,), (), (), naming=(NAMING,), named=(NAMED,))


@place("what names, in a chain", page(CALLED))
def _(put: Put) -> None:
    put.driven()
    put.resource(THERE)
    put.index("string", hash=NAMING, hidden=True)
    put.index("string", THERE, hash=NAMED)


@place("what is named, in a chain", page(CALLED))
def _(put: Put) -> None:
    put.driven()
    put.resource(THERE)
    put.index("string", hash=NAMING)
    put.index("string", THERE, hash=NAMED, hidden=True)


NEAR = page(NearClause(71, 72, 1.0, 1.0, 5.0))


@place("a latitude", NEAR)
def _(put: Put) -> None:
    put.driven()
    put.index("number", hash=71, hidden=True)
    put.index("number", hash=72)


@place("a longitude", NEAR)
def _(put: Put) -> None:
    put.driven()
    put.index("number", hash=71)
    put.index("number", hash=72, hidden=True)


BELOW = page(HierarchyClause((LINKED,), (CLIMBING,), TYPE, f"x{THERE}", below=True))


@place("where a hierarchy begins", BELOW)
def _(put: Put) -> None:
    put.driven()
    put.resource(THERE, hidden=True)
    put.link(ROW, THERE)


@place("a step of a hierarchy", BELOW)
def _(put: Put) -> None:
    put.driven()
    put.resource(THERE)
    put.resource(BEYOND, hidden=True)
    put.link(BEYOND, THERE, CLIMBING)
    put.link(ROW, BEYOND)


@place("the link of a step of a hierarchy", BELOW)
def _(put: Put) -> None:
    put.driven()
    put.resource(THERE)
    put.resource(BEYOND)
    put.link(BEYOND, THERE, CLIMBING, hidden=True)
    put.link(ROW, BEYOND)


@place("the link into a hierarchy", BELOW)
def _(put: Put) -> None:
    put.driven()
    put.resource(THERE)
    put.link(ROW, THERE, hidden=True)


@place("what is included", included(forward=True, last=BEYOND))
def _(put: Put) -> None:
    put.resource()
    put.resource(THERE, hidden=True)
    put.resource(BEYOND)
    put.link(ROW, THERE)
    put.link(THERE, BEYOND)


@place("what includes", included(forward=False, last=BEYOND))
def _(put: Put) -> None:
    put.resource()
    put.resource(THERE, hidden=True)
    put.resource(BEYOND)
    put.link(THERE, ROW)
    put.link(BEYOND, THERE)


@place("the link of an include", included(forward=True))
def _(put: Put) -> None:
    put.resource()
    put.resource(THERE)
    put.link(ROW, THERE, hidden=True)


@place("what an include begins at", included(forward=True))
def _(put: Put) -> None:
    put.resource(hidden=True)
    put.resource(THERE)
    put.link(ROW, THERE)


INCLUDED_BY_NAME = included(forward=True, naming=(NAMING,))


CALLED_SO = next(iter(canonicals.named()))


@place("what names, in an include", INCLUDED_BY_NAME)
def _(put: Put) -> None:
    put.resource()
    put.resource(THERE)
    put.index("string", hash=NAMING, hidden=True)
    put.index("string", THERE, hash=CALLED_SO)


@place("what is named, in an include", INCLUDED_BY_NAME)
def _(put: Put) -> None:
    put.resource()
    put.resource(THERE)
    put.index("string", hash=NAMING)
    put.index("string", THERE, hash=CALLED_SO, hidden=True)


@place("what is included by name", included(forward=True, naming=(NAMING,), last=BEYOND))
def _(put: Put) -> None:
    put.resource()
    put.resource(THERE, hidden=True)
    put.resource(BEYOND)
    put.index("string", hash=NAMING)
    put.index("string", THERE, hash=CALLED_SO)
    put.index("string", THERE, hash=NAMING, normalized="y", exact="y")
    put.index("string", BEYOND, hash=CALLED_SO, normalized="y", exact="y")


@place("what is sorted by", in_order(SortKey("p", False, (HASH,), "string")))
def _(put: Put) -> None:
    put.driven(ROW, THERE)
    put.index("string", normalized="a", hidden=True)
    put.index("string", THERE, normalized="b")


@place("a reference that is sorted by", in_order(SortKey("p", False, (LINKED,), "reference")))
def _(put: Put) -> None:
    put.driven(ROW, THERE)
    put.resource(BEYOND, id="a", hidden=True)
    put.link(ROW, BEYOND)
    put.link(THERE, ROW)


@place("the link that is sorted by", in_order(SortKey("p", False, (LINKED,), "reference")))
def _(put: Put) -> None:
    put.driven(ROW, THERE)
    put.resource(BEYOND, id="a")
    put.link(ROW, BEYOND, hidden=True)
    put.link(THERE, ROW)


def defined(keys: list[int], ids: list[str]) -> Ask:
    return lambda bare: search_sql.canonical(bare, ASKING, NAME, keys, ids)


@place("the key of a definition", defined([HASH], []))
def _(put: Put) -> None:
    put.resource()
    put.index("token", hidden=True)


@place("a definition", defined([], [f"x{ROW}"]))
def _(put: Put) -> None:
    put.resource(hidden=True)


@place("the address of a definition", lambda bare: canonical.by_url(bare, ASKING, NAME, [URL]))
def _(put: Put) -> None:
    put.resource()
    put.index("token", hash=search_keys.uri_key(NAME, "url", URL), hidden=True)


@place("a definition by its address", lambda bare: canonical.by_url(bare, ASKING, NAME, [URL]))
def _(put: Put) -> None:
    put.resource(hidden=True)
    put.index("token", hash=search_keys.uri_key(NAME, "url", URL))


async def _versions(bare: Opened, span: history.Span = history.Span()) -> list[int]:  # noqa: B008
    found = await history.of_instance(bare, ASKING, TYPE, f"x{ROW}", span, None, 10)
    counted = await history.count_of_instance(bare, ASKING, TYPE, f"x{ROW}", span)
    assert counted == len(found)
    return [each.version for each in found]


@place("the present version in a history", _versions)
def _(put: Put) -> None:
    put.resource(hidden=True)


async def _first(bare: Opened) -> bool:
    return 1 in await _versions(bare)


@place("an older version in a history", _first)
def _(put: Put) -> None:
    put.resource()
    put.version(1, hidden=True)


@place("the present version, for an older one in a history", _first)
def _(put: Put) -> None:
    put.resource(hidden=True)
    put.version(1)


async def _ended(bare: Opened) -> bool:
    moment = NOW - DAY / 2
    return 1 not in await _versions(bare, history.Span(at_low=moment, at_high=moment + DAY / 8))


@place("the version that ended another", _ended)
def _(put: Put) -> None:
    put.resource(version=3)
    put.version(2, hidden=True, last_updated=NOW - DAY)
    put.version(1, last_updated=NOW - 2 * DAY)


def version(number: int) -> Ask:
    return lambda bare: resources.vread(bare, ASKING, TYPE, f"x{ROW}", number)


@place("an older version by itself", version(1))
def _(put: Put) -> None:
    put.resource()
    put.version(1, hidden=True)


@place("the present version, for an older one by itself", version(1))
def _(put: Put) -> None:
    put.resource(hidden=True)
    put.version(1)


@place("the present version by itself", version(2))
def _(put: Put) -> None:
    put.resource(hidden=True)


@place("a read", lambda bare: resources.read(bare, ASKING, TYPE, f"x{ROW}"))
def _(put: Put) -> None:
    put.resource(hidden=True)


async def at_once(bare: Opened) -> bool:
    reads = (resources.read(bare, ASKING, TYPE, f"x{ROW}") for _ in range(6))
    return any(each is not None for each in await asyncio.gather(*reads))


@place("reads at once", at_once)
def _(put: Put) -> None:
    put.resource(hidden=True)


@place("several reads", lambda bare: resources.read_many(bare, ASKING, [(TYPE, f"x{ROW}")]))
def _(put: Put) -> None:
    put.resource(hidden=True)


@place("what a resource refers to", lambda bare: resources.read_targets(bare, ASKING, [ROW]))
def _(put: Put) -> None:
    put.resource()
    put.resource(THERE, hidden=True)
    put.link(ROW, THERE, 0)


def writing(ask: Callable[[Any], Awaitable[Any]]) -> Ask:
    """The question asked in a transaction."""

    async def asked(bare: Opened) -> Any:
        async with bare.write(ASKING) as connection:
            return await ask(connection)

    return asked


def in_transaction(connection: Any) -> Awaitable[Any]:
    return resources.read(TransactionReader(connection), ASKING, TYPE, f"x{ROW}")


@place("a read in a transaction", writing(in_transaction))
def _(put: Put) -> None:
    put.resource(hidden=True)


@place(
    "what a write would replace",
    writing(lambda connection: resources.lock_current(connection, ASKING, TYPE, f"x{ROW}")),
)
def _(put: Put) -> None:
    put.resource(hidden=True)


@place(
    "what a write refers to",
    writing(lambda connection: resources.visible_targets(connection, ASKING, [(TYPE, f"x{ROW}")])),
)
def _(put: Put) -> None:
    put.resource(hidden=True)


def by_address(connection: Any) -> Awaitable[Any]:
    return resources.canonical_targets(connection, ASKING, TYPE, [HASH])


@place("what a write refers to by its address", writing(by_address))
def _(put: Put) -> None:
    put.resource(hidden=True)
    put.index("token")


@place("the address by which a write refers", writing(by_address))
def _(put: Put) -> None:
    put.resource()
    put.index("token", hidden=True)


@place("a Task", writing(lambda connection: notes.read(connection, ASKING, [ROW])))
def _(put: Put) -> None:
    put.resource(hidden=True)


def by_receiver(connection: Any) -> Awaitable[Any]:
    return receivers.seen_by(connection, Identity(GRANTEE, None, None), [ROW], ASKING)


@place("what a receiver would see", writing(by_receiver))
def _(put: Put) -> None:
    put.owner.execute("DELETE FROM tl.consent_grant")
    grant(put.owner, purposes=-1)
    put.resource(hidden=True)


async def referred(bare: Opened) -> bool:
    try:
        return bool(await receivers.reference_of(bare, ASKING, ROW))
    except LookupError:
        return False


@place("the name of a row", referred)
def _(put: Put) -> None:
    put.resource(hidden=True)


@place(
    "what is one's own",
    lambda bare: receivers.own(bare, replace(ASKING, organization=CUSTODIAN), [ROW]),
)
def _(put: Put) -> None:
    put.resource(hidden=True)


@place("the same person", lambda bare: person.others(bare, ASKING, PATIENT))
def _(put: Put) -> None:
    put.owner.execute("INSERT INTO tl.same_person VALUES (%s, %s)", (PATIENT, OTHER))
    put.resource(OTHER, hidden=True)


@place("what one may be told of a record", lambda bare: reviews.record_of(bare, ASKING, PATIENT))
def _(put: Put) -> None:
    put.resource(hidden=True)


@place("an entry of the audit", lambda bare: audit_entries.count(bare, ASKING, AuditQuery()))
def _(put: Put) -> None:
    row = {name: ENTRY[name] for name in SHARED if name != "last_updated"}
    labelled = {"labels": NORMAL | (SECRET if put.hiding else 0)}
    insert(put.owner, "audit_entry", row | labelled | AUDIT)


async def in_record(bare: Opened) -> bool:
    parts = await everything.page(bare, ASKING, PATIENT, everything.Choice(), None, 10)
    return ROW in {each.rid for each in parts}


@place("what is in a record", in_record)
def _(put: Put) -> None:
    put.resource(hidden=True)


@place("the link into a record", in_record)
def _(put: Put) -> None:
    grant(put.owner, patient=OTHER)
    put.resource(patient=OTHER)
    put.link(ROW, PATIENT, 0, hidden=True)


@place(
    "the link out of a record",
    lambda bare: everything.support(bare, ASKING, [ROW], everything.Choice()),
)
def _(put: Put) -> None:
    put.resource()
    put.resource(THERE, patient=None, open=True)
    put.link(ROW, THERE, 0, hidden=True)


async def concerned(bare: Opened) -> Any:
    return await emergency.concerned(bare, ASKING, [ROW])  # type: ignore[arg-type]


async def concerned_by_name(bare: Opened) -> bool:
    return {each.custodian_id for each in await concerned(bare)} == {f"x{CUSTODIAN}"}


@place("what was seen in an emergency", concerned)
def _(put: Put) -> None:
    put.resource(hidden=True)
    put.resource(PATIENT)


@place("whose record was seen in an emergency", concerned)
def _(put: Put) -> None:
    put.resource()
    put.resource(PATIENT, hidden=True)


@place("the custodian of what was seen in an emergency", concerned_by_name)
def _(put: Put) -> None:
    put.resource()
    put.resource(PATIENT)
    put.resource(CUSTODIAN, patient=None, open=not put.hiding, custodian=CUSTODIAN)


@place("what was shown by a consent", lambda bare: disclosures.disclosed(bare, ASKING, [ROW]))
def _(put: Put) -> None:
    # By the consent of one of two survivors whom it is about.
    put.owner.execute("DELETE FROM tl.consent_grant")
    grant(put.owner, consent=CONSENT)
    put.resource(CONSENT, content=b"{}")
    put.resource(co_subjects=[OTHER] if put.hiding else None)


@pytest.mark.parametrize("name", PLACES)
async def test_a_row_that_is_hidden_at_one_place_leads_to_no_answer(
    owner: psycopg.Connection[Any], bare: Opened, name: str
) -> None:
    put, ask = PLACES[name]
    emptied = "; ".join(f"DELETE FROM tl.{table}" for table in (*SURVIVOR_TABLES, "same_person"))
    for hiding in (False, True):
        owner.execute(emptied.encode())
        grant(owner)
        put(Put(owner, hiding))
        assert bool(await ask(bare)) is not hiding, "hidden" if hiding else "shown"


async def test_each_row_of_a_population_is_counted_once_whoever_keeps_it(
    owner: psycopg.Connection[Any], bare: Opened
) -> None:
    grant(owner)
    put = Put(owner, hiding=False)
    for rid, changes in (
        (ROW, {}),
        (THERE, {"custodian": ASKING.organization}),
        (BEYOND, {"patient": None, "open": True}),
    ):
        put.resource(rid, **changes)
        put.index("token", rid, hash=DRIVING, **changes)
    assert await count()(bare) == 3
