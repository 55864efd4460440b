"""Writing rows through the keeper's functions: resources, index rows, links, grants, memberships.

Every function takes all rows of a transaction at once: the number of statements does not grow with the
number of resources. The caller of this module holds the transaction.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from app.consent.model import Grant
from app.fhir_mappings.index_rows import IndexRows
from app.storage.database import WriteConnection


class ElementSearch(Protocol):
    """Search rows of labelled elements. words: all that is said where they are seen, None for nothing new."""

    @property
    def mask(self) -> int:
        """The labels of the elements."""

    @property
    def rows(self) -> IndexRows:
        """Their rows."""

    @property
    def words(self) -> tuple[str, str] | None:
        """Narrative and content."""


@dataclass(slots=True)
class Row:
    """One resource to be stored, with all that is filed beside it."""

    rid: int
    type_code: int
    id: str
    version: int
    last_updated: datetime
    deleted: bool
    open: bool
    subjects: tuple[int, ...]
    custodian: int
    labels: int
    clinical: tuple[datetime, datetime] | None
    codes: Sequence[int]
    content: bytes
    tokens: Sequence[int] = ()
    dates: Sequence[tuple[int, datetime | None, datetime | None]] = ()
    strings: Sequence[tuple[int, str, str]] = ()
    numbers: Sequence[tuple[int, float, float]] = ()
    items: Sequence[IndexRows] = ()
    words: tuple[str, str] | None = None
    """What `_text` and `_content` search."""
    masks: Sequence[int] | None = None
    """The label masks of elements that carry inline labels; None where none does."""
    elements: Sequence[ElementSearch] = ()
    links: Sequence[tuple[int, int, bool, bool, int | None]] = ()
    """(target rid, parameter hash or 0, climbs, author, mask of the labelled element it stands in)"""


async def begin(
    connection: WriteConnection,
    written: Sequence[tuple[int, str]],
    referenced: Sequence[tuple[int, str]],
) -> int:
    """Lock what is written and what it refers to; the program bits of the writer's organization.

    Both as (type code, logical id), known here or not: waiting for a lock tells nothing.
    """
    wanted = [(*key, True) for key in written] + [(*key, False) for key in referenced]
    program: int = await connection.fetchval(
        "SELECT tl.begin_write($1::smallint[], $2::text[], $3::boolean[])", *_columns(wanted, 3)
    )
    return program


async def reserve(connection: WriteConnection, count: int) -> list[int]:
    """New rids."""
    rows = await connection.fetch(
        "SELECT nextval('tl.rid') AS rid FROM generate_series(1, $1)", count
    )
    return [row["rid"] for row in rows]


async def occupied(connection: WriteConnection, type_code: int, id_: str) -> bool:
    """True where the logical id is taken, seen or not: never to be told to the caller."""
    return await connection.fetchval("SELECT tl.occupied($1, $2)", type_code, id_) is not None


def array_text(values: Sequence[int]) -> str:
    """An array as PostgreSQL reads it from text."""
    return "{" + ",".join(map(str, values)) + "}"


async def put(connection: WriteConnection, rows: Sequence[Row]) -> None:
    """Store resources with their index rows and links: two statements, and one for dependents."""
    await connection.execute(
        "SELECT tl.store_resources($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16)",
        [r.rid for r in rows],
        [r.type_code for r in rows],
        [r.id for r in rows],
        [r.version for r in rows],
        [r.last_updated for r in rows],
        [r.deleted for r in rows],
        [r.open for r in rows],
        [r.subjects[0] if r.subjects else None for r in rows],
        [array_text(r.subjects[1:]) if len(r.subjects) > 1 else None for r in rows],
        [r.custodian for r in rows],
        [r.labels for r in rows],
        [r.clinical[0] if r.clinical else None for r in rows],
        [r.clinical[1] if r.clinical else None for r in rows],
        [array_text(r.codes) for r in rows],
        [array_text(r.masks) if r.masks else None for r in rows],
        [r.content for r in rows],
    )
    links = [(r.rid, *link) for r in rows for link in r.links]
    await connection.execute(
        f"SELECT tl.store_index({_numbered(33)})",
        [r.rid for r in rows],
        *search_columns(rows),
        *_columns(links, 6),
    )
    replaced = [r.rid for r in rows if r.version > 1]
    if replaced:
        await connection.execute("SELECT tl.propagate($1)", replaced)


class Searchable(Protocol):
    """What has search rows: a `Row`, or a resource that is indexed anew."""

    rid: int
    tokens: Sequence[int]
    dates: Sequence[tuple[int, datetime | None, datetime | None]]
    strings: Sequence[tuple[int, str, str]]
    numbers: Sequence[tuple[int, float, float]]
    items: Sequence[IndexRows]
    words: tuple[str, str] | None
    elements: Sequence[ElementSearch]


def search_columns(rows: Sequence[Searchable]) -> list[list[Any]]:
    """The search rows of resources as the arguments of tl.store_search after the first."""
    tokens: list[tuple[Any, ...]] = []
    dates: list[tuple[Any, ...]] = []
    strings: list[tuple[Any, ...]] = []
    numbers: list[tuple[Any, ...]] = []
    words: list[tuple[Any, ...]] = []
    for row in rows:
        # The items of composite parameters are numbered from 1; 0 is the resource.
        every: list[tuple[int, Searchable | IndexRows, int | None]] = [(0, row, None)]
        every += [(item, each, None) for item, each in enumerate(row.items, start=1)]
        for part in row.elements:
            every.append((0, part.rows, part.mask))
            every += [
                (item, each, part.mask)
                for item, each in enumerate(part.rows.items, start=len(every))
            ]
        for item, each, mask in every:
            tokens += [(row.rid, key, item, mask) for key in each.tokens]
            dates += [(row.rid, *found, item, mask) for found in each.dates]
            strings += [(row.rid, *found, item, mask) for found in each.strings]
            numbers += [(row.rid, *found, item, mask) for found in each.numbers]
        if row.words is not None:
            words.append((row.rid, *row.words, None))
        words += [(row.rid, *part.words, part.mask) for part in row.elements if part.words]
    return [
        *_columns(tokens, 4),
        *_columns(dates, 6),
        *_columns(strings, 6),
        *_columns(numbers, 6),
        *_columns(words, 4),
    ]


def _numbered(count: int) -> str:
    return ", ".join(f"${number}" for number in range(1, count + 1))


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[list[Any]]:
    return [[row[i] for row in rows] for i in range(width)]


@dataclass(frozen=True, slots=True)
class ConsentRow:
    """A Consent about a survivor, as the compiler's caller needs it."""

    rid: int
    recorder: int
    patient_custodian: int
    officer: bool
    content: bytes
    references: dict[str, int]


async def consents_of(
    connection: WriteConnection, patient: int, consent_type: int, link_key: int
) -> list[ConsentRow]:
    """All Consents about a survivor; only inside a transaction that has just written about them."""
    rows = await connection.fetch(
        "SELECT * FROM tl.consents_of($1, $2, $3)", patient, consent_type, link_key
    )
    return [
        ConsentRow(
            row["rid"],
            row["recorder"],
            row["patient_custodian"],
            row["officer"],
            row["content"],
            json.loads(row["refs"]),
        )
        for row in rows
    ]


async def ceilings(
    connection: WriteConnection, consent_type: int
) -> list[tuple[bytes, dict[str, int]]]:
    """The policies for all survivors: content, and rids by literal reference."""
    rows = await connection.fetch("SELECT * FROM tl.ceilings($1)", consent_type)
    return [(row["content"], json.loads(row["refs"])) for row in rows]


async def survivors(connection: WriteConnection, patient_type: int) -> list[int]:
    """Every survivor; none but in a transaction that has just written a policy for all of them."""
    rows = await connection.fetch("SELECT * FROM tl.survivors($1)", patient_type)
    return [row[0] for row in rows]


async def put_authority(
    connection: WriteConnection, consents: Sequence[int], *, officer: bool
) -> None:
    """Note whether a privacy officer recorded these Consents, just written."""
    await connection.execute("SELECT tl.put_authority($1, $2)", list(consents), officer)


GRANT_COLUMNS: Final = (
    "patient, grantee, actions, purposes, valid_from, valid_to, forbidden, any_of, custodian, excluded, "
    "types, not_types, data_from, data_to, residual, consent, provision"
)
"""The columns of `grant_json`; the table's others are made from them."""


def grant_json(patient: int, grant: Grant) -> dict[str, Any]:
    """A grant as the row of tl.consent_grant that it becomes, by column.

    Of its residual JSON makes clauses of literals `[negated, "operator", [arguments]]`; integers stay integers
    (hashes need all 64 bits: read them as bigint, not as double).
    """
    bounded = grant.data_from is not None or grant.data_to is not None
    return {
        "patient": patient,
        "grantee": grant.grantee,
        "actions": grant.actions,
        "purposes": grant.purposes,
        "valid_from": _instant(grant.valid_from, "-infinity"),
        "valid_to": _instant(grant.valid_to, "infinity"),
        "forbidden": grant.forbidden,
        "any_of": grant.any_of,
        "custodian": grant.custodian,
        "excluded": sorted(grant.excluded) or None,
        "types": None if grant.types is None else sorted(grant.types),
        "not_types": sorted(grant.not_types) or None,
        "data_from": _instant(grant.data_from, "-infinity") if bounded else None,
        "data_to": _instant(grant.data_to, "infinity") if bounded else None,
        "residual": grant.residual or None,
        "consent": grant.consent,
        "provision": grant.provision,
    }


def _instant(moment: datetime | None, unbounded: str) -> str:
    return unbounded if moment is None else moment.isoformat()


async def put_grants(connection: WriteConnection, patient: int, grants: Sequence[Grant]) -> None:
    """Replace a survivor's grants."""
    await connection.execute(
        "SELECT tl.put_grants($1, $2::jsonb)",
        patient,
        json.dumps([grant_json(patient, grant) for grant in grants]),
    )


async def put_memberships(
    connection: WriteConnection,
    sources: Sequence[int],
    rows: Sequence[tuple[int, int, int, int | None, bool, datetime, datetime]],
) -> None:
    """Replace what these resources say of memberships; moves the directory epoch."""
    await connection.execute(
        "SELECT tl.put_memberships($1, $2, $3, $4, $5, $6, $7, $8)",
        list(sources),
        *_columns(rows, 7),
    )
