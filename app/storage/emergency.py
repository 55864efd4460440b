"""Whom an emergency access concerns: the survivors of what was seen, and the custodians of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.storage import predicate
from app.storage.database import Caller, Database


@dataclass(frozen=True, slots=True)
class Concerned:
    """One survivor and one custodian. labels: of everything that was seen.

    custodian_id: None where the caller may not know the organization.
    """

    survivor: int
    survivor_id: str
    custodian: int
    custodian_id: str | None
    labels: int


_CONCERNED = f"""
SELECT s.survivor, s.survivor_id, s.custodian, s.labels,
       (SELECT o.id FROM tl.resource o WHERE o.rid = s.custodian AND {predicate.for_query("o")}) AS name
FROM (
  SELECT x.patient AS survivor, p.id AS survivor_id, c.custodian, bit_or(x.labels) AS labels
  FROM tl.resource x JOIN tl.resource p ON p.rid = x.patient
  CROSS JOIN LATERAL (VALUES (x.custodian), (p.custodian)) AS c(custodian)
  WHERE x.rid = ANY ($7::bigint[]) AND {predicate.for_query("x")} AND {predicate.for_query("p")}
  GROUP BY x.patient, p.id, c.custodian
) s ORDER BY s.survivor, s.custodian
"""


async def concerned(database: Database, caller: Caller, rids: Sequence[int]) -> list[Concerned]:
    """Each survivor of these records with each custodian of them, the Patient's own included."""
    rows = await database.fetch(caller, _CONCERNED, list(rids))
    return [
        Concerned(row["survivor"], row["survivor_id"], row["custodian"], row["name"], row["labels"])
        for row in rows
    ]
