"""search-type: one statement for the page, one for an exact total, one for each include.

Pinned: hl7.org/fhir/R4/http.html#search, hl7.org/fhir/R4/search.html. The cursor of a next link is
encrypted and bound to the caller and to the parameters; it says where the next page begins by position, so
that a page may repeat or miss a row when rows are written meanwhile.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.fernet import Fernet, InvalidToken

from app.errors import IssueCode, fhir_error
from app.fhir_mappings import registry
from app.fhir_mappings.bundle import BundleEntry, render_bundle
from app.fhir_mappings.search_query import parse, query_string
from app.storage import search_sql
from app.storage.database import Caller, Reader
from app.storage.search_sql import Found

CURSOR: Final = "_cursor"
_LIFETIME: Final = 3600


@dataclass(frozen=True, slots=True)
class SearchRules:
    """Settings that searching depends on. cursor_key: 32 secret bytes."""

    base_url: str
    strict: bool
    default_count: int
    max_count: int
    cursor_key: bytes


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The searchset Bundle, and what it holds, for the audit row."""

    bundle: bytes
    rids: list[int]


async def search_type(
    database: Reader,
    caller: Caller,
    type_: str,
    parameters: Sequence[tuple[str, str]],
    rules: SearchRules,
) -> SearchResult:
    """Search one type as a caller. FhirError 400 for a parameter at fault, 410 for an expired cursor."""
    cursors = [value for name, value in parameters if name == CURSOR]
    own = [(name, value) for name, value in parameters if name != CURSOR]
    query = parse(
        type_,
        own,
        strict=rules.strict,
        base_urls=(rules.base_url,),
        max_count=rules.max_count,
        default_count=rules.default_count,
    )
    binding = _binding(caller, type_, query.applied)
    offset = _open(cursors[0], rules.cursor_key, binding) if cursors else 0
    wanted = query.summary_count or query.total != "none"
    total = await search_sql.count(database, caller, query) if wanted else None
    found = [] if query.count == 0 else await search_sql.page(database, caller, query, offset)
    page, more = found[: query.count], len(found) > query.count
    others: dict[int, Found] = {}
    rids = [each.rid for each in page]
    for includes, reverse in ((query.includes, False), (query.revincludes, True)):
        for include in includes if rids else ():
            if not reverse and include.source_type != type_:
                continue
            for each in await search_sql.included(database, caller, rids, include, reverse=reverse):
                others.setdefault(each.rid, each)
    base = f"{rules.base_url}/{type_}"
    links = [("self", _url(base, query.applied))]
    if more:
        cursor = _seal(offset + query.count, rules.cursor_key, binding)
        links.append(("next", _url(base, [*query.applied, (CURSOR, cursor)])))
    entries = [_entry(each, rules.base_url, "match") for each in page]
    entries += [_entry(each, rules.base_url, "include") for each in others.values()]
    bundle = render_bundle("searchset", total=total, links=links, entries=entries)
    return SearchResult(bundle, [*rids, *others])


def _entry(found: Found, base_url: str, mode: str) -> BundleEntry:
    name = registry.type_name(found.type_code)
    return BundleEntry(
        full_url=f"{base_url}/{name}/{found.id}", resource=found.content, search_mode=mode
    )


def _url(base: str, parameters: Sequence[tuple[str, str]]) -> str:
    text = query_string(parameters)
    return f"{base}?{text}" if text else base


def _binding(caller: Caller, type_: str, applied: Sequence[tuple[str, str]]) -> str:
    parts = [list(caller.closure), caller.purpose, type_, [list(each) for each in applied]]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _fernet(key: bytes) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(key))


def _seal(offset: int, key: bytes, binding: str) -> str:
    return _fernet(key).encrypt(json.dumps([offset, binding]).encode()).decode()


def _open(cursor: str, key: bytes, binding: str) -> int:
    try:
        sealed = _fernet(key).decrypt(cursor.encode())
    except InvalidToken as error:
        raise fhir_error(
            IssueCode.INVALID, "The cursor is none of this server's; search again.", CURSOR
        ) from error
    stamp = _fernet(key).extract_timestamp(cursor.encode())
    offset, bound = json.loads(sealed)
    if bound != binding:
        raise fhir_error(
            IssueCode.INVALID, "The cursor belongs to another search or caller.", CURSOR
        )
    if _age(stamp) > _LIFETIME:
        raise fhir_error(IssueCode.DELETED, "The cursor has expired; search again.", CURSOR)
    return int(offset)


def _age(stamp: int) -> float:
    import time

    return time.time() - stamp
