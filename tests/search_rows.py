"""What a page relies on: a search row says of data subjects, custodian, labels, time and codes what its
resource says.

A page judges search rows and shows their resources (`app.storage.search_sql.page`); the policies beneath judge
both.
"""

from __future__ import annotations

import psycopg

from app.storage.migrate import CONSENTED
from tests.conftest import Database

TABLES = [table for table in CONSENTED if table.startswith("index_")]
_SAID = "{0}.type, {0}.patient, {0}.co_subjects, {0}.custodian, {0}.clinical_from, {0}.clinical_to"


def strays(database: Database) -> dict[str, int]:
    """How many search rows of each table say something else than their resource, or have none."""
    found: dict[str, int] = {}
    with psycopg.connect(database.admin_url) as owner:
        for table in TABLES:
            row = owner.execute(
                f"SELECT count(*) FROM tl.{table} i "
                "LEFT JOIN tl.resource r ON r.rid = i.rid AND NOT r.deleted "
                f"WHERE ROW({_SAID.format('i')}, i.open, i.labels, i.code_mask) IS DISTINCT FROM "
                f"ROW({_SAID.format('r')}, tl.element_open(r.open, i.inline_mask), "
                "tl.element_labels(r.labels, i.inline_mask), tl.code_mask(r.codes))"
            ).fetchone()
            assert row is not None
            if row[0]:
                found[table] = row[0]
    return found
