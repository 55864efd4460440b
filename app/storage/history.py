"""Versions of resources, newest first: of one, of types; consent inside (hl7.org/fhir/R4/http.html#history).

A version is found where its own row and the present one may be seen: relabelling hides what came before. Where
an element of the present one is hidden, no version before it is found, for it may say the same unlabelled.
Pages are by key (last_updated, rid, version), so that a version written meanwhile moves none.
Neighbours: `app.storage.resources` (one version), `app.interactions.history` (the Bundle).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from app.storage import elements, predicate
from app.storage.database import Caller, Reader


@dataclass(frozen=True, slots=True)
class Version:
    """One version; content empty where it is a deletion."""

    rid: int
    type_code: int
    id: str
    version: int
    last_updated: datetime
    deleted: bool
    content: bytes


@dataclass(frozen=True, slots=True)
class Span:
    """Which versions: written at `since` or later; in force at some time of [at_low, at_high)."""

    since: datetime | None = None
    at_low: datetime | None = None
    at_high: datetime | None = None


Place = tuple[datetime, int, int]
"""(last_updated, rid, version) of the last version of a page."""

_COLUMNS: Final = "x.rid, x.type, r.id, x.version, x.last_updated, x.deleted"
_NOW: Final = f"""SELECT {_COLUMNS}, {elements.content("x")}
  FROM tl.resource x JOIN tl.resource r ON r.rid = x.rid
  WHERE {predicate.for_query("x")}"""
_BEFORE: Final = f"""SELECT {_COLUMNS}, {elements.content("x", version=True)}
  FROM tl.resource_history x JOIN tl.resource r ON r.rid = x.rid
  WHERE {predicate.for_query("x", version=True)} AND {predicate.for_query("r")}
  AND {elements.hidden("r", predicate.PARAMETERS)} IS NULL"""

# A version was in force until the next one; those that may not be seen end nothing.
_SPAN: Final = f"""
  AND ($7::timestamptz IS NULL OR x.last_updated >= $7::timestamptz)
  AND ($9::timestamptz IS NULL OR x.last_updated < $9::timestamptz)
  AND ($8::timestamptz IS NULL OR NOT (
    EXISTS (SELECT FROM tl.resource n WHERE n.rid = x.rid AND n.version > x.version
            AND n.last_updated <= $8::timestamptz AND {predicate.for_query("n")})
    OR EXISTS (SELECT FROM tl.resource_history n WHERE n.rid = x.rid AND n.version > x.version
               AND n.last_updated <= $8::timestamptz
               AND {predicate.for_query("n", version=True)})))"""

_AFTER: Final = """
  AND ($10::timestamptz IS NULL OR (x.last_updated, x.rid, x.version)
       < ($10::timestamptz, $11::bigint, $12::integer))"""

_ORDER: Final = "ORDER BY last_updated DESC, rid DESC, version DESC LIMIT $13::integer"


def _page(scope: str) -> str:
    arms = " UNION ALL ".join(
        f"({arm} AND {scope} {_SPAN} {_AFTER} "
        "ORDER BY x.last_updated DESC, x.rid DESC, x.version DESC LIMIT $13::integer)"
        for arm in (_NOW, _BEFORE)
    )
    return f"SELECT * FROM ({arms}) AS every {_ORDER}"


_INSTANCE: Final = "r.type = $14::smallint AND r.id = $15::text"
_OF_INSTANCE: Final = _page(_INSTANCE)
# Each type on its own, because the index leads with it: then the newest of all.
_OF_TYPES: Final = (
    "SELECT found.* FROM unnest($14::smallint[]) AS t(code) "
    f"CROSS JOIN LATERAL ({_page('x.type = t.code')}) AS found {_ORDER}"
)
_COUNT: Final = (
    "SELECT count(*) AS versions FROM ("
    + " UNION ALL ".join(
        f"{arm} AND {_INSTANCE.replace('$14', '$10').replace('$15', '$11')} {_SPAN}"
        for arm in (_NOW, _BEFORE)
    )
    + ") AS every"
)


async def of_instance(
    reader: Reader,
    caller: Caller,
    type_code: int,
    id_: str,
    span: Span,
    after: Place | None,
    limit: int,
) -> list[Version]:
    """At most `limit` versions of one resource after a place."""
    return await _versions(
        reader, caller, _OF_INSTANCE, *_arguments(span, after, limit), type_code, id_
    )


async def of_types(
    reader: Reader,
    caller: Caller,
    type_codes: Sequence[int],
    span: Span,
    after: Place | None,
    limit: int,
) -> list[Version]:
    """At most `limit` versions of all resources of these types after a place."""
    return await _versions(
        reader, caller, _OF_TYPES, *_arguments(span, after, limit), list(type_codes)
    )


async def count_of_instance(
    reader: Reader, caller: Caller, type_code: int, id_: str, span: Span
) -> int:
    """How many versions of one resource there are for the caller: exact."""
    rows = await reader.fetch(caller, _COUNT, span.since, span.at_low, span.at_high, type_code, id_)
    return int(rows[0]["versions"])


def _arguments(span: Span, after: Place | None, limit: int) -> tuple[Any, ...]:
    return (span.since, span.at_low, span.at_high, *(after or (None, None, None)), limit)


async def _versions(reader: Reader, caller: Caller, text: str, *arguments: Any) -> list[Version]:
    rows = await reader.fetch(caller, text, *arguments)
    return [
        Version(
            row["rid"],
            row["type"],
            row["id"],
            row["version"],
            row["last_updated"],
            row["deleted"],
            elements.shown(row),
        )
        for row in rows
    ]
