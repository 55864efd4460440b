"""history of an instance, a type, the system: a page of versions with the request that made each.

Pinned: hl7.org/fhir/R4/http.html#history, hl7.org/fhir/R4/bundle.html#history. Neighbours:
`app.storage.history` (the versions), `app.interactions.cursors` (where a page goes on).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from app.errors import FhirError, Issue, IssueCode, fhir_error, not_found
from app.fhir_mappings import registry
from app.fhir_mappings.bundle import BundleEntry, BundleRequest, BundleResponse, render_bundle
from app.fhir_mappings.date_rows import date_range
from app.fhir_mappings.search_query import query_string
from app.interactions.cursors import CURSOR, Cursors
from app.storage import history, resources
from app.storage.database import Caller, Database, Reader
from app.storage.history import Place, Span, Version

_SHAPING: Final = frozenset({"_format", "_pretty", "_summary", "_elements"})
_OWN: Final = frozenset({"_count", "_since", "_at"})


@dataclass(frozen=True, slots=True)
class HistoryRules:
    """Settings that a history depends on. cursor_key: 32 secret bytes."""

    base_url: str
    strict: bool
    default_count: int
    max_count: int
    cursor_key: bytes


@dataclass(frozen=True, slots=True)
class HistoryResult:
    """The history Bundle, and what it holds, for the audit row."""

    bundle: bytes
    rids: list[int]


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a request asks for. applied: its parameters, for links."""

    span: Span
    count: int
    applied: tuple[tuple[str, str], ...]
    after: Place | None = None


async def history_instance(
    reader: Reader,
    database: Database,
    caller: Caller,
    type_: str,
    id_: str,
    parameters: Sequence[tuple[str, str]],
    rules: HistoryRules,
) -> HistoryResult:
    """The versions of one resource; its total. 404 where it is missing or hidden."""
    path = f"{type_}/{id_}/_history"
    asked = await _asked(database, caller, path, parameters, rules)
    code = registry.type_code(type_)
    if await resources.read(reader, caller, code, id_) is None:
        raise not_found()
    total = await history.count_of_instance(reader, caller, code, id_, asked.span)
    found: list[Version] = []
    if asked.count:
        found = await history.of_instance(
            reader, caller, code, id_, asked.span, asked.after, asked.count + 1
        )
    return await _result(database, caller, path, found, total, asked, rules)


async def history_types(
    reader: Reader,
    database: Database,
    caller: Caller,
    path: str,
    types: Sequence[str],
    parameters: Sequence[tuple[str, str]],
    rules: HistoryRules,
) -> HistoryResult:
    """The versions of all resources of these types. path: `Type/_history`, or `_history` of the system."""
    asked = await _asked(database, caller, path, parameters, rules)
    found: list[Version] = []
    if asked.count:
        codes = [registry.type_code(each) for each in types]
        found = await history.of_types(
            reader, caller, codes, asked.span, asked.after, asked.count + 1
        )
    return await _result(database, caller, path, found, None, asked, rules)


async def _asked(
    database: Database,
    caller: Caller,
    path: str,
    parameters: Sequence[tuple[str, str]],
    rules: HistoryRules,
) -> _Asked:
    """Read the parameters. FhirError 400 for one at fault, 400 or 410 for a cursor."""
    sent = [(name, value) for name, value in parameters if name != CURSOR]
    cursors = [value for name, value in parameters if name == CURSOR]
    after: Place | None = None
    if cursors:
        if any(name not in _SHAPING for name, _ in sent):
            raise fhir_error(
                IssueCode.INVALID,
                "A cursor carries its parameters: send it without others.",
                CURSOR,
            )
        content = await Cursors(rules.cursor_key).open(
            database, caller, f"history:{path}", cursors[0]
        )
        sent = [(name, value) for name, value in content["q"]] + sent
        moment, rid, version = content["p"]
        after = (datetime.fromisoformat(moment), rid, version)
    return _read(sent, rules, after)


def _read(sent: Sequence[tuple[str, str]], rules: HistoryRules, after: Place | None) -> _Asked:
    count = min(rules.default_count, rules.max_count)
    since: datetime | None = None
    at: tuple[datetime | None, datetime | None] = (None, None)
    issues: list[Issue] = []
    applied: list[tuple[str, str]] = []
    for name, value in sent:
        try:
            match name:
                case "_count":
                    count = _count(value, rules)
                case "_since":
                    since = date_range(value).low
                case "_at":
                    at = date_range(value)
                case "_summary" if value == "count":
                    count = 0
                case _ if name not in _SHAPING:
                    if rules.strict:
                        issues.append(_unknown(name))
                    continue
        except ValueError:
            issues.append(Issue(IssueCode.INVALID, "Give a date, a time or a number.", (name,)))
            continue
        applied.append((name, value))
    issues += [
        Issue(IssueCode.INVALID, "Give this parameter once.", (name,))
        for name in sorted(_OWN)
        if sum(each == name for each, _ in applied) > 1
    ]
    if issues:
        raise FhirError(issues, status=400)
    return _Asked(Span(since, *at), count, tuple(applied), after)


def _count(text: str, rules: HistoryRules) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError("no number")
    return min(int(text[:10]), rules.max_count)


def _unknown(name: str) -> Issue:
    return Issue(
        IssueCode.NOT_SUPPORTED,
        "A history takes _count, _since, _at, _format, _pretty, _summary and _elements.",
        (name,) if name.isascii() and name.replace("-", "").replace("_", "").isalnum() else (),
    )


async def _result(
    database: Database,
    caller: Caller,
    path: str,
    found: Sequence[Version],
    total: int | None,
    asked: _Asked,
    rules: HistoryRules,
) -> HistoryResult:
    page, more = found[: asked.count], len(found) > asked.count
    address = f"{rules.base_url}/{path}"
    links = [("self", _url(address, asked.applied)), ("first", _url(address, asked.applied))]
    if more:
        last = page[-1]
        content: dict[str, Any] = {
            "q": [each for each in asked.applied if each[0] not in _SHAPING],
            "p": [last.last_updated.isoformat(), last.rid, last.version],
        }
        word = await Cursors(rules.cursor_key).seal(database, caller, f"history:{path}", content)
        shaping = [each for each in asked.applied if each[0] in _SHAPING]
        links.append(("next", _url(address, [(CURSOR, word), *shaping])))
    bundle = render_bundle(
        "history", total=total, links=links, entries=[_entry(v, rules.base_url) for v in page]
    )
    return HistoryResult(bundle, list(dict.fromkeys(v.rid for v in page)))


def _url(address: str, parameters: Sequence[tuple[str, str]]) -> str:
    text = query_string(parameters)
    return f"{address}?{text}" if text else address


def _entry(version: Version, base_url: str) -> BundleEntry:
    name = registry.type_name(version.type_code)
    address = f"{name}/{version.id}"
    first = version.version == 1
    return BundleEntry(
        full_url=f"{base_url}/{address}",
        resource=None if version.deleted else version.content,
        request=BundleRequest(
            "DELETE" if version.deleted else "POST" if first else "PUT",
            name if first and not version.deleted else address,
        ),
        response=BundleResponse(
            "204" if version.deleted else "201" if first else "200",
            etag=f'W/"{version.version}"',
            last_modified=version.last_updated,
        ),
    )
