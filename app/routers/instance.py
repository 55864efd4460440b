"""Interactions on one resource: read, vread, update, patch, delete (hl7.org/fhir/R4/http.html)."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.errors import IssueCode, fhir_error, not_found
from app.fhir_mappings import registry
from app.interactions import writing
from app.routers.answer import (
    fhir_response,
    read_patch,
    read_resource,
    version_headers,
    version_response,
)
from app.routers.preconditions import if_match, unchanged
from app.routers.service import Seen, service_of
from app.routers.written import deleted_response, written_response
from app.storage import resources
from app.storage.database import Caller
from app.storage.resources import Stored

router = APIRouter(tags=["records"])


def _answer(request: Request, stored: Stored | None, seen: Seen) -> Response:
    """A version as read: 404, 410, 304 where the client has it already, or its content."""
    if stored is None:
        raise not_found()
    seen.rids.append(stored.rid)
    if stored.deleted:
        raise fhir_error(
            IssueCode.DELETED,
            "The resource has been deleted.",
            headers=version_headers(stored.version, stored.last_updated),
        )
    if unchanged(request, stored.version, stored.last_updated):
        headers = version_headers(stored.version, stored.last_updated)
        return fhir_response(b"", status=304, headers=headers)
    return version_response(stored.content, stored.version, stored.last_updated)


@router.head("/{type}/{id}", summary="read", include_in_schema=False)
@router.get("/{type}/{id}", summary="read")
async def read(request: Request) -> Response:
    """Read the present version (http.html#read); 404 for hidden and missing alike, 410 when deleted."""
    service, (type_, id_) = service_of(request), _path(request)

    async def work(caller: Caller, seen: Seen) -> Response:
        stored = await resources.read(
            service.reader(request), caller, registry.type_code(type_), id_
        )
        return _answer(request, stored, seen)

    return await service.perform(request, "read", "r", type_, id_, work)


@router.head("/{type}/{id}/_history/{version}", summary="vread", include_in_schema=False)
@router.get("/{type}/{id}/_history/{version}", summary="vread")
async def vread(request: Request) -> Response:
    """Read one version (http.html#vread), judged by its own labels and by the present ones."""
    service, (type_, id_) = service_of(request), _path(request)
    text = request.path_params["version"]

    async def work(caller: Caller, seen: Seen) -> Response:
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            raise not_found()
        stored = await resources.vread(
            service.reader(request), caller, registry.type_code(type_), id_, int(text)
        )
        return _answer(request, stored, seen)

    return await service.perform(request, "vread", "r", type_, id_, work)


@router.put("/{type}/{id}", summary="update")
async def update(request: Request) -> Response:
    """Replace a resource (http.html#update); If-Match guards against a lost update (412)."""
    service, (type_, id_) = service_of(request), _path(request)

    async def work(caller: Caller, seen: Seen) -> Response:
        resource = await read_resource(
            request, service.settings.max_body_bytes, service.settings.max_depth
        )
        if resource.get("id") != id_:
            raise fhir_error(
                IssueCode.INVALID, "The resource's id must be the id in the URL.", f"{type_}.id"
            )
        operation = writing.Operation(type_, id_, resource, if_match(request))
        (written,) = await writing.write(service.database, caller, [operation], service.rules)
        seen.rids.extend(written.rids)
        return written_response(
            request, written, service.settings.fhir_base, service.may(request, type_, "r")
        )

    return await service.perform(request, "update", "u", type_, id_, work)


@router.patch("/{type}/{id}", summary="patch")
async def patch(request: Request) -> Response:
    """Change a resource by a patch document (http.html#patch), as one write with its reading."""
    service, (type_, id_) = service_of(request), _path(request)

    async def work(caller: Caller, seen: Seen) -> Response:
        change = await read_patch(
            request, service.settings.max_body_bytes, service.settings.max_depth
        )
        operation = writing.Operation(type_, id_, None, if_match(request), change=change)
        (written,) = await writing.write(service.database, caller, [operation], service.rules)
        seen.rids.extend(written.rids)
        return written_response(
            request, written, service.settings.fhir_base, service.may(request, type_, "r")
        )

    return await service.perform(request, "patch", "u", type_, id_, work)


@router.delete("/{type}/{id}", summary="delete")
async def delete(request: Request) -> Response:
    """Delete a resource (http.html#delete): 204 also where there was none that the caller may see."""
    service, (type_, id_) = service_of(request), _path(request)

    async def work(caller: Caller, seen: Seen) -> Response:
        operation = writing.Operation(type_, id_, None, if_match(request))
        (written,) = await writing.write(service.database, caller, [operation], service.rules)
        if written.rid:
            seen.rids.extend(written.rids)
        return deleted_response(request)

    return await service.perform(request, "delete", "d", type_, id_, work)


def _path(request: Request) -> tuple[str, str]:
    return request.path_params["type"], request.path_params["id"]
