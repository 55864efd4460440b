"""One row wherever a row may stand, a grant that fits it, and the caller that the grant is for."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql

from app.consent.model import Action
from app.storage import predicate
from app.storage.database import Caller
from app.storage.database import Database as Opened
from tests.conftest import Database

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
PATIENT, OTHER, THIRD = 1, 2, 3
ROW, GRANTEE, CUSTODIAN, AUTHOR, TARGET, SOURCE = 100, 10, 20, 30, 40, 50
TYPE, ELSE = 7, 8
READ, UPDATE = 1, 2
TREAT, RESEARCH = 4, 8
NORMAL, SECRET, TOPIC = 1 << 4, 1 << 20, 1 << 21
CODE, HASH = 77, 88
FROM, TO = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
Json = dict[str, Any]

GRANT: Json = {
    "patient": PATIENT,
    "grantee": GRANTEE,
    "actions": READ,
    "purposes": TREAT,
    "valid_from": (NOW - DAY).isoformat(),
    "valid_to": (NOW + DAY).isoformat(),
    "forbidden": SECRET,
    "any_of": 0,
    "provision": "root",
}
ENTRY: Json = {
    "rid": ROW,
    "type": TYPE,
    "version": 2,
    "last_updated": NOW,
    "deleted": False,
    "open": False,
    "patient": PATIENT,
    "co_subjects": None,
    "custodian": CUSTODIAN,
    "labels": NORMAL,
    "clinical_from": FROM,
    "clinical_to": TO,
    "codes": [CODE],
    "content": b"",
}
CALLER = Caller((GRANTEE,), (GRANTEE, 11), TREAT, 60, 0)
INDEX: dict[str, Json] = {
    "index_token": {"hash": HASH, "item": 0},
    "index_date": {"hash": HASH, "low": FROM, "high": TO, "item": 0},
    "index_string": {"hash": HASH, "normalized": "x", "exact": "x", "item": 0},
    "index_number": {"hash": HASH, "low": 1.0, "high": 1.0, "item": 0},
    "index_text": {"narrative": "", "content": ""},
}
AUDIT: Json = {
    "id": "00000000-0000-4000-8000-000000000001",
    "action": "R",
    "interaction": "read",
    "outcome": 0,
    "entities": [],
    "request_id": "00000000-0000-4000-8000-000000000002",
}
SHARED = (
    "rid",
    "type",
    "last_updated",
    "open",
    "patient",
    "co_subjects",
    "custodian",
    "labels",
    "clinical_from",
    "clinical_to",
)


def insert(owner: psycopg.Connection[Any], table: str, row: Json) -> None:
    text = sql.SQL("INSERT INTO tl.{} ({}) VALUES ({})").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, row)),
        sql.SQL(", ").join(sql.Placeholder() for _ in row),
    )
    owner.execute(text, list(row.values()))


def grant(owner: psycopg.Connection[Any], **changes: Any) -> None:
    row = GRANT | changes
    columns = sql.SQL(", ").join(map(sql.Identifier, row))
    owner.execute(
        sql.SQL(
            "INSERT INTO tl.consent_grant ({0}) "
            "SELECT {0} FROM jsonb_populate_recordset(NULL::tl.consent_grant, %s)"
        ).format(columns),
        (json.dumps([row]),),
    )


def store(owner: psycopg.Connection[Any], **changes: Any) -> None:
    """The row, wherever a row of it may stand."""
    row = ENTRY | changes
    insert(owner, "resource", row | {"id": f"x{row['rid']}"})
    versioned = {"refs": [TARGET], "authors": [AUTHOR], "version": 1}
    insert(owner, "resource_history", row | versioned)
    for table, own in INDEX.items():
        insert(owner, table, {name: row[name] for name in SHARED} | own)
    links = [
        (ROW, TARGET, 0, True, False),
        (ROW, AUTHOR, 0, False, True),
        (SOURCE, ROW, 0, False, False),
    ]
    for link in links:
        insert(
            owner,
            "link",
            dict(zip(("source", "target", "parameter", "climbs", "author"), link, strict=True)),
        )


def mask_codes(owner: psycopg.Connection[Any]) -> None:
    """Masks of codes, as `tl.store_resources` and `tl.store_search` leave them."""
    owner.execute("UPDATE tl.resource SET code_mask = tl.code_mask(codes)")
    for table in INDEX:
        text = f"UPDATE tl.{table} i SET code_mask = r.code_mask FROM tl.resource r WHERE r.rid = i.rid"
        owner.execute(text.encode())


def seen(owner: psycopg.Connection[Any], caller: Caller = CALLER, action: int = READ) -> list[str]:
    """Which of the row and its superseded version the predicate lets through."""
    values = _values(caller, action)
    found = [table for table in BOTH if _let_through(owner, table, values)]
    assert _counted(owner, values) == ("resource" in found)
    assert _by_key(owner, values) == ("resource" in found and _about_one(owner))
    return found


def let_through(owner: psycopg.Connection[Any], table: str) -> bool:
    """Whether the predicate in a statement lets the row of a table through to the caller."""
    return _let_through(owner, table, _values(CALLER, READ))


def _let_through(owner: psycopg.Connection[Any], table: str, values: Json) -> bool:
    text = predicate.visible("x", predicate.PARAMETERS, version=table == "resource_history")
    statement = f"SELECT count(*) FROM tl.{table} x WHERE x.rid = {ROW} AND {text}"
    return bool(_asked(owner, statement, values) == (1,))


def _values(caller: Caller, action: int) -> Json:
    return {f"p{n}": v for n, v in enumerate(caller.parameters(Action(action)), start=1)}


def _asked(owner: psycopg.Connection[Any], text: str, values: Json) -> Any:
    """The first row of a statement of the service's own, whose parameters are `$1` to `$6`."""
    named = re.sub(r"\$(\d)", r"%(p\1)s", text)
    lists = {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}
    return owner.execute(named.encode(), lists).fetchone()


def _about_one(owner: psycopg.Connection[Any]) -> bool:
    about = "SELECT patient IS NOT NULL AND co_subjects IS NULL FROM tl.resource WHERE rid = %s"
    return owner.execute(about, (ROW,)).fetchone() == (True,)


def _by_key(owner: psycopg.Connection[Any], values: Json) -> bool:
    """Whether a read that goes alone finds the row by its first statement (`app.storage.resources`)."""
    text = predicate.keyed_for_query("x")
    found = f"SELECT count(*) FROM tl.resource x WHERE x.rid = {ROW} AND {text}"
    return bool(_asked(owner, found, values) == (1,))


def _counted(owner: psycopg.Connection[Any], values: Json) -> int:
    """How often a count meets the row, by both its parts (`app.storage.search_sql.count`)."""
    parts = (
        predicate.walked("x", predicate.PARAMETERS),
        f"{predicate.visible('x', predicate.PARAMETERS)} AND {predicate.walk_rest('x')}",
    )
    counts = [f"(SELECT count(*) FROM tl.resource x WHERE x.rid = {ROW} AND {p})" for p in parts]
    row = _asked(owner, f"SELECT {' + '.join(counts)}", values)
    return int(row[0]) if row else 0


BOTH = ["resource", "resource_history"]


def count_policed(
    conditions: Database, table: str, caller: Caller | None, action: int = READ
) -> int:
    """Rows of a table that the service's role sees, without any predicate in the query."""
    with psycopg.connect(conditions.service_url) as connection:
        if caller is not None:
            connection.execute(
                "SELECT tl.enter(%s::bigint[], %s::bigint[], %s, %s, %s, 5)",
                (
                    list(caller.closure),
                    list(caller.deny_closure),
                    caller.purpose,
                    caller.organization,
                    action,
                ),
            )
        found = connection.execute(f"SELECT count(*) FROM tl.{table}".encode()).fetchone()
        return int(found[0]) if found else 0


async def in_the_record(
    opened: Opened,
    caller: Caller,
    of: int = PATIENT,
    *,
    table: str = "resource",
    test: str = predicate.for_query("x", record=True),
) -> int:
    """How many rows a statement sees that was entered for a Patient's record. test: what it asks itself."""
    body = f"SELECT x.rid FROM tl.{table} x WHERE x.rid > $7 AND {test}"
    asking = replace(caller, epoch=5)
    return len(await opened.fetch(asking, body, 0, record=f"{of}::bigint"))
