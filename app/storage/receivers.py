"""Would somebody else see this? Asked inside a write, of a Task's addressee (hl7.org/fhir/R4/task.html).

The transaction enters as the other party for one statement, so that both walls answer for it, and enters
again as the writer. Neighbour: `app.storage.predicate`; used by `app.care.referrals`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

from app.consent import purposes
from app.consent.model import Action
from app.storage import predicate
from app.storage.database import Caller, Reader, WriteConnection
from app.storage.identities import Identity, resolve_caller

_USUAL: Final = ("TREAT", "CAREMGT", "COC")
_PURPOSES: Final = (*_USUAL, *(p for p in purposes.describe(purposes.ALL) if p not in _USUAL))


async def enter(connection: WriteConnection, caller: Caller) -> None:
    """Make the transaction's next statements those of this caller."""
    await connection.execute(f"SELECT {predicate.ENTER}", *caller.parameters(Action.READ))


@asynccontextmanager
async def entered(
    connection: WriteConnection, caller: Caller, writer: Caller
) -> AsyncIterator[None]:
    """The transaction as `caller` within the block, and as `writer` after it."""
    await enter(connection, caller)
    try:
        yield
    finally:
        await enter(connection, writer)


async def seen_by(
    connection: WriteConnection, identity: Identity, rids: Sequence[int], writer: Caller
) -> set[int]:
    """Those of `rids` that the identity may read for at least one purpose of use, emergencies apart.

    The usual purposes of care are tried first; all others where those do not do.
    """
    receiver = await resolve_caller(connection, identity, purpose=0, emergency=False)
    found: set[int] = set()
    for name in _PURPOSES:
        missing = [rid for rid in rids if rid not in found]
        if not missing:
            break
        caller = replace(receiver, purpose=purposes.purpose_bit(name))
        async with entered(connection, caller, writer):
            rows = await connection.fetch(
                "SELECT x.rid FROM tl.resource x WHERE x.rid = ANY ($7::bigint[]) AND NOT x.deleted "
                f"AND $6::bigint IS NOT NULL AND {predicate.for_query('x')}",
                *caller.parameters(),
                missing,
            )
        found.update(row["rid"] for row in rows)
    return found


async def employers(connection: WriteConnection, practitioners: Sequence[int]) -> dict[int, int]:
    """Practitioner rid to the rid of an organization that it acts for now, by its PractitionerRole.

    A role that whoever keeps the Practitioner has recorded comes first: anybody may say of the staff of others
    that they work for them.
    """
    rows = await connection.fetch(
        "SELECT DISTINCT ON (m.member) m.member, m.within FROM tl.membership m "
        "LEFT JOIN tl.resource role ON role.rid = m.source "
        "LEFT JOIN tl.resource person ON person.rid = m.member "
        "WHERE m.member = ANY ($1::bigint[]) AND m.within IS NOT NULL "
        "AND m.valid_from <= statement_timestamp() AND m.valid_to > statement_timestamp() "
        "ORDER BY m.member, role.custodian = person.custodian DESC NULLS LAST, m.within",
        list(practitioners),
    )
    return {row["member"]: row["within"] for row in rows}


async def custodians(connection: WriteConnection, rids: Sequence[int]) -> dict[int, int]:
    """Rid to custodian, of those rows that the one who has entered may see."""
    rows = await connection.fetch(
        "SELECT rid, custodian FROM tl.resource WHERE rid = ANY ($1::bigint[])", list(rids)
    )
    return {row["rid"]: row["custodian"] for row in rows}


async def reference_of(reader: Reader, caller: Caller, rid: int) -> str:
    """Reference ("Type/id") to a row that the caller may see; LookupError where there is none."""
    rows = await reader.fetch(
        caller,
        "SELECT n.name, x.id FROM tl.resource x JOIN tl.resource_type n ON n.code = x.type "
        f"WHERE x.rid = $7::bigint AND {predicate.for_query('x')}",
        rid,
    )
    if not rows:
        raise LookupError("no such row")
    return f"{rows[0]['name']}/{rows[0]['id']}"


async def own(reader: Reader, caller: Caller, rids: Sequence[int]) -> set[int]:
    """Those of `rids` that the caller's organization is the custodian of."""
    rows = await reader.fetch(
        caller,
        "SELECT x.rid FROM tl.resource x WHERE x.rid = ANY ($7::bigint[]) "
        f"AND x.custodian = $4::bigint AND {predicate.for_query('x')}",
        list(rids),
    )
    return {row["rid"] for row in rows}
