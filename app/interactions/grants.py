"""Recompile a survivor's grants, in the transaction that changed a Consent or made the Patient."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from app.consent.compile import compile_grants
from app.consent.model import StoredConsent, Terms
from app.fhir_mappings import json_text, registry, search_keys
from app.fhir_mappings.hashing import hash64
from app.ids import Rid
from app.storage import writes
from app.storage.database import CUSTODIAN, WriteConnection


def _type_code(name: str) -> int | None:
    return registry.type_code(name) if registry.is_resource_type(name) else None


TERMS: Final = Terms(type_code=_type_code, hash64=hash64)


async def recompile(connection: WriteConnection, patient: int, now: datetime) -> None:
    """Replace the grants of one survivor by those of the Consents as they stand now.

    Who may release: a Consent recorded by the custodian of the Patient resource releases the whole
    record; any other organization's releases only what that organization wrote (decision 0001).
    """
    rows = await writes.consents_of(
        connection,
        patient,
        registry.type_code("Consent"),
        search_keys.parameter_key("Consent", "patient"),
    )
    resolve: dict[str, Rid] = {}
    consents = []
    for row in rows:
        resolve.update({text: Rid(rid) for text, rid in row.references.items()})
        consents.append(
            StoredConsent(
                rid=Rid(row.rid),
                recorder=Rid(row.recorder),
                releases=None if row.recorder == row.patient_custodian else Rid(row.recorder),
                resource=json_text.parse(row.content, max_depth=json_text.MAX_DEPTH_LIMIT),
            )
        )
    grants = compile_grants(
        Rid(patient), consents, (CUSTODIAN,), now=now, resolve=resolve, terms=TERMS
    )
    await writes.put_grants(connection, patient, grants)
