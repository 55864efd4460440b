"""history of an instance, a type and the system over HTTP (hl7.org/fhir/R4/http.html#history)."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.errors import IssueCode, fhir_error
from app.fhir_mappings import registry
from app.interactions import history
from app.routers.answer import fhir_response
from app.routers.preference import strict
from app.routers.service import Seen, Service, service_of
from app.storage.database import Caller

router = APIRouter(tags=["records"])


def _rules(service: Service, request: Request) -> history.HistoryRules:
    settings = service.settings
    return history.HistoryRules(
        base_url=settings.fhir_base,
        strict=strict(request),
        default_count=settings.default_count,
        max_count=settings.max_count,
        cursor_key=service.cursor_key,
    )


@router.get("/_history", summary="history-system")
async def history_system(request: Request) -> Response:
    """The versions of all resources of the types that the token's scopes let it search."""
    service = service_of(request)

    async def work(caller: Caller, seen: Seen) -> Response:
        held = service.held(request)
        types = [each for each in registry.RESOURCE_TYPES if held.allow(each, "s")]
        if not types:
            raise fhir_error(
                IssueCode.FORBIDDEN, "The access token lets no resource type be searched."
            )
        result = await history.history_types(
            service.reader(request),
            service.database,
            caller,
            "_history",
            types,
            request.query_params.multi_items(),
            _rules(service, request),
        )
        seen.rids.extend(result.rids)
        return fhir_response(result.bundle)

    return await service.perform(request, "history-system", "s", None, None, work)


@router.get("/{type}/_history", summary="history-type")
async def history_type(request: Request) -> Response:
    """The versions of all resources of a type, deletions too, newest first."""
    service, type_ = service_of(request), request.path_params["type"]

    async def work(caller: Caller, seen: Seen) -> Response:
        result = await history.history_types(
            service.reader(request),
            service.database,
            caller,
            f"{type_}/_history",
            [type_],
            request.query_params.multi_items(),
            _rules(service, request),
        )
        seen.rids.extend(result.rids)
        return fhir_response(result.bundle)

    return await service.perform(request, "history-type", "s", type_, None, work)


@router.get("/{type}/{id}/_history", summary="history-instance")
async def history_instance(request: Request) -> Response:
    """The versions of a resource that the caller may see, newest first."""
    service = service_of(request)
    type_, id_ = request.path_params["type"], request.path_params["id"]

    async def work(caller: Caller, seen: Seen) -> Response:
        result = await history.history_instance(
            service.reader(request),
            service.database,
            caller,
            type_,
            id_,
            request.query_params.multi_items(),
            _rules(service, request),
        )
        seen.rids.extend(result.rids)
        return fhir_response(result.bundle)

    return await service.perform(request, "history-instance", "r", type_, id_, work)
