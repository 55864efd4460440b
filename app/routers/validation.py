"""`$validate` over HTTP: a resource that is sent, against R4 and profiles.

The answer is an OperationOutcome with status 200, whatever is found; nothing is stored, and whether
the targets of references exist is not asked, so that it tells nothing of other records. What is
stored is not judged in place: a fault could tell of an element that is withheld from the caller.

Pinned: hl7.org/fhir/R4/resource-operation-validate.html.
"""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.errors import Issue, IssueCode, fhir_error, not_found
from app.fhir_mappings import operation_input, operation_outcome, registry
from app.fhir_mappings.json_text import JsonObject
from app.fhir_mappings.operation_input import OperationInput
from app.interactions.validation import judge, may_be_deleted
from app.routers.answer import fhir_response, read_body, read_resource
from app.routers.service import Seen, service_of
from app.storage import resources
from app.storage.database import Caller

router = APIRouter(tags=["records"])

_MODES: Final = (None, "create", "update", "profile", "delete")
_ALL_IS_WELL: Final = Issue(IssueCode.INFORMATIONAL, "No fault was found.", (), "information")


@router.post("/{type}/$validate", summary="validate")
async def validate_type(request: Request) -> Response:
    """Judge a resource: the body, or the `resource` of Parameters; `profile` by either way."""
    return await _validate(request, None)


@router.post("/{type}/{id}/$validate", summary="validate")
async def validate_instance(request: Request) -> Response:
    """Judge what is to replace a stored resource, which the caller must be able to read."""
    return await _validate(request, request.path_params["id"])


async def _validate(request: Request, id_: str | None) -> Response:
    service, type_ = service_of(request), request.path_params["type"]

    async def work(caller: Caller, seen: Seen) -> Response:
        given = operation_input.of_query(request.query_params.multi_items())
        settings = service.settings
        resource: JsonObject | None = None
        # Nothing needs to be sent to ask whether what is stored may be deleted.
        if given.text("mode") != "delete" or await read_body(request, settings.max_body_bytes):
            resource = await read_resource(request, settings.max_body_bytes, settings.max_depth)
        if resource and resource["resourceType"] == "Parameters" and type_ != "Parameters":
            sent = operation_input.of_sent(resource)
            given = OperationInput({**given.values, **sent.values})
            resource = given.complex("resource")
        given.only("resource", "profile", "mode")
        if given.text("mode") not in _MODES:
            raise fhir_error(IssueCode.INVALID, "The modes are create, update, profile and delete.")
        if given.text("mode") == "delete":
            if id_ is None:
                raise fhir_error(
                    IssueCode.INVALID,
                    "Ask whether it may be deleted of one resource: Type/id.",
                    status=400,
                )
            service.require(request, type_, "d")
        if id_ is not None:
            stored = await resources.read(
                service.reader(request), caller, registry.type_code(type_), id_
            )
            if stored is None or stored.deleted:
                raise not_found()
            seen.rids.append(stored.rid)
        if given.text("mode") == "delete" and id_ is not None:
            issues = await may_be_deleted(service.database, caller, type_, id_, service.rules)
            return fhir_response(operation_outcome.render(issues or [_ALL_IS_WELL]))
        if resource is None:
            raise fhir_error(IssueCode.REQUIRED, "Send the resource to be judged.", status=400)
        judged = await judge(
            service.reader(request),
            caller,
            resource,
            expected_type=type_,
            profiles=given.texts("profile"),
        )
        seen.rids.extend(judged.rids)
        return fhir_response(operation_outcome.render(judged.issues or [_ALL_IS_WELL]))

    return await service.perform(request, "validate", "r", type_, id_, work)
