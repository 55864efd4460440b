"""`Patient/{id}/$everything` over HTTP (hl7.org/fhir/R4/patient-operation-everything.html)."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.interactions.everything import EverythingRules, patient_everything
from app.routers.answer import fhir_response
from app.routers.service import Seen, service_of
from app.storage.database import Caller

router = APIRouter(tags=["records"])


@router.get("/Patient/{id}/$everything", summary="everything")
async def everything(request: Request) -> Response:
    """A patient's whole record, as far as the caller may see it, with what it refers to."""
    service, id_ = service_of(request), request.path_params["id"]
    settings = service.settings

    async def work(caller: Caller, seen: Seen) -> Response:
        held = service.held(request)
        rules = EverythingRules(
            base_url=settings.fhir_base,
            default_count=settings.default_count,
            max_count=settings.max_count,
            cursor_key=service.cursor_key,
            may_read=lambda type_: held.allow(type_, "r"),
        )
        result = await patient_everything(
            service.reader(request),
            service.database,
            caller,
            id_,
            request.query_params.multi_items(),
            rules,
        )
        seen.rids.extend(result.rids)
        return fhir_response(result.bundle)

    return await service.perform(request, "everything", "r", "Patient", id_, work)
