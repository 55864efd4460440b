"""Terminology operations over HTTP: ValueSet/$expand, $validate-code; CodeSystem/$lookup, $subsumes.

Each by GET with URL parameters and by POST with Parameters, on the type and on one resource. They
answer from what the caller may read, and from what R4 itself ships.

Pinned: hl7.org/fhir/R4/terminology-service.html.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.errors import IssueCode, fhir_error, not_found
from app.fhir_mappings import json_text, operation_input, registry
from app.fhir_mappings.json_text import JsonObject
from app.fhir_mappings.operation_input import OperationInput
from app.fhir_mappings.terminology import operations
from app.fhir_mappings.terminology.code_system import CodeSystem
from app.fhir_mappings.terminology.operations import Asked, Expand
from app.interactions import conformance
from app.interactions.conformance import Loaded
from app.routers.answer import fhir_response, read_resource
from app.routers.service import Seen, service_of
from app.storage import resources
from app.storage.database import Caller

router = APIRouter(tags=["terminology"])


@dataclass(frozen=True, slots=True)
class _Ask:
    """One request: its parameters, the resource that its address names, and how to load more."""

    given: OperationInput
    resource: JsonObject | None
    load: Callable[..., Awaitable[Loaded]]


_Answer = Callable[[_Ask], Awaitable[JsonObject]]
_Endpoint = Callable[[Request], Awaitable[Response]]


def _operation(type_: str, name: str) -> Callable[[_Endpoint], _Endpoint]:
    """Register an operation on the type and on an instance, by GET and by POST."""

    def register(endpoint: _Endpoint) -> _Endpoint:
        for path in (f"/{type_}/${name}", f"/{type_}/{{id}}/${name}"):
            router.get(path, summary=name)(endpoint)
            router.post(path, summary=name)(endpoint)
        return endpoint

    return register


@_operation("ValueSet", "expand")
async def expand(request: Request) -> Response:
    """The codes of a value set: filter, offset, count, includeDesignations, activeOnly."""

    async def answer(ask: _Ask) -> JsonObject:
        given = ask.given.only(
            "url", "valueSet", "valueSetVersion", "filter", "offset", "count",
            "includeDesignations", "activeOnly", "excludeNotForUI",
        )  # fmt: skip
        source, loaded = await _value_set(ask)
        wanted = Expand(
            filter=given.text("filter") or "",
            offset=given.number("offset") or 0,
            count=given.number("count"),
            designations=given.flag("includeDesignations"),
            active_only=given.flag("activeOnly"),
            exclude_not_for_ui=given.flag("excludeNotForUI"),
        )
        return operations.expand(loaded.terminology, source, wanted, datetime.now(UTC))

    return await _perform(request, "expand", "ValueSet", answer)


@_operation("ValueSet", "validate-code")
async def validate_in_value_set(request: Request) -> Response:
    """Whether a code, Coding or CodeableConcept is in a value set."""

    async def answer(ask: _Ask) -> JsonObject:
        ask.given.only(
            "url", "valueSet", "valueSetVersion", "code", "system", "display", "coding",
            "codeableConcept",
        )  # fmt: skip
        source, loaded = await _value_set(ask)
        return operations.validate_code(loaded.terminology, source, _asked(ask.given))

    return await _perform(request, "validate-code", "ValueSet", answer)


@_operation("CodeSystem", "validate-code")
async def validate_in_code_system(request: Request) -> Response:
    """Whether a code system has a code."""

    async def answer(ask: _Ask) -> JsonObject:
        given = ask.given.only("url", "version", "code", "display", "coding", "codeableConcept")
        (asked, *others) = _asked(given)
        if others:
            raise fhir_error(IssueCode.INVALID, "Ask for one code at a time.")
        stated = given.text("url") or asked.system
        url, loaded = await _code_system(ask, stated, given.text("version"))
        return operations.validate_in_system(loaded.terminology, url, asked)

    return await _perform(request, "validate-code", "CodeSystem", answer)


@_operation("CodeSystem", "lookup")
async def lookup(request: Request) -> Response:
    """What is known of a code: display, definition, designations, parents, children, properties."""

    async def answer(ask: _Ask) -> JsonObject:
        given = ask.given.only("system", "version", "code", "coding")
        (asked, *_) = _asked(given)
        url, loaded = await _code_system(ask, asked.system, given.text("version"))
        return operations.lookup(loaded.terminology, url, asked.code)

    return await _perform(request, "lookup", "CodeSystem", answer)


@_operation("CodeSystem", "subsumes")
async def subsumes(request: Request) -> Response:
    """Whether codeA subsumes codeB, is subsumed by it, is the same, or neither."""

    async def answer(ask: _Ask) -> JsonObject:
        given = ask.given.only("system", "version", "codeA", "codeB", "codingA", "codingB")
        first, second = (_coding(given, f"code{side}", f"coding{side}") for side in "AB")
        stated = given.text("system") or first.system or second.system
        if {first.system, second.system, stated} - {None, stated}:
            raise fhir_error(IssueCode.INVALID, "Both codes must be of the same code system.")
        url, loaded = await _code_system(ask, stated, given.text("version"))
        return operations.subsumes(loaded.terminology, url, first.code, second.code)

    return await _perform(request, "subsumes", "CodeSystem", answer)


async def _perform(request: Request, name: str, type_: str, answer: _Answer) -> Response:
    service, id_ = service_of(request), request.path_params.get("id")

    async def work(caller: Caller, seen: Seen) -> Response:
        given = operation_input.of_query(request.query_params.multi_items())
        if request.method == "POST":
            given = await _parameters(request)
        resource: JsonObject | None = None
        if id_ is not None:
            stored = await resources.read(
                service.reader(request), caller, registry.type_code(type_), id_
            )
            if stored is None or stored.deleted:
                raise not_found()
            seen.rids.append(stored.rid)
            resource = json_text.parse(stored.content, max_depth=json_text.MAX_DEPTH_LIMIT)

        async def load(**wanted: Any) -> Loaded:
            loaded = await conformance.terminology(service.reader(request), caller, **wanted)
            seen.rids.extend(loaded.rids)
            return loaded

        return fhir_response(json_text.dump(await answer(_Ask(given, resource, load))))

    return await service.perform(request, name, "r", type_, id_, work)


async def _parameters(request: Request) -> OperationInput:
    settings = service_of(request).settings
    body = await read_resource(request, settings.max_body_bytes, settings.max_depth)
    return operation_input.of_whole(body)


async def _value_set(ask: _Ask) -> tuple[str | JsonObject, Loaded]:
    """What names the value set (a URL, or the ValueSet itself), and everything that it includes."""
    given = ask.given
    sent = ask.resource or given.complex("valueSet")
    if sent is not None:
        if sent.get("resourceType") != "ValueSet":
            raise fhir_error(IssueCode.INVALID, "The parameter valueSet must be a ValueSet.")
        return sent, await ask.load(given=[sent])
    url = given.required("url")
    version = given.text("valueSetVersion")
    if version is not None and "|" not in url:
        url = f"{url}|{version}"
    return url, await ask.load(value_sets=[url])


async def _code_system(ask: _Ask, stated: str | None, version: str | None) -> tuple[str, Loaded]:
    """The URL of the code system, which the address or a parameter names, and the system itself."""
    if ask.resource is not None:
        system = CodeSystem.of({"url": "", **ask.resource})
        return system.url, await ask.load(given_systems=[system])
    if not stated:
        raise fhir_error(IssueCode.REQUIRED, "Give the parameter system.", status=400)
    url = f"{stated}|{version}" if version and "|" not in stated else stated
    return url, await ask.load(code_systems=[url])


def _asked(given: OperationInput) -> list[Asked]:
    concept = given.complex("codeableConcept") if "codeableConcept" in given.values else None
    if concept is not None:
        codings = [_of_coding(each) for each in concept.get("coding", ()) if "code" in each]
        if not codings:
            raise fhir_error(IssueCode.REQUIRED, "Give a Coding with a code.", status=400)
        return codings
    one = _coding(given, "code", "coding")
    system = given.text("system") if "system" in given.values else one.system
    display = given.text("display") if "display" in given.values else one.display
    return [replace(one, system=system, display=display)]


def _coding(given: OperationInput, code: str, coding: str) -> Asked:
    sent = given.complex(coding)
    if sent is not None:
        if "code" not in sent:
            raise fhir_error(IssueCode.REQUIRED, "Give a Coding with a code.", status=400)
        return _of_coding(sent)
    return Asked(given.required(code))


def _of_coding(coding: JsonObject) -> Asked:
    return Asked(coding["code"], coding.get("system"), coding.get("display"))
