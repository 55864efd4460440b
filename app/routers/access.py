"""Questions about consent: $enforcement, $explain-access, $preview-access, $accounting-of-disclosures.

Who may not ask gets the answer for a missing resource. Pinned: hl7.org/fhir/R4/operations.html.
"""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.errors import IssueCode, fhir_error
from app.fhir_mappings import registry
from app.interactions.access.accounting import accounting, as_bundle, as_csv
from app.interactions.access.enforcement import enforcement as enforcement_of
from app.interactions.access.explain_access import explain_access
from app.interactions.access.preview_access import preview_access
from app.routers.answer import fhir_response
from app.routers.service import Seen, service_of
from app.storage import reviews
from app.storage.database import Caller, Database

router = APIRouter(tags=["consent"])


@router.get("/Consent/{id}/$enforcement", summary="enforcement")
async def enforcement(request: Request) -> Response:
    """Whether a Consent is enforced, and why not, in plain words; see docs/consent.md."""
    service, id_ = service_of(request), request.path_params["id"]

    async def work(caller: Caller, seen: Seen) -> Response:
        body = await enforcement_of(service.database, caller, id_, (service.settings.fhir_base,))
        await _note(service.database, caller, seen, "Consent", id_)
        return fhir_response(body)

    return await service.perform(request, "enforcement", "r", "Consent", id_, work)


@router.get("/Patient/{id}/$preview-access", summary="preview-access")
async def preview(request: Request) -> Response:
    """What an organization, practitioner or person would see of a record for a purpose."""
    service, id_ = service_of(request), request.path_params["id"]

    async def work(caller: Caller, seen: Seen) -> Response:
        body = await preview_access(
            service.database, caller, id_, request.query_params, (service.settings.fhir_base,)
        )
        await _note(service.database, caller, seen, "Patient", id_)
        return fhir_response(body)

    return await service.perform(request, "preview-access", "r", "Patient", id_, work)


@router.get("/Patient/{id}/$accounting-of-disclosures", summary="accounting-of-disclosures")
async def accounting_of_disclosures(request: Request) -> Response:
    """Who saw what of a record, when and why; `_outputFormat=csv` for a table; `since`: a date."""
    service, id_ = service_of(request), request.path_params["id"]

    async def work(caller: Caller, seen: Seen) -> Response:
        format_ = request.query_params.get("_outputFormat", "json")
        if format_ not in _FORMATS:
            raise fhir_error(
                IssueCode.NOT_SUPPORTED,
                "_outputFormat is json or csv.",
                "_outputFormat",
                status=406,
            )
        found = await accounting(
            service.database,
            caller,
            id_,
            (service.settings.fhir_base,),
            request.query_params.get("since"),
        )
        await _note(service.database, caller, seen, "Patient", id_)
        if _FORMATS[format_]:
            headers = {"content-type": "text/csv; charset=utf-8", "cache-control": "no-store"}
            return Response(as_csv(found), headers=headers)
        return fhir_response(as_bundle(found))

    return await service.perform(request, "accounting-of-disclosures", "r", "Patient", id_, work)


_FORMATS = {"json": False, "application/fhir+json": False, "csv": True, "text/csv": True}


@router.get("/{type}/{id}/$explain-access", summary="explain-access")
async def explain(request: Request) -> Response:
    """Whether a caller would see a resource, and every provision on the way to the decision."""
    service = service_of(request)
    type_, id_ = request.path_params["type"], request.path_params["id"]

    async def work(caller: Caller, seen: Seen) -> Response:
        body = await explain_access(
            service.database,
            caller,
            type_,
            id_,
            request.query_params,
            (service.settings.fhir_base,),
        )
        await _note(service.database, caller, seen, type_, id_)
        return fhir_response(body)

    return await service.perform(request, "explain-access", "r", type_, id_, work)


async def _note(database: Database, caller: Caller, seen: Seen, type_: str, id_: str) -> None:
    """The resource asked about, for the audit row."""
    target = await reviews.target(database, caller, registry.type_code(type_), id_)
    if target is not None:
        seen.rids.append(int(target.facts.rid))
