"""search-type and search-system over HTTP: by URL, or by POST, which no log or proxy sees.

Pinned: hl7.org/fhir/R4/http.html#search. The search itself is `app.interactions.search`.
"""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.interactions import search
from app.routers.answer import fhir_response, read_form
from app.routers.preference import strict
from app.routers.service import Seen, Service, service_of
from app.storage.database import Caller

router = APIRouter(tags=["records"])


@router.get("", summary="search-system")
@router.get("/", include_in_schema=False)
async def search_system(request: Request) -> Response:
    """Search several types by the parameters that all of them have; `_type` names which."""
    return await _search(request, None)


@router.post("/_search", summary="search-system by POST")
async def search_system_post(request: Request) -> Response:
    """Search several types by form parameters."""
    return await _search(request, None)


@router.get("/{type}", summary="search-type")
async def search_type(request: Request) -> Response:
    """Search a type by URL parameters; consent is part of the search itself."""
    return await _search(request, request.path_params["type"])


@router.post("/{type}/_search", summary="search-type by POST")
async def search_type_post(request: Request) -> Response:
    """Search a type by form parameters."""
    return await _search(request, request.path_params["type"])


def rules_of(service: Service, request: Request) -> search.SearchRules:
    """What a search depends on: settings, Prefer: handling, and the scopes of the token."""
    settings = service.settings
    held = service.held(request)
    return search.SearchRules(
        base_url=settings.fhir_base,
        strict=strict(request),
        default_count=settings.default_count,
        max_count=settings.max_count,
        cursor_key=service.cursor_key,
        may_search=lambda type_: held.allow(type_, "s"),
    )


async def parameters_of(request: Request, service: Service) -> list[tuple[str, str]]:
    """The parameters of the URL, and of the form where there is one."""
    given = list(request.query_params.multi_items())
    if request.method == "POST":
        given += await read_form(request, service.settings.max_body_bytes)
    return given


async def _search(request: Request, type_: str | None) -> Response:
    service = service_of(request)
    reader = service.reader(request)

    async def work(caller: Caller, seen: Seen) -> Response:
        given = await parameters_of(request, service)
        rules = rules_of(service, request)
        if type_ is None:
            result = await search.search_system(
                service.database, caller, given, rules, reader=reader
            )
        else:
            result = await search.search_type(
                service.database, caller, type_, given, rules, reader=reader
            )
        seen.rids.extend(result.rids)
        return fhir_response(result.bundle)

    interaction = "search-system" if type_ is None else "search-type"
    return await service.perform(request, interaction, "s", type_, None, work)
