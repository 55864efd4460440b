"""Interactions on the resource that meets a search: conditional create, update, patch, delete.

Pinned: hl7.org/fhir/R4/http.html#ccreate, #cond-update, #patch, #cdelete. The search is in the URL, or in
If-None-Exist for a create. `app.interactions.transaction` carries out each as a transaction of one entry.
"""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.interactions import transaction
from app.interactions.bundle_entry import Entry
from app.interactions.own_writing import writer_of
from app.interactions.write_plan import Written
from app.routers.answer import read_patch, read_resource
from app.routers.preconditions import if_match
from app.routers.service import Seen, Service, service_of
from app.routers.written import deleted_response, written_response
from app.storage.database import Caller

router = APIRouter(tags=["records"])


async def carry_out(
    request: Request, service: Service, caller: Caller, entry: Entry, seen: Seen
) -> list[Written]:
    """One conditional interaction in a transaction of its own, noted for its audit row."""
    writer = writer_of(caller)
    async with service.database.write(writer) as connection:
        done = await transaction.carry_out(
            connection, writer, [entry], service.rules, service.held(request)
        )
    written: Sequence[Written] = done[0]
    for each in written:
        if each.rid:
            seen.rids.extend(each.rids)
    return list(written)


async def _changed(
    request: Request, service: Service, caller: Caller, entry: Entry, seen: Seen
) -> Response:
    """Carry out an update or a patch, and answer what stands now where the caller may read the type."""
    (written,) = await carry_out(request, service, caller, entry, seen)
    may_read = service.may(request, entry.type, "r")
    return written_response(request, written, service.settings.fhir_base, may_read)


def criteria(request: Request) -> str:
    """The search of the URL, without the parameters that shape every answer."""
    own = [
        each
        for each in request.scope["query_string"].decode("latin-1").split("&")
        if each.partition("=")[0] not in ("_format", "_pretty")
    ]
    return "&".join(own)


@router.put("/{type}", summary="conditional update")
async def update(request: Request) -> Response:
    """Replace the one resource that meets the search, create it where none does (http.html#cond-update)."""
    service, type_ = service_of(request), request.path_params["type"]

    async def work(caller: Caller, seen: Seen) -> Response:
        resource = await read_resource(
            request, service.settings.max_body_bytes, service.settings.max_depth
        )
        entry = Entry(
            "PUT",
            type_,
            type=type_,
            criteria=criteria(request),
            resource=resource,
            if_match=if_match(request),
        )
        return await _changed(request, service, caller, entry, seen)

    return await service.perform(request, "update", "u", type_, None, work)


@router.patch("/{type}", summary="conditional patch")
async def patch(request: Request) -> Response:
    """Change the one resource that meets the search; 404 where none does (http.html#patch)."""
    service, type_ = service_of(request), request.path_params["type"]

    async def work(caller: Caller, seen: Seen) -> Response:
        change = await read_patch(
            request, service.settings.max_body_bytes, service.settings.max_depth
        )
        entry = Entry(
            "PATCH",
            type_,
            type=type_,
            criteria=criteria(request),
            change=change,
            if_match=if_match(request),
        )
        return await _changed(request, service, caller, entry, seen)

    return await service.perform(request, "patch", "u", type_, None, work)


@router.delete("/{type}", summary="conditional delete")
async def delete(request: Request) -> Response:
    """Delete what meets the search (http.html#cdelete): one resource, or as many as a setting allows."""
    service, type_ = service_of(request), request.path_params["type"]

    async def work(caller: Caller, seen: Seen) -> Response:
        entry = Entry(
            "DELETE", type_, type=type_, criteria=criteria(request), if_match=if_match(request)
        )
        await carry_out(request, service, caller, entry, seen)
        return deleted_response(request)

    return await service.perform(request, "delete", "d", type_, None, work)
