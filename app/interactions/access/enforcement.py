"""`Consent/{id}/$enforcement`: is this Consent enforced, and if not, why, in plain words.

For its custodian, its survivor's own app and a privacy officer; a grantee who may read the Consent learns
nothing here of the other grantees. Answers a Parameters resource. Pinned: hl7.org/fhir/R4/consent.html.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from app.consent.statutes import limits
from app.errors import IssueCode, fhir_error
from app.fhir_mappings import json_text
from app.interactions.access.record import consents_at, reviewed
from app.interactions.grants import TERMS
from app.storage.database import Caller, Database

Json = dict[str, Any]


async def enforcement(
    database: Database, caller: Caller, id_: str, base_urls: Sequence[str]
) -> bytes:
    """The enforcement status as Parameters; FhirError 404 for who may not ask."""
    target = await reviewed(database, caller, "Consent", id_)
    now = datetime.now(UTC)
    for survivor in target.subjects:
        given = await consents_at(database, caller, survivor, base_urls, now)
        for judged in given.judged:
            if judged.stored.rid == target.facts.rid:
                status = judged.status
                parameters: list[Json] = [
                    {"name": "enforceable", "valueBoolean": status.enforceable},
                    {"name": "inForce", "valueBoolean": status.in_force},
                    {"name": "deniesCount", "valueBoolean": status.denies_count},
                ]
                parameters += [
                    {
                        "name": "reason",
                        "part": [
                            {"name": "code", "valueCode": each.code.value},
                            {"name": "text", "valueString": each.diagnostics},
                            {"name": "expression", "valueString": each.expression},
                        ],
                    }
                    for each in status.reasons
                ]
                kept_back = dict.fromkeys(
                    limit.because
                    for path in judged.provisions.paths
                    if path[-1].permits
                    for limit in limits(path, judged.whole, given.survivor, 0, TERMS)
                )
                parameters += [
                    {"name": "keptBack", "valueString": because} for because in kept_back
                ]
                return json_text.dump({"resourceType": "Parameters", "parameter": parameters})
    raise fhir_error(
        IssueCode.NOT_SUPPORTED,
        "The Consent names no patient: it is a policy, or has no effect.",
        "Consent.patient",
        status=422,
    )
