"""Register clients and make tokens for them, on a database reached before.

Neighbours: `app.security.clients`, `app.security.tokens`; `app.cli` asks.
"""

from __future__ import annotations

from typing import Any, Final

from app.commands.errors import CommandError
from app.fhir_mappings import registry
from app.interactions import writing
from app.security import clients, demonstration, tokens
from app.security.keys import SealedOtherwiseError, load_keys
from app.security.scopes import narrow
from app.security.sealing import Seal
from app.storage import clients as client_rows
from app.storage.database import Caller, Database, base_closure
from app.storage.resources import directory_entry

EMERGENCY_PURPOSES: Final = ("ETREAT", "BTG")
EMERGENCY_SECONDS: Final = 900
SEALED_OTHERWISE: Final = (
    "The signing keys in the database were sealed with another secret. Set TL_KEY_SECRET, or TL_STATE_DIR, to "
    "that of the service; where it is lost, run: throughline keys rotate --overlap 0"
)


async def organization(opened: Database, name: str) -> int:
    """The rid of the Organization of this id; a new one, its own custodian, where there is none."""
    found = await directory_entry(opened, registry.type_code("Organization"), name)
    if found is not None:
        return found.rid
    rid = await opened.pool.fetchval("SELECT nextval('tl.rid')")
    epoch = await opened.pool.fetchval("SELECT epoch FROM tl.directory_epoch")
    closure = base_closure((rid,), has_organization=True, emergency=False)
    (written,) = await writing.write(
        opened,
        Caller(closure, (rid,), 0, rid, epoch),
        [
            writing.Operation(
                "Organization",
                name,
                {"resourceType": "Organization", "id": name, "active": True, "name": name},
            )
        ],
        writing.WriteRules((), allow_client_ids=True),
    )
    return written.rid


async def add_client(
    opened: Database,
    *,
    name: str,
    organization_id: str,
    scope: str,
    purposes: tuple[str, ...],
    jwks: dict[str, Any] | None = None,
    jwks_url: str | None = None,
    practitioner_id: str | None = None,
    patient_id: str | None = None,
    emergency: bool = False,
    privacy_officer: bool = False,
    openid_issuer: str | None = None,
) -> str | None:
    """Register a client; its new secret, or None where it has keys. CommandError says what is wrong."""
    known = {each.client_id for each in await client_rows.list_clients(opened.pool)}
    if demonstration.holds(known) and demonstration.strangers((name,)):
        raise CommandError(
            "The store holds the demonstration, whose server gives tokens to anybody. A client to try it with "
            f"has a name that begins with {demonstration.ADDED}; for real records set TL_STATE_DIR to a new "
            "folder, or TL_DATABASE_URL to a database of their own."
        )
    try:
        return await clients.add_client(
            opened.pool,
            client_id=name,
            organization=await organization(opened, organization_id),
            scope=scope,
            purposes_of_use=purposes,
            jwks=jwks,
            jwks_url=jwks_url,
            practitioner=await _rid(opened, "Practitioner", practitioner_id),
            patient=await person(opened, patient_id),
            emergency=emergency,
            privacy_officer=privacy_officer,
            openid_issuer=openid_issuer,
        )
    except ValueError as error:
        raise CommandError(f"The client cannot be registered: {error}.") from error


async def person(opened: Database, patient_id: str | None) -> int | None:
    """The rid of the Patient whose own app a client is; CommandError where there is none, None for None."""
    return await _rid(opened, "Patient", patient_id)


async def _rid(opened: Database, type_: str, id_: str | None) -> int | None:
    if id_ is None:
        return None
    found = await client_rows.identity_rid(opened.pool, registry.type_code(type_), id_)
    if found is None:
        raise CommandError(f"There is no such {type_}; write it first.")
    return found


async def token(
    opened: Database,
    base: str,
    client: str,
    *,
    purpose: str | None = None,
    scope: str | None = None,
    lifetime: int,
    seal: Seal,
    emergency_reason: str | None = None,
) -> str:
    """An access token for a registered client, as the service at `base` takes it.

    purpose: by default the client's first. scope: within the client's, by default all of it.
    lifetime: seconds; an emergency ends after 900 at most. CommandError says what is wrong.
    """
    found = await client_rows.find_client(opened.pool, client)
    if found is None or found.revoked:
        raise CommandError(f"No client {client} is registered. See: throughline client list")
    if found.openid_issuer is not None:
        raise CommandError(
            f"People sign in to {client} at its provider, which issues its tokens: {found.openid_issuer}"
        )
    asked = purpose or found.purposes[0]
    if asked not in found.purposes:
        raise CommandError(
            f"The client is not registered for {asked}, only for {', '.join(found.purposes)}."
        )
    granted = narrow(found.scope, scope)
    if granted is None:
        raise CommandError(f"The client is not registered for this scope, only for: {found.scope}")
    reason = (emergency_reason or "").strip() or None
    if reason is not None and not (found.emergency and asked in EMERGENCY_PURPOSES):
        raise CommandError(
            "An emergency reason goes with purpose ETREAT or BTG, for a client registered with --emergency."
        )
    try:
        keys = await load_keys(opened.pool, seal)
    except SealedOtherwiseError as error:
        raise CommandError(SEALED_OTHERWISE) from error
    return tokens.mint(
        keys,
        found,
        issuer=base.removesuffix("/fhir"),
        purpose=asked,
        scope=granted,
        lifetime=lifetime if reason is None else min(lifetime, EMERGENCY_SECONDS),
        emergency_reason=reason,
    )
