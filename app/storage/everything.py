"""All that is about one patient, page by page, consent on each row.

Pinned: hl7.org/fhir/R4/patient-operation-everything.html.
About a patient is what refers to it, and what has it as data subject through something else; and the same of
whoever `$link` says is the same person. Neighbours:
`app.interactions.everything` (the Bundle), `app.storage.predicate`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from app.storage import elements, predicate
from app.storage.database import Caller, Reader


@dataclass(frozen=True, slots=True)
class Part:
    """One resource of the record."""

    rid: int
    type_code: int
    id: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Choice:
    """Which parts. types: codes, None for all. since: last updated from then on. start, end: of the care;
    what tells no time of care is always in.
    """

    types: Sequence[int] | None = None
    since: datetime | None = None
    start: datetime | None = None
    end: datetime | None = None


_CHOICE: Final = f"""NOT r.deleted
  AND ($8::smallint[] IS NULL OR r.type = ANY ($8::smallint[]))
  AND ($9::timestamptz IS NULL OR r.last_updated >= $9::timestamptz)
  AND {predicate.for_query("r", record=True)}"""

_PERSON: Final = "ARRAY(SELECT s.rid FROM tl.same_person_of($7::bigint) AS s(rid))"
"""The patient, and whoever `$link` says is the same person."""

# The patient comes first, then all else in the order in which it came to be.
_PAGE: Final = f"""SELECT r.rid, r.type, r.id, {elements.content("r")} FROM (
    SELECT unnest({_PERSON}) AS rid
    UNION SELECT p.rid FROM tl.resource p WHERE p.patient = ANY ({_PERSON})
    UNION SELECT l.source FROM tl.link l WHERE l.target = ANY ({_PERSON}) AND l.parameter = 0
      AND {elements.followed("l")}
  ) AS about JOIN tl.resource r ON r.rid = about.rid
  WHERE {_CHOICE}
  AND ($10::timestamptz IS NULL OR r.clinical_to IS NULL OR r.clinical_to >= $10::timestamptz)
  AND ($11::timestamptz IS NULL OR r.clinical_from IS NULL OR r.clinical_from < $11::timestamptz)
  AND ($12::bigint IS NULL OR (r.rid <> $7::bigint AND r.rid > $12::bigint))
  ORDER BY r.rid <> $7::bigint, r.rid LIMIT $13::integer"""

_SUPPORT: Final = f"""SELECT DISTINCT ON (r.rid) r.rid, r.type, r.id, {elements.content("r")}
  FROM tl.link l JOIN tl.resource r ON r.rid = l.target
  WHERE l.source = ANY ($7::bigint[]) AND l.parameter = 0 AND r.patient IS NULL
  AND {elements.followed("l")}
  AND {_CHOICE} ORDER BY r.rid"""


async def page(
    reader: Reader, caller: Caller, patient: int, choice: Choice, after: int | None, limit: int
) -> list[Part]:
    """At most `limit` parts after one (0 for the patient itself)."""
    rows = await reader.fetch(
        caller,
        _PAGE,
        patient,
        choice.types,
        choice.since,
        choice.start,
        choice.end,
        after,
        limit,
        record="$7::bigint",
    )
    return [Part(row["rid"], row["type"], row["id"], elements.shown(row)) for row in rows]


async def support(
    reader: Reader, caller: Caller, rids: Sequence[int], choice: Choice
) -> list[Part]:
    """What these refer to that is about nobody: organizations, practitioners, places."""
    rows = await reader.fetch(caller, _SUPPORT, list(rids), choice.types, choice.since)
    return [Part(row["rid"], row["type"], row["id"], elements.shown(row)) for row in rows]
