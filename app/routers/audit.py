"""The audit as AuditEvent resources: read and search; written by this server alone.

Open to privacy officers, and to a survivor's own app about that survivor (`app.storage.audit_entries`).
Pinned: hl7.org/fhir/R4/auditevent.html.
"""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.errors import not_found
from app.interactions import audit_search
from app.routers.answer import fhir_response, read_form
from app.routers.service import Seen, service_of
from app.storage.database import Caller

router = APIRouter(tags=["administration"])


@router.get("/AuditEvent/{id}", summary="read an audit entry")
async def read(request: Request) -> Response:
    """One AuditEvent; 404 for hidden and missing alike."""
    service, id_ = service_of(request), request.path_params["id"]

    async def work(caller: Caller, seen: Seen) -> Response:
        found = None
        if _is_uuid(id_):
            found = await audit_search.read(
                service.database, caller, id_, service.settings.fhir_base
            )
        if found is None:
            raise not_found()
        return fhir_response(found, headers=[("ETag", 'W/"1"')])

    return await service.perform(request, "read", "r", "AuditEvent", id_, work)


@router.get("/AuditEvent", summary="search the audit")
async def search(request: Request) -> Response:
    """AuditEvents by date, patient, agent, entity, altid, action, outcome, subtype; newest first."""
    return await _search(request, form=False)


@router.post("/AuditEvent/_search", summary="search the audit by POST")
async def search_post(request: Request) -> Response:
    """The same with the parameters in a form."""
    return await _search(request, form=True)


async def _search(request: Request, *, form: bool) -> Response:
    service = service_of(request)
    settings = service.settings

    async def work(caller: Caller, seen: Seen) -> Response:
        given = list(request.query_params.multi_items())
        if form:
            given += await read_form(request, settings.max_body_bytes)
        rules = audit_search.AuditRules(
            settings.fhir_base, settings.default_count, settings.max_count, service.cursor_key
        )
        return fhir_response(await audit_search.search(service.database, caller, given, rules))

    return await service.perform(request, "search-type", "s", "AuditEvent", None, work)


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
