"""Search in a patient's compartment over HTTP: `Patient/{id}/{type}`, `*` for all types.

Pinned: hl7.org/fhir/R4/http.html#vsearch, hl7.org/fhir/R4/compartmentdefinition.html. The search itself is
`app.interactions.search`: a compartment is one more clause of it.
"""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.errors import IssueCode, fhir_error
from app.fhir_mappings import registry
from app.interactions import search
from app.routers.answer import fhir_response
from app.routers.search import parameters_of, rules_of
from app.routers.service import Seen, service_of
from app.storage.database import Caller

router = APIRouter(tags=["records"])


@router.get("/Patient/{id}/{type}", summary="search-compartment")
@router.post("/Patient/{id}/{type}/_search", summary="search-compartment by POST")
async def search_compartment(request: Request) -> Response:
    """Search what is about a patient; a patient who is hidden or missing has an empty compartment."""
    service, type_ = service_of(request), request.path_params["type"]
    reader = service.reader(request)

    async def work(caller: Caller, seen: Seen) -> Response:
        if type_ != "*" and not registry.is_resource_type(type_):
            raise fhir_error(IssueCode.NOT_FOUND, "FHIR R4 has no such resource type.", status=404)
        result = await search.search_compartment(
            service.database,
            caller,
            request.path_params["id"],
            type_,
            await parameters_of(request, service),
            rules_of(service, request),
            reader=reader,
        )
        seen.rids.extend(result.rids)
        return fhir_response(result.bundle)

    named = type_ if registry.is_resource_type(type_) else None
    return await service.perform(request, "search-compartment", "s", named, None, work)
