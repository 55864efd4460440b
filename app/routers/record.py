"""Operations on one person's record: $match, $summary, $link and $unlink."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.care.record import operations
from app.errors import FhirError, IssueCode, fhir_error
from app.fhir_mappings import json_text
from app.fhir_mappings.operation_input import check_frame, of_sent
from app.fhir_mappings.validate import validate
from app.routers.answer import fhir_response, read_resource
from app.routers.parameters import parameter
from app.routers.service import Seen, service_of
from app.storage.database import Caller

router = APIRouter(tags=["record"])


@router.post("/Patient/$match", summary="match")
async def match(request: Request) -> Response:
    """Who of those that the caller may see is this person (patient-operation-match.html)?"""
    service = service_of(request)
    settings = service.settings

    async def work(caller: Caller, seen: Seen) -> Response:
        body = await read_resource(request, settings.max_body_bytes, settings.max_depth)
        wanted, certain, count = body, False, settings.default_count
        if body["resourceType"] == "Parameters":
            given = of_sent(body)
            wanted = given.complex("resource") or {}
            certain = given.flag("onlyCertainMatches")
            asked = given.number("count")
            count = min(count if asked is None else asked, settings.max_count)
        if wanted.get("resourceType") != "Patient":
            raise fhir_error(
                IssueCode.REQUIRED,
                "Send the Patient to look for as the parameter resource.",
                "resource",
            )
        issues = [i for i in validate(wanted, expected_type="Patient") if i.severity == "error"]
        if issues:
            raise FhirError(issues)
        made = await operations.match_patient(
            service.database, caller, wanted, settings.fhir_base, certain=certain, count=count
        )
        seen.rids.extend(made.rids)
        return fhir_response(json_text.dump(made.resource))

    return await service.perform(request, "match", "s", "Patient", None, work)


@router.get("/Patient/{id}/$summary", summary="summary")
async def summarize(request: Request) -> Response:
    """The International Patient Summary of what the caller may see, as a document."""
    service, id_ = service_of(request), request.path_params["id"]

    async def work(caller: Caller, seen: Seen) -> Response:
        bundle, rids = await operations.summarize(
            service.database,
            caller,
            id_,
            service.settings.fhir_base,
            lambda type_: service.may(request, type_, "r"),
        )
        seen.rids.extend(rids)
        return fhir_response(bundle)

    return await service.perform(request, "summary", "r", "Patient", id_, work)


@router.post("/Patient/{id}/$link", summary="link")
async def link(request: Request) -> Response:
    """Say that this Patient and `other` are one person; needs authority over both."""
    return await _rewrite(request, together=True)


@router.post("/Patient/{id}/$unlink", summary="unlink")
async def unlink(request: Request) -> Response:
    """Take a $link back."""
    return await _rewrite(request, together=False)


async def _rewrite(request: Request, *, together: bool) -> Response:
    service, id_ = service_of(request), request.path_params["id"]

    async def work(caller: Caller, seen: Seen) -> Response:
        body = await read_resource(
            request, service.settings.max_body_bytes, service.settings.max_depth
        )
        check_frame(body)
        other = parameter(body, "other")
        if not other:
            raise fhir_error(IssueCode.REQUIRED, "Name the other Patient.", "other")
        change = operations.link_patients if together else operations.unlink_patients
        made = await change(service.database, caller, id_, other, service.rules)
        seen.rids.extend(made.rids)
        return fhir_response(json_text.dump(made.resource))

    name = "link" if together else "unlink"
    return await service.perform(request, name, "u", "Patient", id_, work)
