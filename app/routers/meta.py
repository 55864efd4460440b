"""`$meta`, `$meta-add`, `$meta-delete` on an instance, and `$meta` on a version.

Profiles, tags and labels are changed through the write pipeline like any other content: a version is made,
and the labels that the service computes stay whoever asks for less.

Pinned: hl7.org/fhir/R4/resource-operations.html#meta, resource-operation-meta-add.html.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.errors import FhirError, IssueCode, fhir_error, not_found
from app.fhir_mappings import json_text, operation_input, registry
from app.fhir_mappings.json_text import JsonObject
from app.fhir_mappings.validate import validate
from app.interactions import writing
from app.routers.answer import fhir_response, read_resource
from app.routers.preconditions import if_match
from app.routers.service import Seen, service_of
from app.storage import resources
from app.storage.database import Caller

router = APIRouter(tags=["records"])

_LISTS: Final = ("profile", "security", "tag")


def _answer(content: bytes) -> Response:
    resource = json_text.parse(content, max_depth=json_text.MAX_DEPTH_LIMIT)
    parameter = {"name": "return", "valueMeta": resource["meta"]}
    return fhir_response(json_text.dump({"resourceType": "Parameters", "parameter": [parameter]}))


@router.get("/{type}/{id}/$meta", summary="meta")
async def meta(request: Request) -> Response:
    """The profiles, tags and labels of a resource."""
    return await _read(request, None)


@router.get("/{type}/{id}/_history/{version}/$meta", summary="meta")
async def meta_of_version(request: Request) -> Response:
    """The profiles, tags and labels of one version."""
    return await _read(request, request.path_params["version"])


async def _read(request: Request, version: str | None) -> Response:
    service = service_of(request)
    type_, id_ = request.path_params["type"], request.path_params["id"]

    async def work(caller: Caller, seen: Seen) -> Response:
        reader, code = service.reader(request), registry.type_code(type_)
        if version is None:
            stored = await resources.read(reader, caller, code, id_)
        elif version.isascii() and version.isdigit() and len(version) < 10:
            stored = await resources.vread(reader, caller, code, id_, int(version))
        else:
            stored = None
        if stored is None or stored.deleted:
            raise not_found()
        seen.rids.append(stored.rid)
        return _answer(stored.content)

    return await service.perform(request, "meta", "r", type_, id_, work)


@router.post("/{type}/{id}/$meta-add", summary="meta-add")
async def meta_add(request: Request) -> Response:
    """Add profiles, tags and labels."""
    return await _change(request, "meta-add", _added)


@router.post("/{type}/{id}/$meta-delete", summary="meta-delete")
async def meta_delete(request: Request) -> Response:
    """Take profiles, tags and labels away; labels that the service computes come back."""
    return await _change(request, "meta-delete", _less)


async def _change(
    request: Request, name: str, edit: Callable[[list[Any], list[Any]], list[Any]]
) -> Response:
    service = service_of(request)
    type_, id_ = request.path_params["type"], request.path_params["id"]

    async def work(caller: Caller, seen: Seen) -> Response:
        settings = service.settings
        body = await read_resource(request, settings.max_body_bytes, settings.max_depth)
        issues = validate(body, expected_type="Parameters")
        if issues:
            raise FhirError(issues)
        sent = operation_input.of_parameters(body).only("meta").complex("meta")
        if sent is None:
            raise fhir_error(IssueCode.REQUIRED, "Give the parameter meta.", status=400)

        def change(resource: JsonObject) -> JsonObject:
            own = dict(resource["meta"])
            for each in _LISTS:
                own[each] = edit(own.get(each, []), sent.get(each, []))
                if not own[each]:
                    del own[each]
            return resource | {"meta": own}

        operation = writing.Operation(type_, id_, None, if_match(request), change=change)
        (written,) = await writing.write(service.database, caller, [operation], service.rules)
        seen.rids.extend(written.rids)
        return _answer(written.content)

    return await service.perform(request, name, "u", type_, id_, work)


def _key(value: Any) -> object:
    return (value.get("system"), value.get("code")) if isinstance(value, dict) else value


def _added(own: list[Any], sent: list[Any]) -> list[Any]:
    known = {_key(each) for each in own}
    return own + [each for each in sent if _key(each) not in known]


def _less(own: list[Any], sent: list[Any]) -> list[Any]:
    gone = {_key(each) for each in sent}
    return [each for each in own if _key(each) not in gone]
