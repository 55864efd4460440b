"""Patients who are one person: who is linked with whom, and what follows for their rows.

The pairs stand in `tl.same_person`, written by the keeper's functions only, each of which asks that the writer
may correct both Patients: a `Patient.link` alone makes nobody one person.
Neighbours: `tl.consents_of` reads them, `app.care.record` links and unlinks.
"""

from __future__ import annotations

from app.storage import predicate
from app.storage.database import Caller, Reader, WriteConnection


async def link(connection: WriteConnection, one: int, other: int) -> list[int]:
    """Make two Patients one person; the rids of everybody whose grants are to be compiled anew."""
    rows = await connection.fetch("SELECT * FROM tl.link_person($1, $2)", one, other)
    return [row[0] for row in rows]


async def unlink(connection: WriteConnection, one: int, other: int) -> list[int]:
    """Take that back: rows are about whom they were about before; who is to be compiled anew."""
    rows = await connection.fetch("SELECT * FROM tl.unlink_person($1, $2)", one, other)
    return [row[0] for row in rows]


async def linked(connection: WriteConnection, one: int, other: int) -> bool:
    """Whether two Patients have been made one person directly."""
    found = await connection.fetchval("SELECT tl.is_linked($1, $2)", one, other)
    return bool(found)


async def same(connection: WriteConnection, patient: int) -> list[int]:
    """A Patient's rid and those of whoever is the same person."""
    rows = await connection.fetch("SELECT * FROM tl.same_person_of($1)", patient)
    return [row[0] for row in rows]


async def others(reader: Reader, caller: Caller, patient: int) -> list[str]:
    """Ids of the other Patients of the same person that the caller may see."""
    rows = await reader.fetch(
        caller,
        "SELECT x.id FROM tl.same_person_of($7::bigint) AS s(rid) JOIN tl.resource x ON x.rid = s.rid "
        f"WHERE x.rid <> $7::bigint AND NOT x.deleted AND {predicate.for_query('x')} ORDER BY x.id",
        patient,
    )
    return [row["id"] for row in rows]
