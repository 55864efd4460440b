"""Operations: Task/{id}/$referral-package (hl7.org/fhir/R4/operations.html)."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.care.referrals.package import referral_package
from app.routers import care
from app.routers.answer import fhir_response
from app.routers.service import Seen, service_of
from app.storage.database import Caller

router = APIRouter(tags=["referrals"])


@router.get("/Task/{id}/$referral-package", summary="referral-package")
async def package(request: Request) -> Response:
    """All of a referral that the caller may see; `type`: collection (default) or document."""
    service, id_ = service_of(request), request.path_params["id"]

    async def work(caller: Caller, seen: Seen) -> Response:
        made = await referral_package(
            service.reader(request),
            caller,
            id_,
            service.settings.fhir_base,
            lambda type_: service.may(request, type_, "r"),
            request.query_params.get("type", "collection"),
        )
        seen.rids.extend(made.rids)
        return fhir_response(made.bundle)

    return await service.perform(request, "referral-package", "r", "Task", id_, work)


router.include_router(care.router)
