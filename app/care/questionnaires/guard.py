"""A response is judged when it is written, and what it tells of danger is acted on in the same transaction.

Neighbours: `validity` (before), `risk` and `escalation` (after), `app.interactions.guards`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from app.care.questionnaires.escalation import escalation
from app.care.questionnaires.finding import questionnaire_of, value_sets
from app.care.questionnaires.risk import graver, risks, unknown
from app.care.questionnaires.validity import check
from app.consent import labels, purposes
from app.errors import FhirError, Issue
from app.fhir_mappings import json_text, registry
from app.interactions.guards import Moment, Planned
from app.interactions.operation import Operation
from app.storage import receivers, resources
from app.storage.database import TransactionReader
from app.storage.identities import Identity, resolve_caller

Json = dict[str, Any]

_PATIENT: Final = re.compile(r"(^|/)Patient/[^/]+$")


class QuestionnaireGuard:
    """The guard of QuestionnaireResponses."""

    async def before(self, moment: Moment) -> None:
        """422 with every fault of a response, each with its place."""
        issues: list[Issue] = []
        reader = TransactionReader(moment.connection)
        for planned, response in _responses(moment):
            asked = await _questionnaire(moment, response)
            if asked is None:
                continue
            codes = await value_sets(reader, moment.caller, asked)
            for issue in check(asked, response, codes, _previous(planned)):
                where = tuple(f"{planned.where}.{e}".lstrip(".") for e in issue.expression)
                issues.append(replace(issue, expression=where))
        if issues:
            raise FhirError(issues)

    async def after(self, moment: Moment) -> Sequence[Operation]:
        """The escalation of what a response tells now and did not tell before."""
        further: list[Operation] = []
        for planned, response in _responses(moment):
            subject = _subject(response)
            if subject is None:
                continue
            asked = await _questionnaire(moment, response) or unknown(response)
            before = _previous(planned)
            # What was told of somebody else, or of nobody, has not been told of this person.
            known = risks(asked, before) if before and _subject(before) == subject else []
            found = [each for each in risks(asked, response) if graver(each, known)]
            if not found:
                continue
            acting = await _acting(moment, planned)
            if acting is None:
                continue
            agency, organization = acting
            security = await _security(moment, planned)
            for each in found:
                place = f"QuestionnaireResponse/{planned.id}"
                made = escalation(each, place, subject, organization, security, moment.now)
                further += [
                    Operation(
                        resource["resourceType"],
                        None,
                        resource,
                        full_url=url,
                        on_behalf_of=agency,
                    )
                    for url, resource in made
                ]
        return further


def _subject(response: Json) -> dict[str, Any] | None:
    """Whom a response is about: its subject, else the person who gave the answers themselves; None: nobody."""
    subject: dict[str, Any] | None = response.get("subject")
    source = response.get("source")
    if subject is None and source and _PATIENT.search(str(source.get("reference", ""))):
        return dict(source)
    return subject


async def _acting(moment: Moment, planned: Planned) -> tuple[int, str] | None:
    """Who is to act on a danger, as rid and "Organization/id": whoever writes the response.

    For a survivor's own app the agency that keeps her Patient, where she lets it read what she wrote;
    None where she does not: nobody is told what she keeps to herself.
    """
    caller, reader = moment.caller, TransactionReader(moment.connection)
    if caller.person is None:
        agency = caller.organization or 0
        return agency, await receivers.reference_of(reader, caller, agency)
    keepers = await receivers.custodians(moment.connection, [caller.person])
    agency = keepers.get(caller.person, 0)
    acting = await resolve_caller(
        moment.connection,
        Identity(agency, None, None),
        purpose=purposes.purpose_bit("TREAT"),
        emergency=False,
    )
    code = registry.type_code("QuestionnaireResponse")
    async with receivers.entered(moment.connection, acting, caller):
        if not await resources.read_many(reader, acting, [(code, planned.id)]):
            return None
        return agency, await receivers.reference_of(reader, acting, agency)


def _responses(moment: Moment) -> list[tuple[Planned, Json]]:
    return [
        (each, each.resource)
        for each in moment.planned
        if each.type == "QuestionnaireResponse" and each.resource is not None
    ]


def _previous(planned: Planned) -> Json | None:
    current = planned.current
    if current is None or current.deleted:
        return None
    return json_text.parse(current.content, max_depth=json_text.MAX_DEPTH_LIMIT)


async def _questionnaire(moment: Moment, response: Json) -> Json | None:
    beside = [each.resource | {"id": each.id} for each in moment.planned if each.resource]
    return await questionnaire_of(
        TransactionReader(moment.connection), moment.caller, response, moment.base_urls, beside
    )


async def _security(moment: Moment, planned: Planned) -> Sequence[dict[str, str]]:
    """The labels that the response was stored with: what it tells is told by what follows from it."""
    code = registry.type_code("QuestionnaireResponse")
    (stored,) = await resources.read_many(
        TransactionReader(moment.connection), moment.caller, [(code, planned.id)]
    )
    return labels.label_codings(stored.labels)
