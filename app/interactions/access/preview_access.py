"""`Patient/{id}/$preview-access`: what would this organization, person and purpose see of the record.

Counts by type and the list, found by the very predicate that answers, entered as that caller. For the
survivor's own app, the custodian of the Patient and a privacy officer. Survivor and custodian are told only of
what they may see themselves, so that no preview shows that something else is there. Answers Parameters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from app.fhir_mappings import json_text, registry
from app.interactions.access.hypothetical import hypothetical
from app.interactions.access.record import reviewed
from app.storage import reviews
from app.storage.database import Caller, Database

Json = dict[str, Any]


async def preview_access(
    database: Database,
    caller: Caller,
    id_: str,
    parameters: Mapping[str, str],
    base_urls: Sequence[str],
) -> bytes:
    """The preview as Parameters; FhirError 404 for who may not ask, 422 as `hypothetical`."""
    target = await reviewed(database, caller, "Patient", id_)
    who = await hypothetical(database, caller, parameters, base_urls[0])
    survivor = target.facts.rid
    seen = await reviews.record_of(database, who, survivor)
    if not caller.privacy_officer:
        known = await reviews.record_of(database, caller, survivor)
        seen = {rid: name for rid, name in seen.items() if rid in known}
    names = sorted((registry.type_name(code), id_) for code, id_ in seen.values())
    counts = Counter(type_ for type_, _ in names)
    parts: list[Json] = [
        {
            "name": "count",
            "part": [
                {"name": "type", "valueCode": type_},
                {"name": "total", "valueInteger": counts[type_]},
            ],
        }
        for type_ in sorted(counts)
    ]
    parts += [
        {"name": "resource", "valueReference": {"reference": f"{type_}/{id_}"}}
        for type_, id_ in names
    ]
    total = {"name": "total", "valueInteger": len(names)}
    return json_text.dump({"resourceType": "Parameters", "parameter": [total, *parts]})
