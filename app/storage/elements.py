"""Elements of a row that fewer may see than the row: what is asked of the database, and what is then shown.

A row whose elements carry inline labels holds their masks (`inline_masks`, null in nearly every row). Whoever
may see the row gets its stored bytes, unparsed, unless a mask is hidden from them: then, and for a Consent that
the reader is no custodian of, the content is cut (`app.consent.redaction`). Search rows and links that come
from such an element carry its labels besides the row's, so that the predicate itself judges them.

Every statement whose `content` reaches a caller selects it by `content`, and reads it by `shown`; a test holds
the texts of this package to that. Neighbours: `app.storage.predicate`, docs/decisions/0004-redaction.md.
"""

from __future__ import annotations

from typing import Final

import asyncpg

from app.consent import labels, redaction
from app.fhir_mappings import json_text, registry
from app.storage import disclosures, predicate
from app.storage.predicate import CallerSql

_CONSENT: Final = registry.type_code("Consent")

CORRECTING: Final = predicate.correcting(predicate.PARAMETERS)
"""The statement's caller, asking to correct."""


def hidden(row: str, caller: CallerSql, *, version: bool = False) -> str:
    """SQL: the masks of a row's elements that the caller may not see; null where all may be seen.

    row: alias of a visible row of tl.resource, or, where `version`, of tl.resource_history.
    """
    own = predicate.own(row, version=version)
    return (
        f"(CASE WHEN {row}.inline_masks IS NOT NULL THEN tl.hidden_elements({row}.inline_masks, "
        f"{row}.rid, {row}.type, {row}.patient, {row}.co_subjects, {row}.open, {row}.labels, "
        f"{row}.custodian, {row}.clinical_from, {row}.clinical_to, {predicate.asking(caller)}, {own}) END)"
    )


def content(row: str, *, version: bool = False) -> str:
    """SQL: the columns of a visible row from which `shown` makes what the statement's caller may see."""
    targets = f"{row}.refs" if version else "NULL"
    return (
        f"{row}.content, {hidden(row, predicate.PARAMETERS, version=version)} AS hidden, "
        f"(CASE WHEN {row}.type = {_CONSENT} "
        f"AND {row}.custodian IS DISTINCT FROM {predicate.PARAMETERS.organization} "
        f"THEN tl.own_references({row}.rid, {targets}) END) AS own, "
        f"{disclosures.column(row)} AS told"
    )


WHOLE_TYPES: Final = frozenset(registry.CODES.values()) - {_CONSENT}
"""Codes of the types whose rows may be `whole`: to ask for another finds nothing, for a statement more."""


def whole(row: str) -> str:
    """SQL: that none of a row's elements is judged apart, so that whoever may see the row sees all of it."""
    return f"{row}.inline_masks IS NULL AND {row}.type <> {_CONSENT}"


def content_of_whole(row: str) -> str:
    """`content` for a row of which the statement itself asks that it is `whole`; quicker to make."""
    return f"{row}.content, NULL AS hidden, NULL AS own, {disclosures.column(row)} AS told"


def shown(row: asyncpg.Record) -> bytes:
    """The content of a row selected by `content`, as its caller may see it; what needs a notice is noted."""
    stored: bytes = row["content"]
    if row["told"] is not None:
        disclosures.note(row["told"])
    if (row["hidden"] is None and row["own"] is None) or not stored:
        return stored
    return _cut(stored, frozenset(row["hidden"] or ()), row["own"])


def _cut(stored: bytes, masks: frozenset[int], own: list[str] | None) -> bytes:
    resource = json_text.parse(stored, max_depth=json_text.MAX_DEPTH_LIMIT)
    left = redaction.without_elements(resource, masks.__contains__) if masks else None
    if own is not None and not redaction.is_about(resource, own):
        left = redaction.without_grantees(left or resource, own)
    return stored if left is None else json_text.dump(redaction.marked(left))


def same_row(row: str, caller: CallerSql = predicate.PARAMETERS) -> str:
    """SQL: that the resource of a search row may be seen, where the row alone does not tell.

    A Consent may let a label be seen that an element has and its resource has not: then the search row of the
    element passes the predicate, and its resource does not.
    """
    # A function, because the predicate a second time made a count a tenth dearer that never came to it.
    # Unequal, because PostgreSQL takes an expression to equal something in one row of 200: here it is nearly
    # every row, and plans were made for few.
    asked = predicate.asking(caller)
    return (
        f"({row}.labels & {labels.ELEMENT} <> {labels.ELEMENT} OR tl.row_seen({row}.rid, {asked}))"
    )


def followed(link: str, caller: CallerSql = predicate.PARAMETERS) -> str:
    """SQL: that the caller may follow a row of tl.link whose source is visible."""
    return (
        f"({link}.inline_mask IS NULL OR tl.link_seen({link}.source, {link}.target, "
        f"{link}.inline_mask, {predicate.asking(caller)}))"
    )


def routines() -> dict[str, str]:
    """What stands for «hidden_elements» and the like in the functions of the database."""
    inputs = predicate.inputs_of("hidden_elements")
    columns = ", ".join(
        f"hidden_elements.{name} AS {name}"
        for name in (
            "rid",
            "type",
            "patient",
            "co_subjects",
            "custodian",
            "clinical_from",
            "clinical_to",
            "codes",
            "refs",
            "authors",
        )
    )
    judged = (
        "SELECT array_agg(e.mask ORDER BY e.mask) FROM (SELECT m.mask, "
        "tl.element_labels(hidden_elements.labels, m.mask) AS labels, "
        f"tl.element_open(hidden_elements.open, m.mask) AS open, {columns} "
        "FROM unnest(hidden_elements.masks) AS m(mask)) AS e "
        f"WHERE NOT coalesce({predicate.visible('e', inputs, version=True)}, false)"
    )
    asked = predicate.inputs_of("link_seen")
    seen = (
        "EXISTS (SELECT FROM tl.resource r WHERE r.rid = link_seen.source AND tl.hidden_elements("
        "ARRAY[link_seen.mask], r.rid, r.type, r.patient, r.co_subjects, r.open, r.labels, "
        f"r.custodian, r.clinical_from, r.clinical_to, {predicate.asking(asked)}, NULL, NULL, NULL) IS NULL)"
    )
    return {
        "hidden_elements": judged,
        "link_seen": seen,
        "row_seen": predicate.visible("e", predicate.inputs_of("row_seen")),
        "followed": followed("l", predicate.SETTINGS),
        "elements_unread": hidden("x", predicate.SETTINGS),
        "elements_not_corrected": hidden("x", predicate.correcting(predicate.SETTINGS)),
        "grantees": str(labels.GRANTEES),
        "element": str(labels.ELEMENT),
    }
