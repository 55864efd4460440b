"""Headers that go with disclosed records: `Redisclosure-Notice` and `Consent-Scope` (docs/consent.md).

On every answer that shows somebody else's records of a 42 CFR Part 2 program or a victim-service provider,
whichever way they were read; the survivor's own access and the custodian's are no disclosure.
Neighbours: `app.consent.notices` (the words), `app.storage.disclosures` (what, and by which provision).
"""

from __future__ import annotations

from collections.abc import Mapping

from app.consent import notices
from app.fhir_mappings import json_text
from app.storage import disclosures
from app.storage.database import Caller, Reader


async def headers(reader: Reader, caller: Caller, noted: Mapping[int, int]) -> dict[str, str]:
    """The headers for what was noted: rid to markers. One statement."""
    markers, told = 0, set()
    for each in await disclosures.disclosed(reader, caller, noted):
        for rid in each.rids:
            markers |= noted[rid]
        if each.content is not None:
            consent = json_text.parse(each.content, max_depth=json_text.MAX_DEPTH_LIMIT)
            told.add(notices.scope_of(consent, each.path))
    found = {}
    if markers:
        found["redisclosure-notice"] = " ".join(notices.notices(markers))
    if told:
        found["consent-scope"] = " | ".join(sorted(told))
    return found
