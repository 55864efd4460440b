"""create (hl7.org/fhir/R4/http.html#create); the searches of a type are in `app.routers.search`."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.interactions import writing
from app.interactions.bundle_entry import Entry
from app.routers import conditional
from app.routers.answer import read_resource
from app.routers.service import Seen, service_of
from app.routers.written import written_response
from app.storage.database import Caller

router = APIRouter(tags=["records"])


@router.post("/{type}", summary="create", status_code=201)
async def create(request: Request) -> Response:
    """Create a resource (http.html#create); the server chooses the id. 201 with Location and ETag.

    With If-None-Exist (http.html#ccreate): 200 and nothing made where one resource meets the search.
    """
    service, type_ = service_of(request), request.path_params["type"]

    async def work(caller: Caller, seen: Seen) -> Response:
        resource = await read_resource(
            request, service.settings.max_body_bytes, service.settings.max_depth
        )
        condition = request.headers.get("if-none-exist")
        if condition is None:
            operation = writing.Operation(type_, None, resource)
            (written,) = await writing.write(service.database, caller, [operation], service.rules)
            seen.rids.extend(written.rids)
        else:
            entry = Entry("POST", type_, type=type_, criteria=condition, resource=resource)
            (written,) = await conditional.carry_out(request, service, caller, entry, seen)
        return written_response(
            request, written, service.settings.fhir_base, service.may(request, type_, "r")
        )

    return await service.perform(request, "create", "c", type_, None, work)
