"""The caller that a question is about: an organization, a person of it, a purpose; never the one who asks.

Parameters of `$preview-access` and `$explain-access`: `organization`, `practitioner`, `person` (literal
references), `purpose` (ActReason code, required), `emergency` (true or false). The identity closure is that
of now, as for a real token (docs/consent.md, "Words").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from app.consent import purposes
from app.consent.model import CallerFacts
from app.errors import IssueCode, fhir_error
from app.fhir_mappings import registry
from app.fhir_mappings.reference_value import ReferenceKind, parse_reference
from app.ids import Rid
from app.storage import resources, reviews
from app.storage.database import Caller, Database
from app.storage.identities import Identity, resolve_caller

_TYPES: Final = {
    "organization": ("Organization",),
    "practitioner": ("Practitioner", "Device"),
    "person": ("Patient", "RelatedPerson"),
}
_EMERGENCY: Final = {"true": True, "false": False, "": False}


async def hypothetical(
    database: Database, asker: Caller, parameters: Mapping[str, str], base_url: str
) -> Caller:
    """The caller that the parameters describe.

    FhirError 422 where the purpose is missing or unknown, nobody is named, or a reference points at nothing
    that the asker may see (in the same words as for a reference in a resource that is written).
    """
    purpose = parameters.get("purpose", "")
    if not purposes.known(purpose):
        raise fhir_error(
            IssueCode.VALUE,
            "Say the purpose of use as a v3-ActReason code, such as TREAT.",
            "purpose",
        )
    emergency = _EMERGENCY.get(parameters.get("emergency", ""))
    if emergency is None:
        raise fhir_error(IssueCode.VALUE, "emergency is true or false.", "emergency")
    found: dict[str, int] = {}
    for name, types in _TYPES.items():
        if name in parameters:
            found[name] = await _rid(database, asker, name, types, parameters[name], base_url)
    if not found:
        raise fhir_error(
            IssueCode.REQUIRED, "Name who would ask: organization, practitioner or person."
        )
    identity = Identity(found.get("organization"), found.get("practitioner"), found.get("person"))
    return await resolve_caller(
        database.pool, identity, purpose=purposes.purpose_bit(purpose), emergency=emergency
    )


async def _rid(
    database: Database, asker: Caller, name: str, types: tuple[str, ...], text: str, base_url: str
) -> int:
    parsed = parse_reference(text, (base_url,))
    if parsed.kind is not ReferenceKind.LOCAL or parsed.type not in types or not parsed.id:
        raise fhir_error(
            IssueCode.VALUE, f"{name} is a reference to one of: {', '.join(types)}.", name
        )
    code = registry.type_code(parsed.type)
    # A privacy officer may ask about a person whose record he does not read.
    reviewed = await reviews.target(database, asker, code, parsed.id)
    if reviewed is not None:
        return int(reviewed.facts.rid)
    found = await resources.read_many(database, asker, [(code, parsed.id)])
    if not found:
        raise fhir_error(
            IssueCode.BUSINESS_RULE,
            "The reference points at nothing known here; correct it, or create its target first.",
            name,
        )
    return found[0].rid


def facts(caller: Caller) -> CallerFacts:
    """The same caller for the pure decision."""
    return CallerFacts(
        closure=frozenset(map(Rid, caller.closure)),
        deny_closure=frozenset(map(Rid, caller.deny_closure)),
        purpose=caller.purpose,
        organization=None if caller.organization is None else Rid(caller.organization),
    )
