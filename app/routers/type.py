"""Interactions on a type: create and search (hl7.org/fhir/R4/http.html#create, #search)."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.interactions import search, writing
from app.interactions.bundle_entry import Entry
from app.routers import conditional
from app.routers.answer import fhir_response, read_form, read_resource
from app.routers.preference import strict
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
            seen.rids.extend((written.rid, *written.also))
        else:
            entry = Entry("POST", type_, type=type_, criteria=condition, resource=resource)
            (written,) = await conditional.carry_out(request, service, caller, entry, seen)
        return written_response(
            request, written, service.settings.fhir_base, service.may(request, type_, "r")
        )

    return await service.perform(request, "create", "c", type_, None, work)


@router.get("/{type}", summary="search-type")
async def search_type(request: Request) -> Response:
    """Search a type by URL parameters (http.html#search); consent is part of the search itself."""
    return await _search(request, list(request.query_params.multi_items()))


@router.post("/{type}/_search", summary="search-type by POST")
async def search_type_post(request: Request) -> Response:
    """Search a type by form parameters, which no log or proxy sees (http.html#search)."""
    return await _search(request, None)


async def _search(request: Request, parameters: list[tuple[str, str]] | None) -> Response:
    service, type_ = service_of(request), request.path_params["type"]

    async def work(caller: Caller, seen: Seen) -> Response:
        form = (
            await read_form(request, service.settings.max_body_bytes) if parameters is None else []
        )
        given = [*request.query_params.multi_items(), *form] if parameters is None else parameters
        result = await search.search_type(
            service.reader(request),
            caller,
            type_,
            given,
            search.SearchRules(
                base_url=service.settings.fhir_base,
                strict=strict(request),
                default_count=service.settings.default_count,
                max_count=service.settings.max_count,
                cursor_key=service.cursor_key,
            ),
        )
        seen.rids.extend(result.rids)
        return fhir_response(result.bundle)

    return await service.perform(request, "search-type", "s", type_, None, work)
