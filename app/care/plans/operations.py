"""What `$apply` reads and writes, as its caller (`app.routers.plans`)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from app.care.plans.apply import Pathway, applied, definitions_of
from app.care.questionnaires.finding import by_url
from app.care.questionnaires.operations import Made, organization_of
from app.errors import IssueCode, fhir_error, not_found
from app.fhir_mappings import json_text, registry
from app.fhir_mappings.links import replace_references
from app.fhir_mappings.reference_value import ReferenceKind, parse_reference
from app.interactions import writing
from app.storage import resources
from app.storage.database import Caller, Database

Json = dict[str, Any]


async def apply_plan(
    database: Database,
    caller: Caller,
    id_: str,
    subject: str,
    rules: writing.WriteRules,
    *,
    store: bool,
) -> Made:
    """Apply a PlanDefinition to "Patient/id". Without `store` the CarePlan with all of it contained; with it a
    transaction-response of what was written, all or nothing. 404 where plan or person is missing or hidden.
    """
    rid, plan = await _read(database, caller, "PlanDefinition", id_)
    type_, _, patient_id = subject.partition("/")
    if type_ != "Patient" or not patient_id:
        raise fhir_error(
            IssueCode.INVALID, "Name the subject as a reference to a Patient.", "subject"
        )
    patient_rid, patient = await _read(database, caller, "Patient", patient_id)
    organization = await organization_of(database, caller)
    if organization is None:
        raise fhir_error(IssueCode.FORBIDDEN, "This access token may read, not write.")
    url, version = plan.get("url"), plan.get("version")
    canonical = f"{url}|{version}" if url and version else str(url or f"PlanDefinition/{id_}")
    definitions = await _definitions(database, caller, plan, rules.base_urls)
    now = datetime.now(UTC)
    pathway = Pathway(plan, canonical, patient, organization, definitions, now)
    made = applied(pathway)
    rids = [rid, patient_rid]
    if not store:
        return Made(_contained(made), rids)
    operations = [
        writing.Operation(each["resourceType"], None, each, full_url=url) for url, each in made
    ]
    written = await writing.write(database, caller, operations, rules)
    entries = [
        {
            "resource": json_text.parse(each.content, max_depth=json_text.MAX_DEPTH_LIMIT),
            "response": {
                "status": str(each.status),
                "location": f"{each.type}/{each.id}/_history/{each.version}",
            },
        }
        for each in written
    ]
    rids += [r for each in written for r in each.rids]
    bundle = {"resourceType": "Bundle", "type": "transaction-response", "entry": entries}
    return Made(bundle, rids)


async def _read(database: Database, caller: Caller, type_: str, id_: str) -> tuple[int, Json]:
    found = await resources.read_many(database, caller, [(registry.type_code(type_), id_)])
    if not found:
        raise not_found()
    content = json_text.parse(found[0].content, max_depth=json_text.MAX_DEPTH_LIMIT)
    return found[0].rid, content


async def _definitions(
    database: Database, caller: Caller, plan: Mapping[str, Any], bases: tuple[str, ...]
) -> dict[str, Json]:
    known = {f"#{each['id']}": dict(each) for each in plan.get("contained", ()) if "id" in each}
    for canonical in definitions_of(plan):
        address, _, version = canonical.partition("|")
        target = parse_reference(address, bases)
        found: Json | None
        if target.kind is ReferenceKind.LOCAL and target.type and target.id:
            code = registry.type_code(target.type)
            rows = await resources.read_many(database, caller, [(code, target.id)])
            parsed = [json_text.parse(r.content, max_depth=json_text.MAX_DEPTH_LIMIT) for r in rows]
            found = parsed[0] if parsed else None
        else:
            found = await by_url(database, caller, "ActivityDefinition", address, version or None)
        if found is not None:
            known[canonical] = found
    return known


def _contained(made: list[tuple[str, Json]]) -> Json:
    """The CarePlan as R4 answers it: what it refers to stands contained, nothing is stored."""
    (care_plan_url, care_plan), *others = made
    names = {url: f"#{number}" for number, (url, _) in enumerate(others, start=1)}
    # A contained resource refers to its container by "#" alone.
    mapping = names | {care_plan_url: "#"}
    contained = [replace_references(each, mapping) | {"id": names[url][1:]} for url, each in others]
    return replace_references(care_plan, mapping) | {"contained": contained}
