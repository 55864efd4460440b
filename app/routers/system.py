"""Interactions on the whole system: capabilities (hl7.org/fhir/R4/http.html)."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app import __version__
from app.errors import FhirError
from app.fhir_mappings import json_patch, json_text, registry
from app.fhir_mappings.capability import SecurityCapability, TypeCapability, capability_statement
from app.fhir_mappings.search_capability import search_capability
from app.routers.answer import fhir_response
from app.routers.negotiation import negotiate, shape
from app.routers.registered import registered
from app.routers.registered_operations import registered_operations
from app.routers.service import error_response, service_of

router = APIRouter(tags=["records"])


@router.get("/metadata", summary="capabilities", tags=["discovery"])
async def capabilities(request: Request) -> Response:
    """The CapabilityStatement, made from what is registered; open to everybody."""
    settings = service_of(request).settings
    try:
        wanted = negotiate(request)
    except FhirError as error:
        return error_response(error)
    served = registered(request.app)
    root = settings.fhir_base.removesuffix("/fhir")
    operations = registered_operations(request.app)
    statement = capability_statement(
        base_url=settings.fhir_base,
        software_version=__version__,
        date=datetime.now(UTC),
        types={
            name: TypeCapability(
                interactions=served.type_interactions,
                operations=(*operations.get(None, ()), *operations.get(name, ())),
                versioning="versioned-update",
                read_history=True,
                update_create=settings.update_as_create,
                conditional_create=True,
                conditional_read="full-support",
                conditional_update=True,
                conditional_delete="multiple"
                if settings.conditional_delete_limit > 1
                else "single",
                search_parameters=searched.parameters,
                search_include=searched.includes,
                search_rev_include=searched.revincludes,
            )
            for name in registry.RESOURCE_TYPES
            for searched in (search_capability(name),)
        },
        security=SecurityCapability(token_endpoint=f"{root}/oauth/token"),
        patch_formats=(json_patch.MEDIA_TYPE, "application/fhir+json"),
        system_interactions=("batch", "transaction", "search-system"),
    )
    served.tell(statement)
    return shape(fhir_response(json_text.dump(statement)), wanted, "capabilities")
