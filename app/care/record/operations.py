"""What the operations on a person's record read and write, as their caller (`app.routers.record`)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from app.care.contact.safety import presented
from app.care.questionnaires.operations import Made, organization_of, search
from app.care.record import match, summary
from app.errors import IssueCode, fhir_error, not_found
from app.fhir_mappings import json_text, registry
from app.fhir_mappings.bundle import BundleEntry, render_bundle
from app.interactions import grants, writing
from app.storage import person, resources
from app.storage.database import Caller, Database

Json = dict[str, Any]

_MOST: Final = 200
_PATIENT: Final = registry.type_code("Patient")


def _parsed(content: bytes) -> Json:
    return json_text.parse(content, max_depth=json_text.MAX_DEPTH_LIMIT)


async def match_patient(
    database: Database, caller: Caller, wanted: Json, base_url: str, *, certain: bool, count: int
) -> Made:
    """The Patients that fit, best first, of those that the caller may see.

    certain: only certain matches, and none where there are several (R4's onlyCertainMatches).
    """
    found: dict[int, tuple[match.Match, Json]] = {}
    for query in match.queries(wanted):
        for each in await search(database, caller, "Patient", query, _MOST):
            candidate = _parsed(each.content)
            fits = match.match(wanted, candidate)
            if fits is not None:
                found[each.rid] = (fits, candidate)
    ranked = sorted(found.items(), key=lambda item: (-item[1][0].score, item[1][1]["id"]))
    if certain:
        ranked = [item for item in ranked if item[1][0].grade == "certain"]
        ranked = ranked if len(ranked) == 1 else []
    ranked = ranked[:count]
    entries = [
        {
            "fullUrl": f"{base_url}/Patient/{candidate['id']}",
            "resource": candidate,
            "search": {
                "extension": [{"url": match.GRADE, "valueCode": fits.grade}],
                "mode": "match",
                "score": fits.score,
            },
        }
        for _, (fits, candidate) in ranked
    ]
    bundle: Json = {"resourceType": "Bundle", "type": "searchset", "total": len(entries)}
    return Made(bundle | ({"entry": entries} if entries else {}), [rid for rid, _ in ranked])


async def _patient(database: Database, caller: Caller, id_: str) -> tuple[int, Json]:
    found = await resources.read_many(database, caller, [(_PATIENT, id_)])
    if not found:
        raise not_found()
    return found[0].rid, _parsed(found[0].content)


async def link_patients(
    database: Database, caller: Caller, id_: str, other: str, rules: writing.WriteRules
) -> Made:
    """Say that two Patients are one person: both get a `seealso` link, and one set of grants.

    Authority over both: the caller must be able to correct either (403). 404 where the first is missing or
    hidden, the same 422 where the second is. Afterwards every Consent about either counts for both, denies
    included, and every record of either is about both; `unlink_patients` takes it back.
    """
    return await _rewrite(database, caller, id_, other, rules, together=True)


async def unlink_patients(
    database: Database, caller: Caller, id_: str, other: str, rules: writing.WriteRules
) -> Made:
    """Say that two linked Patients are two persons after all: links, subjects and grants as before."""
    return await _rewrite(database, caller, id_, other, rules, together=False)


async def _rewrite(
    database: Database,
    caller: Caller,
    id_: str,
    other: str,
    rules: writing.WriteRules,
    *,
    together: bool,
) -> Made:
    rid, first = await _patient(database, caller, id_)
    type_, _, other_id = other.partition("/")
    if type_ != "Patient" or not other_id or other_id == id_:
        raise fhir_error(
            IssueCode.INVALID, "Name another Patient by a reference, as Patient/id.", "other"
        )
    found = await resources.read_many(database, caller, [(_PATIENT, other_id)])
    if not found:
        raise fhir_error(
            IssueCode.BUSINESS_RULE,
            "The reference points at nothing known here; correct it, or create its target first.",
            "other",
        )
    second = _parsed(found[0].content)
    operations = [
        writing.Operation("Patient", own["id"], _linked(own, towards, together=together))
        for own, towards in ((first, other_id), (second, id_))
    ]
    writing.check_valid([(each.resource, each) for each in operations])
    writing.require_writer(caller)
    async with database.write(caller) as connection:
        if not together and not await person.linked(connection, rid, found[0].rid):
            raise fhir_error(
                IssueCode.BUSINESS_RULE, "These two Patients are not linked by $link.", "other"
            )
        written = await writing.write_on(connection, caller, operations, rules)
        now = datetime.now(UTC)
        pair = (rid, found[0].rid)
        touched = await (person.link if together else person.unlink)(connection, *pair)
        limits = await grants.ceilings(connection, rules.base_urls)
        for each in touched:
            await grants.recompile(connection, each, now, limits, rules.base_urls)
    entries = [
        {
            "resource": _parsed(each.content),
            "response": {
                "status": str(each.status),
                "location": f"Patient/{each.id}/_history/{each.version}",
                "etag": f'W/"{each.version}"',
            },
        }
        for each in written
    ]
    bundle = {"resourceType": "Bundle", "type": "transaction-response", "entry": entries}
    return Made(bundle, [each.rid for each in written])


def _linked(patient: Json, towards: str, *, together: bool) -> Json:
    reference = {"reference": f"Patient/{towards}"}
    kept = [each for each in patient.get("link", ()) if each.get("other") != reference]
    links = [*kept, {"other": reference, "type": "seealso"}] if together else kept
    rest = {name: value for name, value in patient.items() if name != "link"}
    return rest | ({"link": links} if links else {})


async def summarize(
    database: Database, caller: Caller, id_: str, base_url: str, may_read: Callable[[str], bool]
) -> tuple[bytes, list[int]]:
    """The summary of a person and of those whom `$link` says are the same: a document Bundle, and its rids.

    One search for each section, whatever the record holds.
    """
    rid, patient = await _patient(database, caller, id_)
    same = [id_, *await person.others(database, caller, rid)]
    subjects = ",".join(f"Patient/{each}" for each in same)
    organization = await organization_of(database, caller)
    # The survivor's own app gets her record as it is; what is handed on shows the names and contacts to use.
    shown = patient if caller.person is not None else presented(patient)
    found, contents, rids = [], {f"Patient/{id_}": json_text.dump(shown)}, [rid]
    for section in summary.SECTIONS if may_read("Patient") else ():
        rows = []
        if may_read(section.type):
            asked = [("patient", subjects), *section.search]
            rows = await search(database, caller, section.type, asked, _MOST)
        places = [f"{section.type}/{row.id}" for row in rows]
        contents |= dict(zip(places, (row.content for row in rows), strict=True))
        rids += [row.rid for row in rows]
        found.append((section, [_parsed(row.content) for row in rows]))
    if organization is not None:
        type_, _, organization_id = organization.partition("/")
        for row in await resources.read_many(
            database, caller, [(registry.type_code(type_), organization_id)]
        ):
            contents[organization] = row.content
    now = datetime.now(UTC)
    head = summary.composition(f"Patient/{id_}", organization, found, now)
    entries = [BundleEntry(f"urn:uuid:{head['id']}", json_text.dump(head))]
    entries += [BundleEntry(f"{base_url}/{place}", body) for place, body in contents.items()]
    bundle = render_bundle(
        "document",
        total=None,
        links=[],
        entries=entries,
        identifier={"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{uuid.uuid4()}"},
        timestamp=now,
    )
    return bundle, rids
