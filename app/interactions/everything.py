"""`Patient/{id}/$everything`: one record as a searchset, in pages.

Each page is found and judged anew, so a withdrawal counts from the next page on. The types are those of the
token's scopes. Pinned: hl7.org/fhir/R4/patient-operation-everything.html. Neighbours:
`app.storage.everything` (the rows), `app.interactions.cursors`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from app.errors import FhirError, Issue, IssueCode, fhir_error, not_found
from app.fhir_mappings import registry
from app.fhir_mappings.bundle import BundleEntry, render_bundle
from app.fhir_mappings.date_rows import DateRange, date_range
from app.fhir_mappings.search_query import query_string
from app.interactions.cursors import CURSOR, Cursors
from app.storage import everything, resources
from app.storage.database import Caller, Database, Reader
from app.storage.everything import Choice, Part

_SHAPING: Final = frozenset({"_format", "_pretty", "_summary", "_elements"})
_OWN: Final = frozenset({"_count", "_since", "_type", "start", "end"})
_NEVER: Final = DateRange(None, None)


@dataclass(frozen=True, slots=True)
class EverythingRules:
    """Settings that it depends on. may_read: types that the token's scopes let it read."""

    base_url: str
    default_count: int
    max_count: int
    cursor_key: bytes
    may_read: Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Everything:
    """The Bundle, and what it holds, for the audit row."""

    bundle: bytes
    rids: list[int]


async def patient_everything(
    reader: Reader,
    database: Database,
    caller: Caller,
    id_: str,
    parameters: Sequence[tuple[str, str]],
    rules: EverythingRules,
) -> Everything:
    """One page of a patient's record. FhirError 404 where the patient is missing or hidden, 410 deleted."""
    cursors, kind = Cursors(rules.cursor_key), f"everything:{id_}"
    sent = [(name, value) for name, value in parameters if name != CURSOR]
    given = next((value for name, value in parameters if name == CURSOR), None)
    after: int | None = None
    if given is not None:
        content = await cursors.open(database, caller, kind, given)
        if any(name not in _SHAPING for name, _ in sent):
            raise fhir_error(
                IssueCode.INVALID,
                "A cursor carries its parameters: send it without others.",
                CURSOR,
            )
        sent = [(name, value) for name, value in content["q"]] + sent
        after = content["p"]
    choice, count = _read(sent, rules)
    stored = await resources.read(reader, caller, registry.type_code("Patient"), id_)
    if stored is None:
        raise not_found()
    if stored.deleted:
        raise fhir_error(IssueCode.DELETED, "The patient has been deleted.")
    found = await everything.page(reader, caller, stored.rid, choice, after, count + 1)
    page, more = found[:count], len(found) > count
    shown = {each.rid for each in page}
    support = [
        each
        for each in await everything.support(reader, caller, sorted(shown), choice)
        if each.rid not in shown
    ]
    address = f"{rules.base_url}/Patient/{id_}/$everything"
    links = [("self", _url(address, sent))]
    if more:
        last = page[-1].rid
        place = 0 if last == stored.rid else last
        plain = [each for each in sent if each[0] not in _SHAPING]
        word = await cursors.seal(database, caller, kind, {"q": plain, "p": place})
        shaping = [each for each in sent if each[0] in _SHAPING]
        links.append(("next", _url(address, [(CURSOR, word), *shaping])))
    entries = [_entry(each, "match", rules) for each in page]
    entries += [_entry(each, "include", rules) for each in support]
    bundle = render_bundle("searchset", total=None, links=links, entries=entries)
    return Everything(bundle, [each.rid for each in [*page, *support]])


def _read(sent: Sequence[tuple[str, str]], rules: EverythingRules) -> tuple[Choice, int]:
    count = min(rules.default_count, rules.max_count)
    types: list[str] = [each for each in registry.RESOURCE_TYPES if rules.may_read(each)]
    dates: dict[str, DateRange] = {}
    issues: list[Issue] = []
    for name, value in sent:
        try:
            match name:
                case "_count":
                    count = _count(value, rules)
                case "_since" | "start" | "end":
                    dates[name] = date_range(value)
                case "_type":
                    types = [each for each in _types(value) if each in types]
                case _ if name not in _SHAPING:
                    raise ValueError("unknown")
        except ValueError:
            known = name in _OWN
            issues.append(
                Issue(
                    IssueCode.INVALID if known else IssueCode.NOT_SUPPORTED,
                    "Give a value of the parameter's kind."
                    if known
                    else "$everything takes start, end, _since, _type and _count.",
                    (name,) if known else (),
                )
            )
    if issues:
        raise FhirError(issues, status=400)
    every = len(types) == len(registry.RESOURCE_TYPES)
    start: datetime | None = dates.get("start", _NEVER).low
    return (
        Choice(
            types=None if every else [registry.type_code(each) for each in types],
            since=dates.get("_since", _NEVER).low,
            start=start,
            end=dates.get("end", _NEVER).high,
        ),
        count,
    )


def _count(text: str, rules: EverythingRules) -> int:
    if not (text.isascii() and text.isdigit()) or int(text[:10]) == 0:
        raise ValueError("no page size")
    return min(int(text[:10]), rules.max_count)


def _types(text: str) -> list[str]:
    names = text.split(",")
    if not all(registry.is_resource_type(each) for each in names):
        raise ValueError("no type")
    return names


def _url(address: str, parameters: Sequence[tuple[str, Any]]) -> str:
    text = query_string(parameters)
    return f"{address}?{text}" if text else address


def _entry(part: Part, mode: str, rules: EverythingRules) -> BundleEntry:
    name = registry.type_name(part.type_code)
    return BundleEntry(
        full_url=f"{rules.base_url}/{name}/{part.id}", resource=part.content, search_mode=mode
    )
