"""The referral package: one Bundle with all of a referral that its reader may see, and nothing else.

`GET Task/{id}/$referral-package`: the Task, its ServiceRequest (Task.focus), the Consent and every other
supporting resource (Task.input, Task.output, ServiceRequest.supportingInfo and reasonReference) that consent
permits this caller, a minimal Patient, and the redisclosure notice where 42 CFR Part 2 or victim-service
data is in it (42 CFR 2.32). Always three statements. Pinned: hl7.org/fhir/R4/task.html, bundle.html.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from app.consent import labels
from app.errors import Issue, IssueCode, not_found
from app.fhir_mappings import json_text, links, operation_outcome, registry
from app.fhir_mappings.bundle import BundleEntry, render_bundle
from app.storage import resources
from app.storage.database import Caller, Database
from app.storage.resources import Referenced

_MINIMAL: Final = ("name", "birthDate", "gender", "communication")
"""What a receiver needs to know whom it will meet; never an address or a telephone number."""

_TASK_PATHS: Final = ("Task.focus", "Task.for", "Task.input", "Task.output")
_REQUEST_PATHS: Final = (
    "ServiceRequest.subject",
    "ServiceRequest.supportingInfo",
    "ServiceRequest.reasonReference",
)

PART2_NOTICE: Final = "42 CFR part 2 prohibits unauthorized use or disclosure of these records."
"""The short form of 42 CFR 2.32(a)(2)."""

VICTIM_NOTICE: Final = (
    "These records come from a victim-service provider: they may be passed on only with the "
    "survivor's written, time-limited release (34 USC 12291(b)(2))."
)


@dataclass(frozen=True, slots=True)
class Package:
    """The rendered Bundle and the rids it holds, for the audit row."""

    bundle: bytes
    rids: list[int]


def _references(
    resource: dict[str, Any], paths: tuple[str, ...], bases: tuple[str, ...]
) -> list[tuple[int, str]]:
    return [
        (registry.type_code(ref.type), ref.id)
        for ref in links.literal_references(resource, bases)
        if ref.kind == "local"
        and registry.is_resource_type(ref.type)
        and ref.expression.startswith(paths)
    ]


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
    kept = {name: patient[name] for name in _MINIMAL if name in patient}
    return json_text.dump({"resourceType": "Patient", "id": patient["id"], "meta": meta} | kept)


async def referral_package(
    database: Database, caller: Caller, task_id: str, base_url: str
) -> Package:
    """Assemble the package of a Task. 404 where the Task is missing or hidden.

    A hidden part is absent without a trace: the Bundle is that of a referral that never had it.
    """
    bases = (base_url,)
    tasks = await resources.read_many(database, caller, [(registry.type_code("Task"), task_id)])
    if not tasks:
        raise not_found()
    task = json_text.parse(tasks[0].content, max_depth=json_text.MAX_DEPTH_LIMIT)
    near = await resources.read_many(
        database, caller, list(dict.fromkeys(_references(task, _TASK_PATHS, bases)))
    )
    request_code = registry.type_code("ServiceRequest")
    wanted = [
        reference
        for each in near
        if each.type_code == request_code
        for reference in _references(
            json_text.parse(each.content, max_depth=json_text.MAX_DEPTH_LIMIT),
            _REQUEST_PATHS,
            bases,
        )
    ]
    far = await resources.read_many(database, caller, list(dict.fromkeys(wanted)))
    parts = list({each.rid: each for each in [*tasks, *near, *far]}.values())
    entries = [_entry(each, base_url) for each in parts]
    notices = _notices(parts)
    if notices:
        entries.append(BundleEntry(resource=operation_outcome.render(notices)))
    bundle = render_bundle(
        "collection", total=None, links=[], entries=entries, timestamp=datetime.now(UTC)
    )
    return Package(bundle, [each.rid for each in parts])


def _entry(part: Referenced, base_url: str) -> BundleEntry:
    name = registry.type_name(part.type_code)
    content = _minimal_patient(part.content) if name == "Patient" else part.content
    return BundleEntry(full_url=f"{base_url}/{name}/{part.id}", resource=content)


def _notices(parts: list[Referenced]) -> list[Issue]:
    carried = 0
    for part in parts:
        carried |= part.labels
    return [
        Issue(IssueCode.INFORMATIONAL, text, (), "information")
        for bit, text in ((labels.PART2, PART2_NOTICE), (labels.VICTIM, VICTIM_NOTICE))
        if carried & bit
    ]
