"""A plan as the row that is stored: a no-op found out, index rows and links filed.

Pinned: hl7.org/fhir/R4/resource.html#Meta, hl7.org/fhir/R4/security-labels.html; docs/consent.md,
"Labelling on write". Neighbour: `app.storage.writes` stores what is made here.
"""

from __future__ import annotations

from datetime import datetime

from app.consent import labels
from app.errors import IssueCode, fhir_error
from app.fhir_mappings import (
    clinical_time,
    codes,
    index_rows,
    json_text,
    links,
    registry,
    search_keys,
    text_rows,
)
from app.interactions.write_plan import Json, Plan, Targets, WriteRules
from app.interactions.write_references import local
from app.storage import writes
from app.storage.resources import Current


def row(
    plan: Plan, targets: Targets, organization: int, now: datetime, rules: WriteRules
) -> writes.Row | None:
    """What to store for a plan; None, and the plan marked unchanged, where nothing is to be stored.

    FhirError 422 where a Consent would move to another patient.
    """
    if plan.resource is None:
        return _deletion(plan, now)
    current, type_ = plan.current, plan.operation.type
    security = plan.security
    if current and not current.deleted and _same(plan, plan.resource, current, security):
        plan.unchanged = True
        return None
    if current and type_ == "Consent" and _moves(current, plan.resource, rules):
        raise fhir_error(
            IssueCode.BUSINESS_RULE,
            "A Consent stays with its patient: set this one inactive and record another.",
            "Consent.patient",
        )
    version = current.version + 1 if current else 1
    stored = json_text.with_meta(plan.resource, plan.id, str(version), now, security)
    extracted = index_rows.extract(stored, rules.base_urls)
    found = [(ref, target) for ref, target in local(plan, targets) if target.rid != plan.rid]
    row_links = {(t.rid, 0, ref.climbs, ref.author) for ref, t in found}
    row_links |= {(targets[key].rid, 0, True, False) for key in plan.rests_on}
    for parameter, target_type, target_id in extracted.references:
        target = targets.get((target_type, target_id))
        if target is not None:
            row_links.add((target.rid, parameter, False, False))
    return writes.Row(
        rid=plan.rid,
        type_code=registry.type_code(type_),
        id=plan.id,
        version=version,
        last_updated=now,
        deleted=False,
        open=not plan.subjects
        and type_ in registry.DIRECTORY_TYPES
        and not plan.labels & labels.CLOSED,
        subjects=plan.subjects,
        custodian=current.custodian if current else organization,
        labels=plan.labels,
        clinical=clinical_time.clinical_time(stored),
        codes=codes.codes(stored),
        content=json_text.dump(stored),
        tokens=[*extracted.tokens, search_keys.parameter_key(type_, "")],
        dates=extracted.dates,
        strings=extracted.strings,
        numbers=extracted.numbers,
        items=extracted.items,
        words=text_rows.words(stored),
        links=sorted(row_links),
    )


def _moves(current: Current, resource: Json, rules: WriteRules) -> bool:
    """Whether a Consent would change its patient: who may release hangs on whose record it is."""
    if current.deleted:
        return False
    before = json_text.parse(current.content, max_depth=json_text.MAX_DEPTH_LIMIT)
    patients = [
        [
            (ref.type, ref.id)
            for ref in links.literal_references(consent, rules.base_urls)
            if ref.expression == "Consent.patient"
        ]
        for consent in (before, resource)
    ]
    return patients[0] != patients[1]


def _deletion(plan: Plan, now: datetime) -> writes.Row | None:
    """The row of a deleted resource: no content, and the consent columns of what it was."""
    current = plan.current
    if current is None or current.deleted:
        plan.unchanged = True
        return None
    plan.subjects, plan.labels = current.subjects, current.labels
    return writes.Row(
        rid=plan.rid,
        type_code=registry.type_code(plan.operation.type),
        id=plan.id,
        version=current.version + 1,
        last_updated=now,
        deleted=True,
        open=current.open,
        subjects=current.subjects,
        custodian=current.custodian,
        labels=current.labels,
        clinical=None,
        codes=(),
        content=b"",
    )


def _same(plan: Plan, resource: Json, current: Current, security: list[Json]) -> bool:
    """Whether the content is what stands already: then no version is made."""
    same = json_text.with_meta(
        resource, plan.id, str(current.version), current.last_updated, security
    )
    return json_text.dump(same) == current.content
