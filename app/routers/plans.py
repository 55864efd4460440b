"""Operations on care plans: PlanDefinition/$apply (hl7.org/fhir/R4/plandefinition-operation-apply.html)."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.care.plans import operations
from app.fhir_mappings import json_text
from app.routers.answer import fhir_response
from app.routers.parameters import storing, subject_of
from app.routers.service import Seen, service_of
from app.storage.database import Caller

router = APIRouter(tags=["care plans"])

_WRITTEN = ("CarePlan", "RequestGroup", "ServiceRequest", "Task", "Goal", "CommunicationRequest")


@router.get("/PlanDefinition/{id}/$apply", summary="apply")
@router.post("/PlanDefinition/{id}/$apply", summary="apply by POST")
async def apply(request: Request) -> Response:
    """The CarePlan of a pathway for `subject`; POST with `store=true` opens all of it, in one transaction."""
    service, id_ = service_of(request), request.path_params["id"]

    async def work(caller: Caller, seen: Seen) -> Response:
        store = storing(request)
        subject = await subject_of(
            request, service.settings.max_body_bytes, service.settings.max_depth
        )
        service.require(request, "Patient", "r")
        for type_ in _WRITTEN if store else ():
            service.require(request, type_, "c")
        made = await operations.apply_plan(
            service.database, caller, id_, subject, service.rules, store=store
        )
        seen.rids.extend(made.rids)
        return fhir_response(json_text.dump(made.resource))

    return await service.perform(request, "apply", "r", "PlanDefinition", id_, work)
