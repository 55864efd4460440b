"""Which of the records that a request showed need a redisclosure notice, and by whose consent they were shown.

Rows that carry a marker (42 CFR Part 2, victim services) and are another's note themselves while they are read
(`elements.shown`); the one who answers asks once, at the end, by which provisions they were seen. An answer
without such records asks nothing. Neighbours: `app.consent.notices` (the words), `app.routers.service`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from app.consent.model import EMERGENCY
from app.consent.notices import MARKERS
from app.storage import predicate
from app.storage.database import Caller, Reader
from app.storage.predicate import CallerSql

_NOTED: ContextVar[dict[int, int] | None] = ContextVar("disclosures", default=None)


def begin() -> dict[int, int]:
    """Note from now on, in this request: rid to markers of what is shown."""
    noted: dict[int, int] = {}
    _NOTED.set(noted)
    return noted


def note(told: Sequence[int]) -> None:
    """A marked row is shown: its rid, and its labels."""
    noted = _NOTED.get()
    if noted is not None:
        rid, labels = told
        noted[rid] = noted.get(rid, 0) | labels & MARKERS


def column(row: str, caller: CallerSql = predicate.PARAMETERS) -> str:
    """SQL: what `note` takes; null for what is unmarked, the caller's own, or about nobody."""
    return (
        f"(CASE WHEN {row}.labels & {MARKERS} <> 0 AND {row}.patient IS NOT NULL "
        f"AND {row}.custodian IS DISTINCT FROM {caller.organization} "
        f"THEN ARRAY[{row}.rid, {row}.labels] END)"
    )


@dataclass(frozen=True, slots=True)
class Disclosed:
    """One way in which records were shown: by the provision at `path` of a Consent, `content`.

    In an emergency there is no Consent.
    """

    rids: tuple[int, ...]
    content: bytes | None
    path: str


# Whoever has a right of their own (the survivor) needs no consent; an emergency is asked for last.
_GRANT: Final = predicate.permitting(
    "x",
    "ARRAY[g.consent::text, g.provision]",
    f"(g.consent IS NOT NULL)::int + 2 * (g.grantee = {int(EMERGENCY)})::int, g.consent, g.provision",
)

_BY: Final = f"""SELECT s.rids, s.consent, s.path, tl.consent_of_grant(s.consent) AS content FROM (
    SELECT array_agg(x.rid) AS rids, by.how[1]::bigint AS consent, by.how[2] AS path
    FROM tl.resource x CROSS JOIN LATERAL (SELECT {_GRANT} AS how OFFSET 0) AS by
    WHERE x.rid = ANY ($7::bigint[]) AND {predicate.for_query("x")} GROUP BY 2, 3) AS s
  ORDER BY s.consent, s.path"""

_EMERGENCY_ACCESS: Final = "emergency"


async def disclosed(reader: Reader, caller: Caller, rids: Iterable[int]) -> list[Disclosed]:
    """By what others' records were shown: by consents, or in an emergency. What is one's own is left out."""
    rows = await reader.fetch(caller, _BY, list(rids))
    return [
        Disclosed(tuple(row["rids"]), row["content"], row["path"])
        for row in rows
        if row["content"] is not None or row["path"] == _EMERGENCY_ACCESS
    ]
