"""What is answered after a write (hl7.org/fhir/R4/http.html#create, #update, #return)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from app.fhir_mappings import operation_outcome
from app.interactions.write_plan import Written
from app.routers.answer import fhir_response, version_headers
from app.routers.preference import Preference, preference


def written_response(request: Request, written: Written, base: str, may_read: bool) -> Response:
    """200 or 201 with ETag, Last-Modified, Location where created, and what Prefer asks for.

    may_read: whether the token's scopes let it read the type; without, the resource is never answered,
    because a patch or a conditional create would tell what stands there.
    """
    headers = version_headers(written.version, written.last_updated)
    if written.status == 201:
        location = f"{base}/{written.type}/{written.id}/_history/{written.version}"
        headers.append(("Location", location))
    wish = preference(request)
    if wish is Preference.OUTCOME:
        body = operation_outcome.render([operation_outcome.success(written.status)])
    else:
        body = written.content if wish is Preference.REPRESENTATION and may_read else b""
    return fhir_response(body, status=written.status, headers=headers)


def deleted_response(request: Request) -> Response:
    """204; or 200 with an OperationOutcome for those who prefer one. Never which version it was."""
    if preference(request) is Preference.OUTCOME:
        return fhir_response(operation_outcome.render([operation_outcome.success(204)]))
    return Response(status_code=204, headers={"cache-control": "no-store"})
