"""Interactions on the whole system: transaction, capabilities (hl7.org/fhir/R4/http.html)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app import __version__
from app.errors import FhirError
from app.fhir_mappings import json_text, registry
from app.fhir_mappings.bundle import BundleEntry, BundleResponse, render_bundle
from app.fhir_mappings.capability import SecurityCapability, TypeCapability, capability_statement
from app.fhir_mappings.validate import validate
from app.interactions import transaction, writing
from app.routers.answer import fhir_response, read_resource
from app.routers.service import Seen, service_of
from app.security import scopes
from app.storage.database import Caller

router = APIRouter(tags=["records"])

INTERACTIONS: Final = (
    "read",
    "vread",
    "update",
    "delete",
    "history-instance",
    "create",
    "search-type",
)
"""What every type has: the summaries of the routes of instance.py and type.py."""

_LETTERS: Final = {"create": "c", "update": "u", "delete": "d"}


@router.get("/metadata", summary="capabilities", tags=["discovery"])
async def capabilities(request: Request) -> Response:
    """The CapabilityStatement, made from what is registered; open to everybody."""
    settings = service_of(request).settings
    root = settings.fhir_base.removesuffix("/fhir")
    statement = capability_statement(
        base_url=settings.fhir_base,
        software_version=__version__,
        date=datetime.now(UTC),
        types={
            name: TypeCapability(interactions=INTERACTIONS, update_create=settings.update_as_create)
            for name in registry.RESOURCE_TYPES
        },
        security=SecurityCapability(token_endpoint=f"{root}/oauth/token"),
        system_interactions=("transaction",),
    )
    return fhir_response(json_text.dump(statement))


@router.post("", summary="transaction")
@router.post("/", include_in_schema=False)
async def transact(request: Request) -> Response:
    """Carry out a transaction Bundle, all or nothing (http.html#transaction)."""
    service = service_of(request)
    settings = service.settings

    async def work(caller: Caller, seen: Seen) -> Response:
        bundle = await read_resource(request, settings.max_body_bytes, settings.max_depth)
        issues = validate(bundle, expected_type="Bundle")
        if any(issue.severity in ("error", "fatal") for issue in issues):
            raise FhirError(issues)
        operations = transaction.operations(bundle, settings.max_bundle_entries)
        held = service.verifier.verify(request.headers.get("authorization")).scopes
        for operation in operations:
            kind = (
                "delete" if operation.resource is None else "update" if operation.id else "create"
            )
            scopes.require(held, operation.type, _LETTERS[kind])
        written = await writing.write(service.database, caller, operations, service.rules)
        seen.rids.extend(rid for w in written if w.rid for rid in (w.rid, *w.also))
        entries = [
            BundleEntry(
                resource=w.content or None,
                response=BundleResponse(
                    str(w.status),
                    location=f"{w.type}/{w.id}/_history/{w.version}" if w.content else None,
                    etag=f'W/"{w.version}"' if w.content else None,
                    last_modified=w.last_updated if w.content else None,
                ),
            )
            for w in written
        ]
        return fhir_response(
            render_bundle("transaction-response", total=None, links=[], entries=entries)
        )

    return await service.perform(request, "transaction", "c", None, None, work)
