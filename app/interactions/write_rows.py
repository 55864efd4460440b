"""A plan as the row that is stored: a no-op found out, index rows and links filed.

Pinned: hl7.org/fhir/R4/resource.html#Meta, hl7.org/fhir/R4/security-labels.html; docs/consent.md,
"Labelling on write". Neighbour: `app.storage.writes` stores what is made here.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from app.consent import labels, redaction
from app.errors import IssueCode, fhir_error
from app.fhir_mappings import clinical_time, codes, json_text, links, registry
from app.interactions.element_rows import Searched, has_layers, layered_links, searched
from app.interactions.write_plan import Json, Plan, Targets, WriteRules
from app.storage import writes
from app.storage.resources import Current, Target


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
    content = json_text.dump(stored)
    masks = redaction.element_masks(stored) if has_layers(type_, content) else ()
    if current and current.custodian != organization and has_layers("", current.content):
        _keep_labels(plan, stored, current)
    least = redaction.without_elements(stored, bool) if masks else None
    extracted = searched(stored, content, rules.base_urls)
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
        clinical=clinical_time.clinical_time(stored if least is None else least),
        codes=codes.codes(stored) if least is None else _codes(stored, least),
        content=content,
        tokens=extracted.open.tokens,
        dates=extracted.open.dates,
        strings=extracted.open.strings,
        numbers=extracted.open.numbers,
        items=extracted.open.items,
        words=extracted.words,
        masks=masks or None,
        elements=extracted.elements,
        links=_links(plan, stored, content, targets, extracted, rules),
    )


def _codes(stored: Json, least: Json) -> list[int]:
    """Codes for consent: those inside labelled elements under keys that denies alone look for."""
    plain = set(codes.codes(least))
    return sorted(plain | {redaction.veiled_code(k) for k in codes.codes(stored) if k not in plain})


def _keep_labels(plan: Plan, stored: Json, current: Current) -> None:
    """422 where somebody other than the custodian takes an inline label away."""
    if current.deleted:
        return
    before = json_text.parse(current.content, max_depth=json_text.MAX_DEPTH_LIMIT)
    if Counter(redaction.all_masks(before)) - Counter(redaction.all_masks(stored)):
        raise fhir_error(
            IssueCode.BUSINESS_RULE,
            "Elements keep their inline security labels, unless the custodian takes them away.",
            plan.operation.type,
        )


def _links(
    plan: Plan,
    stored: Json,
    content: bytes,
    targets: Targets,
    extracted: Searched,
    rules: WriteRules,
) -> list[tuple[int, int, bool, bool, int | None]]:
    """Every local reference, with the mask of the labelled element in which alone it stands."""
    masks: dict[tuple[int, int, bool, bool], int | None] = {}

    def note(target: Target | None, parameter: int, climbs: bool, author: bool, mask: int) -> None:
        if target is not None and target.rid != plan.rid:
            masks.setdefault((target.rid, parameter, climbs, author), mask or None)

    found = [(ref, 0) for ref in plan.found]
    if has_layers(plan.operation.type, content):
        found = layered_links(stored, rules.base_urls)
    for ref, mask in found:
        if ref.kind == "local":
            note(targets.get((ref.type or "", ref.id or "")), 0, ref.climbs, ref.author, mask)
    for key in plan.rests_on:
        note(targets[key], 0, True, False, 0)
    for mask, rows in extracted.layers():
        for parameter, target_type, target_id in rows.references:
            note(targets.get((target_type, target_id)), parameter, False, False, mask)
    return [(*link, masks[link]) for link in sorted(masks)]


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
