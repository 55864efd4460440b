"""What `tools/mutants.py` deletes of labelled elements: what is cut, found by them, and replaced by whom.

Pinned: docs/decisions/0004-redaction.md. Neighbours: `tools.mutations` (all else), `app.storage.elements`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tools.mutant import POLICIES, ROUTINES, Mutant

ELEMENTS = "app/storage/elements.py"

CONDITIONS = ("tests/consent/test_element_conditions.py",)
_of = partial(Mutant, path=ELEMENTS, first=CONDITIONS)
_sql = partial(Mutant, path=ROUTINES, first=CONDITIONS)

_ROWS = (
    _of(
        name="elements: hidden from anybody at all",
        old="{row}.inline_masks IS NOT NULL THEN",
        new="false THEN",
    ),
    _of(
        name="elements: a version's own codes, references and authors",
        old="own = predicate.own(row, version=version)",
        new="own = predicate.own(row, version=False)",
    ),
    _of(
        name="elements: judged by its own labels",
        old='"tl.element_labels(hidden_elements.labels, m.mask) AS labels, "',
        new='"hidden_elements.labels AS labels, "',
    ),
    _of(
        name="elements: closed by its own labels",
        old='f"tl.element_open(hidden_elements.open, m.mask) AS open, {columns} "',
        new='f"hidden_elements.open AS open, {columns} "',
    ),
    _of(
        name="elements: hidden where nothing permits",
        old="WHERE NOT coalesce({predicate.visible('e', inputs, version=True)}, false)",
        new="WHERE NOT coalesce({predicate.visible('e', inputs, version=True)}, true)",
    ),
    _of(
        name="elements: cut from what is shown",
        old='frozenset(row["hidden"] or ())',
        new="frozenset()",
    ),
    _of(
        name="elements: what is stored is cut for whom an element is hidden",
        old='(row["hidden"] is None and row["own"] is None)',
        new='row["own"] is None',
    ),
    _of(
        name="grantees: what is stored is cut for whom they are hidden",
        old='(row["hidden"] is None and row["own"] is None)',
        new='row["hidden"] is None',
    ),
    _of(
        name="elements: what is cut says so",
        old="json_text.dump(redaction.marked(left))",
        new="json_text.dump(left)",
    ),
)

_GRANTEES = (
    _of(
        name="grantees: hidden at all",
        old='f"(CASE WHEN {row}.type = {_CONSENT} "',
        new='f"(CASE WHEN {row}.type = {_CONSENT} AND false "',
    ),
    _of(
        name="grantees: shown to the custodian",
        old='        f"AND {row}.custodian IS DISTINCT FROM {predicate.PARAMETERS.organization} "\n',
    ),
    _of(
        name="grantees: those of the version",
        old='targets = f"{row}.refs" if version else "NULL"',
        new='targets = "NULL"',
    ),
    _of(
        name="grantees: shown to the patient",
        old="own is not None and not redaction.is_about(resource, own)",
        new="own is not None",
    ),
    _sql(
        name="grantees: who the caller is",
        old="  WHERE t.rid = ANY (NULLIF(current_setting('tl.closure', true), '')::bigint[])\n    AND CASE",
        new="  WHERE CASE",
    ),
    _sql(
        name="grantees: a grantee finds its Consents",
        old="(mask = {grantees} AND target = ANY (closure)) OR ",
    ),
    _sql(
        name="grantees: a grantee finds no other",
        old="(mask = {grantees} AND target = ANY (closure))",
        new="(mask = {grantees})",
    ),
    _sql(
        name="grantees: no other link by that door",
        old="(mask = {grantees} AND target = ANY (closure))",
        new="(target = ANY (closure))",
    ),
)

_FOUND = (
    _of(
        name="elements: a search row asks for its resource",
        old='f"({row}.labels & {labels.ELEMENT} <> {labels.ELEMENT} OR tl.row_seen({row}.rid, {asked}))"',
        new='"true"',
    ),
    _sql(
        name="elements: a search row's resource is seen",
        old="e.rid = row_seen.rid AND {row_seen})",
        new="e.rid = row_seen.rid)",
    ),
    _sql(
        name="elements: a search row's own resource",
        old="e.rid = row_seen.rid AND {row_seen})",
        new="{row_seen})",
    ),
    Mutant(
        "elements: a search row asks for its resource, by the policy",
        POLICIES,
        'rules[table] += f" AND {elements.same_row(table, caller)}"',
        "pass",
        CONDITIONS,
    ),
    Mutant(
        "elements: a search row asks for its resource, by the view of counts",
        POLICIES,
        " AND {elements.same_row('d', predicate.SETTINGS)}",
        "",
        CONDITIONS,
    ),
    Mutant(
        "elements: a link in one, by the policy",
        POLICIES,
        " AND {elements.followed('link', caller)}\"",
        '"',
        CONDITIONS,
    ),
    _of(
        name="elements: a link in one is followed by who sees it",
        old='f"({link}.inline_mask IS NULL OR tl.link_seen({link}.source, {link}.target, "',
        new='f"(true OR tl.link_seen({link}.source, {link}.target, "',
    ),
    _of(
        name="elements: a link's own source",
        old="WHERE r.rid = link_seen.source AND tl.hidden_elements(",
        new="WHERE tl.hidden_elements(",
    ),
    _of(
        name="elements: the element of a link is seen",
        old="{predicate.asking(asked)}, NULL, NULL, NULL) IS NULL)",
        new="{predicate.asking(asked)}, NULL, NULL, NULL) IS NULL OR true)",
    ),
    Mutant(
        "elements: no version before the one whose element is hidden, read",
        "app/storage/resources.py",
        " AND {elements.hidden('r', predicate.PARAMETERS)} IS NULL",
        "",
        ("tests/redaction/test_elements.py",),
    ),
    Mutant(
        "elements: no version before the one whose element is hidden, history",
        "app/storage/history.py",
        '\n  AND {elements.hidden("r", predicate.PARAMETERS)} IS NULL',
        "",
        ("tests/redaction/test_elements.py",),
    ),
)

_WRITTEN = (
    _sql(
        name="elements: who does not see all of a row does not replace it",
        old="OR {elements_unread} IS NOT NULL ",
        new="",
    ),
    _sql(
        name="elements: who may not correct all of a row does not replace it",
        old=" OR (x.custodian <> me AND {elements_not_corrected} IS NOT NULL)",
        new="",
    ),
    _sql(
        name="a row is replaced by who may correct it",
        old="OR NOT coalesce(x.custodian = me OR {correctable}, false)",
        new="",
    ),
    _sql(
        name="a row keeps its custodian",
        old="x.custodian <> n.custodian OR NOT",
        new="NOT",
    ),
    _sql(
        name="a new row is its writer's",
        old="CASE WHEN x.rid IS NULL THEN n.custodian <> me AND n.custodian <> n.rid",
        new="CASE WHEN x.rid IS NULL THEN false",
    ),
)

_TABLES = ("token", "date", "string", "number", "text")


def mutants(root: Path) -> list[Mutant]:
    """All of them, for the files as they stand."""
    text = (root / ROUTINES).read_text()
    return [*_ROWS, *_GRANTEES, *_FOUND, *_WRITTEN, *_stored(text), *_spread(text)]


def _stored(text: str) -> Iterator[Mutant]:
    """The columns of search rows from elements, as they are written, table by table."""
    start = text.index("FUNCTION tl.store_search(")
    for table in _TABLES:
        at = text.index(f"INSERT INTO index_{table} (", start)
        block = text[at : text.index(";", at)]
        for column in ("labels", "open"):
            plain = re.sub(rf"element_{column}\(r\.{column}, u\.mask\)", f"r.{column}", block)
            name = f"elements: {column} of index_{table}, written"
            yield _sql(name=name, old=block, new=plain)
        bare = block.replace("r.code_mask", "0")
        yield _sql(name=f"the mask of codes of index_{table}, written", old=block, new=bare)


def _spread(text: str) -> Iterator[Mutant]:
    """The same where a resource's labels change later."""
    for table in _TABLES:
        at = text.index(f"UPDATE index_{table} i SET patient")
        block = text[at : text.index(";", at)]
        for column in ("labels", "open"):
            plain = block.replace(f"element_{column}(r.{column}, i.inline_mask)", f"r.{column}")
            name = f"elements: {column} of index_{table}, spread"
            yield _sql(name=name, old=block, new=plain)
