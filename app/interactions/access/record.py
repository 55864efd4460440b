"""What is reviewed: a resource, and the Consents about its data subjects as they stood at an instant.

Only its custodian, its survivor's own app and a privacy officer may ask; everybody else gets the answer for a
missing resource, and so do they where they may not see it (docs/consent.md, "Asking about consent").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from app.consent.compile import Judged, active_policies, judge
from app.consent.model import StoredConsent
from app.consent.provision import Provisions
from app.errors import not_found
from app.fhir_mappings import json_text, registry
from app.ids import Rid
from app.interactions.grants import TERMS
from app.storage import reviews
from app.storage.database import Caller, Database
from app.storage.reviews import Reviewed

CONSENT: Final = registry.type_code("Consent")


@dataclass(frozen=True, slots=True)
class SubjectConsents:
    """One survivor's Consents: for the decision all of them, to be named those that the asker may see."""

    survivor: Rid
    judged: tuple[Judged, ...]
    shown: dict[Rid, str]
    policies: tuple[Provisions, ...]


async def reviewed(database: Database, caller: Caller, type_: str, id_: str) -> Reviewed:
    """The resource that the caller may ask about; 404 otherwise, word for word as for a missing one."""
    found = await reviews.target(database, caller, registry.type_code(type_), id_)
    if found is None:
        raise not_found()
    return found


def parsed(content: bytes) -> dict[str, Any]:
    """A stored resource as JSON."""
    return json_text.parse(content, max_depth=json_text.MAX_DEPTH_LIMIT)


async def consents_at(
    database: Database, caller: Caller, survivor: int, base_urls: Sequence[str], at: datetime
) -> SubjectConsents:
    """A survivor's Consents and the policies for all, as the compiler would have read them at an instant.

    The policies are those of now.
    """
    resolve: dict[str, Rid] = {}
    ceilings = []
    for content, references in await reviews.ceilings(database, caller, CONSENT):
        ceilings.append(parsed(content))
        resolve.update(_every_form(references, base_urls))
    stored, shown = [], {}
    for row in await reviews.consents(database, caller, survivor, CONSENT, at):
        resource = parsed(row.content)
        known = _every_form(row.references, base_urls)
        patient = resource.get("patient", {}).get("reference", "")
        if known.get(patient) != survivor:
            continue
        resolve.update(known)
        whole = row.by_officer or row.recorder == row.patient_custodian
        stored.append(
            StoredConsent(
                Rid(row.rid), Rid(row.recorder), None if whole else Rid(row.recorder), resource
            )
        )
        if row.shown:
            shown[Rid(row.rid)] = row.id
    judged = judge(Rid(survivor), stored, resolve, TERMS, at)
    policies = active_policies(ceilings, resolve, TERMS)
    return SubjectConsents(Rid(survivor), tuple(judged), shown, policies)


def _every_form(references: dict[str, int], base_urls: Sequence[str]) -> dict[str, Rid]:
    found = {text: Rid(rid) for text, rid in references.items()}
    for base in base_urls:
        found |= {f"{base}/{text}": Rid(rid) for text, rid in references.items()}
    return found
