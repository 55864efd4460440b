"""`{type}/{id}/$explain-access`: would this caller see the resource, which provision decides, what is missing.

For the resource's custodian, its survivor's own app and a privacy officer. A Consent that the asker may not see
is not named, nor are its provisions told; it decides all the same. Answers a Parameters resource.
Pinned: hl7.org/fhir/R4/consent.html, hl7.org/fhir/R4/parameters.html.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from app.consent.considered import consider
from app.consent.explain import Explanation, Verdict, explain
from app.consent.model import CUSTODIAN, Action, CallerFacts, ResourceFacts
from app.fhir_mappings import json_text
from app.interactions.access.hypothetical import facts, hypothetical
from app.interactions.access.record import SubjectConsents, consents_at, reviewed
from app.interactions.grants import TERMS
from app.storage import reviews
from app.storage.database import Caller, Database

Json = dict[str, Any]

NO_DATA_SUBJECT: Final = "no data subject"
NOT_SHOWN: Final = "a consent that is not shown here"


async def explain_access(
    database: Database,
    caller: Caller,
    type_: str,
    id_: str,
    parameters: Mapping[str, str],
    base_urls: Sequence[str],
) -> bytes:
    """The explanation as Parameters; FhirError 404 for who may not ask, 422 as `hypothetical`."""
    target = await reviewed(database, caller, type_, id_)
    who = await hypothetical(database, caller, parameters, base_urls[0])
    now = datetime.now(UTC)
    subjects, parts = [], []
    for survivor in target.subjects:
        given = await consents_at(database, caller, survivor, base_urls, now)
        decided = decide(given, facts(who), target.facts, now)
        subjects.append(decided)
        parts.append(_subject(given, decided, facts(who), target.facts, now))
    names = await reviews.named(database, caller, target.subjects)
    for part, survivor in zip(parts, target.subjects, strict=True):
        if survivor in names:
            reference = {"reference": f"Patient/{names[survivor].id}"}
            part["part"].insert(0, {"name": "patient", "valueReference": reference})
    own = who.organization is not None and who.organization == target.facts.custodian
    permitted = all(each.verdict is Verdict.PERMIT for each in subjects) if subjects else own
    head: list[Json] = [{"name": "decision", "valueCode": "permit" if permitted else "deny"}]
    if not subjects:
        because = "custodian" if own else NO_DATA_SUBJECT
        head.append({"name": "because", "valueString": because})
    return json_text.dump({"resourceType": "Parameters", "parameter": [*head, *parts]})


def decide(
    given: SubjectConsents, who: CallerFacts, resource: ResourceFacts, now: datetime
) -> Explanation:
    """One data subject's side of the decision, with its reason."""
    return explain(
        given.survivor,
        given.judged,
        (CUSTODIAN,),
        who,
        resource,
        Action.READ,
        now=now,
        terms=TERMS,
        ceilings=given.policies,
    )


def _subject(
    given: SubjectConsents,
    decided: Explanation,
    who: CallerFacts,
    resource: ResourceFacts,
    now: datetime,
) -> Json:
    named = decided.consent is None or decided.consent in given.shown
    parts: list[Json] = [
        {"name": "decision", "valueCode": decided.verdict.value},
        {"name": "because", "valueString": decided.because if named else NOT_SHOWN},
    ]
    if decided.consent is not None and named:
        parts.append(_consent(given.shown[decided.consent]))
    for each in consider(
        given.survivor,
        given.judged,
        who,
        resource,
        Action.READ,
        now=now,
        terms=TERMS,
    ):
        if each.consent not in given.shown:
            continue
        parts.append(
            {
                "name": "provision",
                "part": [
                    _consent(given.shown[each.consent]),
                    {"name": "path", "valueString": each.path},
                    {"name": "type", "valueCode": "permit" if each.permits else "deny"},
                    {"name": "matches", "valueBoolean": each.matches},
                    *({"name": "missing", "valueString": text} for text in each.missing),
                ],
            }
        )
    return {"name": "subject", "part": parts}


def _consent(id_: str) -> Json:
    return {"name": "consent", "valueReference": {"reference": f"Consent/{id_}"}}
