"""Recompile a survivor's grants, in the transaction that changed a Consent or made the Patient.

A Consent that names no patient and that a privacy officer recorded is a policy: its denies come off every
survivor's grants, so writing one recompiles them all. Neighbours: `app.consent.compile` (pure),
`tl.consents_of` (which makes two writers about one survivor wait for each other).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from app.consent.compile import compile_grants
from app.consent.model import CUSTODIAN, Grant, StoredConsent, Terms
from app.consent.reading import Json
from app.fhir_mappings import json_text, registry, search_keys
from app.fhir_mappings.hashing import hash64
from app.ids import Rid
from app.interactions.write_plan import Plan, WriteRules
from app.storage import person, writes
from app.storage.database import Caller, WriteConnection


def _type_code(name: str) -> int | None:
    return registry.type_code(name) if registry.is_resource_type(name) else None


_CONSENT: Final = registry.type_code("Consent")
TERMS: Final = Terms(type_code=_type_code, hash64=hash64)


@dataclass(frozen=True, slots=True)
class Ceilings:
    """The policies for all survivors, and the rids that their references name."""

    policies: tuple[Json, ...]
    resolve: dict[str, Rid]


def _resolved(references: Mapping[str, int], base_urls: Sequence[str]) -> dict[str, Rid]:
    """Rids by every form of a literal reference: relative, and absolute on this server."""
    found = {text: Rid(rid) for text, rid in references.items()}
    for base in base_urls:
        found |= {f"{base}/{text}": Rid(rid) for text, rid in references.items()}
    return found


async def ceilings(connection: WriteConnection, base_urls: Sequence[str]) -> Ceilings:
    """The policies as they stand now."""
    policies, resolve = [], {}
    for content, references in await writes.ceilings(connection, _CONSENT):
        policies.append(json_text.parse(content, max_depth=json_text.MAX_DEPTH_LIMIT))
        resolve.update(_resolved(references, base_urls))
    return Ceilings(tuple(policies), resolve)


async def recompile_touched(
    connection: WriteConnection,
    caller: Caller,
    plans: Sequence[Plan],
    rules: WriteRules,
    now: datetime,
) -> None:
    """Recompile the grants of every survivor whom these writes concern."""
    touched: set[int] = set()
    changed = [plan for plan in plans if not plan.unchanged]
    consents = [plan for plan in changed if plan.operation.type == "Consent"]
    if consents:
        await writes.put_authority(
            connection, [p.rid for p in consents], officer=caller.privacy_officer
        )
    for plan in changed:
        if plan.operation.type == "Patient" and plan.current is None:
            touched.add(plan.rid)
    for plan in consents:
        touched.update(plan.subjects)
        if not plan.subjects and caller.privacy_officer:
            touched.update(await writes.survivors(connection, registry.type_code("Patient")))
    if not touched:
        return
    limits = await ceilings(connection, rules.base_urls)
    for patient in sorted(touched):
        await recompile(connection, patient, now, limits, rules.base_urls)


async def recompile(
    connection: WriteConnection,
    patient: int,
    now: datetime,
    limits: Ceilings,
    base_urls: Sequence[str],
) -> None:
    """Replace the grants of one survivor by those of the Consents as they stand now."""
    consents, resolve = await stored_consents(connection, patient, base_urls)

    def compiled(of: int) -> list[Grant]:
        return list(
            compile_grants(
                Rid(of),
                consents,
                (CUSTODIAN,),
                now=now,
                resolve=limits.resolve | resolve,
                terms=TERMS,
                ceilings=limits.policies,
            )
        )

    grants = compiled(patient)
    for other in await person.same(connection, patient):
        if other != patient:
            # One person: her app reads what is about either Patient, whichever it was given.
            grants += [grant for grant in compiled(other) if grant.grantee == other]
    await writes.put_grants(connection, patient, grants)


async def stored_consents(
    connection: WriteConnection, patient: int, base_urls: Sequence[str]
) -> tuple[list[StoredConsent], dict[str, Rid]]:
    """The Consents about a survivor for the compiler, and the rids that their references name.

    Who may release: a Consent recorded by the survivor's own app, by the custodian of the Patient resource or
    by a privacy officer releases the whole record; any other organization's releases only what that
    organization wrote (decision 0001).
    """
    rows = await writes.consents_of(
        connection, patient, _CONSENT, search_keys.parameter_key("Consent", "patient")
    )
    survivor = await person.same(connection, patient)
    resolve: dict[str, Rid] = {}
    consents = []
    for row in rows:
        resolve.update(_resolved(row.references, base_urls))
        whole = row.officer or row.recorder in (row.patient_custodian, *survivor)
        consents.append(
            StoredConsent(
                rid=Rid(row.rid),
                recorder=Rid(row.recorder),
                releases=None if whole else Rid(row.recorder),
                resource=json_text.parse(row.content, max_depth=json_text.MAX_DEPTH_LIMIT),
            )
        )
    return consents, resolve
