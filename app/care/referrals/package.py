"""The referral package: one Bundle with all of a referral that its reader may see, and nothing else.

`GET Task/{id}/$referral-package`: the Task, its ServiceRequest (Task.focus), the Consent and every other
supporting resource (Task.input, Task.output, ServiceRequest.supportingInfo and reasonReference) that consent
permits this caller, a minimal Patient, and the redisclosure notice where 42 CFR Part 2 or victim-service
data is in it (42 CFR 2.32). Always three statements. `type=document` asks for the same as a FHIR document
(`app.care.referrals.document`). Pinned: hl7.org/fhir/R4/task.html, bundle.html.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from operator import itemgetter, or_
from typing import Any, Final, TypeAlias

from app.care.contact.safety import presented
from app.care.referrals import document
from app.consent import notices
from app.errors import Issue, IssueCode, fhir_error, not_found
from app.fhir_mappings import json_text, links, operation_outcome, registry
from app.fhir_mappings.bundle import BundleEntry, plain_entries, render_bundle
from app.fhir_mappings.reference_value import ReferenceKind, parse_reference
from app.storage import resources
from app.storage.database import Caller, Reader
from app.storage.resources import Referenced

_MINIMAL: Final = ("name", "birthDate", "gender", "communication")
"""What a receiver needs to know whom it will meet; never an address or a telephone number."""

_TASK_PATHS: Final = ("Task.focus", "Task.for", "Task.input", "Task.output")
_REQUEST_PATHS: Final = (
    "ServiceRequest.subject",
    "ServiceRequest.supportingInfo",
    "ServiceRequest.reasonReference",
)

_PLAIN_REFERENCE: Final = frozenset({"reference", "type", "display", "identifier"})
"""An element of nothing but these is one link and no more: a request may have thousands."""

_TYPES: Final = ("collection", "document")

_REQUESTER: Final = ("Task.requester",)
"""Who answers for the document."""


@dataclass(frozen=True, slots=True)
class Package:
    """The rendered Bundle and the rids it holds, for the audit row."""

    bundle: bytes
    rids: list[int]


def _references(
    resource: dict[str, Any], paths: tuple[str, ...], bases: tuple[str, ...]
) -> list[tuple[int, str]]:
    """(type code, id) of each reference to a resource of this server under one of the paths."""
    found: list[tuple[int, str]] = []
    walked: list[str] = []
    for path in paths:
        value = resource.get(path.partition(".")[2], ())
        many = value if isinstance(value, list) else [value] if value else []
        plain = _plain(many, bases)
        if plain is None:
            walked.append(path)
        else:
            found += plain
    if walked:
        found += [
            (registry.type_code(ref.type), ref.id)
            for ref in links.literal_references(resource, bases)
            if ref.kind == "local"
            and registry.is_resource_type(ref.type)
            and ref.expression.startswith(tuple(walked))
        ]
    return found


def _plain(many: list[Any], bases: tuple[str, ...]) -> list[tuple[int, str]] | None:
    """The same of References that are nothing more; None where there is one that is."""
    found: list[tuple[int, str]] = []
    for each in many:
        if type(each) is not dict or not each.keys() <= _PLAIN_REFERENCE:
            return None
        text = each.get("reference", "")
        type_, _, id_ = text.partition("/")
        code = registry.CODES.get(type_)
        if code is None or "/" in id_:
            target = parse_reference(text, bases)
            if target.kind is not ReferenceKind.LOCAL or not target.type or not target.id:
                continue
            code, id_ = registry.type_code(target.type), target.id
        found.append((code, id_))
    return found


def _minimal_patient(content: bytes) -> bytes:
    patient = json_text.parse(content, max_depth=json_text.MAX_DEPTH_LIMIT)
    meta = dict(patient["meta"])
    meta["tag"] = [
        *meta.get("tag", ()),
        {
            "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
            "code": "SUBSETTED",
        },
    ]
    shown = presented(patient)
    kept = {name: shown[name] for name in _MINIMAL if name in shown}
    return json_text.dump({"resourceType": "Patient", "id": patient["id"], "meta": meta} | kept)


async def referral_package(
    database: Reader,
    caller: Caller,
    task_id: str,
    base_url: str,
    may_read: Callable[[str], bool],
    type_: str = "collection",
) -> Package:
    """Assemble the package of a Task, as a collection or as a document. 400 for another type, 404 where
    the Task is missing or hidden.

    may_read: whether the access token's scopes cover a type; parts that they do not are absent as well.
    A hidden part is absent without a trace: the Bundle is that of a referral that never had it.
    """
    if type_ not in _TYPES:
        raise fhir_error(IssueCode.INVALID, "Ask for type=collection or type=document.", "type")
    now = datetime.now(UTC)
    parts, author = await _gather(database, caller, task_id, (base_url,), type_)
    groups = [
        (name, sorted(parts[code], key=_ID))
        for code in sorted(parts, key=_PLACE.__getitem__)
        if may_read(name := registry.type_name(code))
    ]
    kept = [each for _, group in groups for each in group]
    rids, told = [each.rid for each in kept], _notices(kept)
    if type_ == "document":
        return Package(_document(groups, author, told, base_url, now), rids)
    entries: list[BundleEntry | bytes] = []
    for name, group in groups:
        entries += plain_entries(f"{base_url}/{name}", _contents(name, group))
    if told:
        entries.append(BundleEntry(resource=operation_outcome.render(told)))
    bundle = render_bundle("collection", total=None, links=[], entries=entries, timestamp=now)
    return Package(bundle, rids)


def _document(
    groups: _Groups, author: str | None, told: list[Issue], base_url: str, now: datetime
) -> bytes:
    places = [f"{name}/{each.id}" for name, group in groups for each in group]
    head = document.composition(places, author, [issue.diagnostics for issue in told], now)
    contents = [content for name, group in groups for _, content in _contents(name, group)]
    return document.bundle(head, places, contents, base_url, now)


async def _gather(
    database: Reader, caller: Caller, task_id: str, bases: tuple[str, ...], type_: str
) -> tuple[dict[int, list[Referenced]], str | None]:
    """The parts by type code, and the author of a document as "Type/id"; three statements."""
    tasks = await resources.read_many(database, caller, [(registry.type_code("Task"), task_id)])
    if not tasks:
        raise not_found()
    task = json_text.glimpse(tasks[0].content)
    requester = _references(task, _REQUESTER, bases) if type_ == "document" else []
    near = await resources.read_many(
        database, caller, list(dict.fromkeys([*_references(task, _TASK_PATHS, bases), *requester]))
    )
    requests = [each for each in near if each.type_code == _REQUEST]
    wanted = {
        reference
        for each in requests
        for reference in _references(json_text.glimpse(each.content), _REQUEST_PATHS, bases)
    }
    targets = await resources.read_targets(database, caller, [each.rid for each in requests])
    far = [each for each in targets if each[1:3] in wanted]
    parts: defaultdict[int, list[Referenced]] = defaultdict(list)
    for part in {each.rid: each for each in [*tasks, *near, *far]}.values():
        parts[part.type_code].append(part)
    author = next((e for e in near if (e.type_code, e.id) in requester), None)
    return parts, f"{registry.type_name(author.type_code)}/{author.id}" if author else None


_ID: Final = itemgetter(Referenced._fields.index("id"))
_REQUEST: Final = registry.type_code("ServiceRequest")
_FIRST: Final = ("Task", "ServiceRequest", "Patient", "Consent")


_PLACE: Final = {
    registry.type_code(name): place
    for place, name in enumerate(
        [*_FIRST, *(each for each in registry.RESOURCE_TYPES if each not in _FIRST)]
    )
}
"""Where the resources of a type stand among the parts."""


_Groups: TypeAlias = list[tuple[str, list[Referenced]]]
"""Resource types with their parts, in the order of the package."""


def _contents(name: str, group: list[Referenced]) -> list[tuple[str, bytes]]:
    if name == "Patient":
        return [(each.id, _minimal_patient(each.content)) for each in group]
    return [(each.id, each.content) for each in group]


def _notices(parts: list[Referenced]) -> list[Issue]:
    carried = reduce(or_, (part.labels for part in parts), 0)
    return [
        Issue(IssueCode.INFORMATIONAL, text, (), "information") for text in notices.notices(carried)
    ]
