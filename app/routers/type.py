"""Interactions on a type: create and search (hl7.org/fhir/R4/http.html#create, #search)."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.interactions import search, writing
from app.routers.answer import fhir_response, read_form, read_resource
from app.routers.instance import written_response
from app.routers.service import Seen, service_of
from app.storage.database import Caller

router = APIRouter(tags=["records"])


@router.post("/{type}", summary="create", status_code=201)
async def create(request: Request) -> Response:
    """Create a resource; the server chooses the id. 201 with Location, ETag and Last-Modified."""
    service, type_ = service_of(request), request.path_params["type"]

    async def work(caller: Caller, seen: Seen) -> Response:
        resource = await read_resource(
            request, service.settings.max_body_bytes, service.settings.max_depth
        )
        operation = writing.Operation(type_, None, resource)
        (written,) = await writing.write(service.database, caller, [operation], service.rules)
        seen.rids.extend((written.rid, *written.also))
        return written_response(written, service.settings.fhir_base)

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
        lenient = "handling=lenient" in request.headers.get("prefer", "").replace(" ", "")
        result = await search.search_type(
            service.database,
            caller,
            type_,
            given,
            search.SearchRules(
                base_url=service.settings.fhir_base,
                strict=not lenient,
                default_count=service.settings.default_count,
                max_count=service.settings.max_count,
                cursor_key=service.cursor_key,
            ),
        )
        seen.rids.extend(result.rids)
        return fhir_response(result.bundle)

    return await service.perform(request, "search-type", "s", type_, None, work)
