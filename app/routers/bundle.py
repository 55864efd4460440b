"""batch and transaction (hl7.org/fhir/R4/http.html#transaction): many interactions in one request.

A batch's entries are requests of their own, each with its own fate. A transaction's writes are carried out
together by `app.interactions.transaction`; its reads are asked afterwards, on the same connection.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from typing import Any, Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.errors import FhirError, IssueCode, fhir_error
from app.fhir_mappings import json_text, operation_outcome
from app.fhir_mappings.bundle import BundleEntry, BundleResponse, render_bundle
from app.fhir_mappings.validate import validate
from app.interactions import bundle_entry, transaction
from app.interactions.bundle_entry import Entry
from app.interactions.own_writing import writer_of
from app.interactions.patching import patch_of
from app.interactions.write_plan import Written
from app.routers.answer import fhir_response, read_resource
from app.routers.inner import Answer, Inner, ask
from app.routers.preference import Preference, preference
from app.routers.service import Seen, SeenEntry, Service, service_of
from app.storage.database import Caller, TransactionReader

router = APIRouter(tags=["records"])

_LOG: Final = logging.getLogger("throughline")
_FAILED: Final = fhir_error(IssueCode.EXCEPTION, "The entry failed inside the service.")

_INTERACTION: Final = {
    "POST": ("create", "c"),
    "PUT": ("update", "u"),
    "PATCH": ("patch", "u"),
    "DELETE": ("delete", "d"),
}


@router.post("", summary="batch, transaction")
@router.post("/", include_in_schema=False)
async def bundle(request: Request) -> Response:
    """Carry out a batch, entry by entry, or a transaction, all or nothing (http.html#transaction)."""
    service = service_of(request)
    settings = service.settings
    kind = "transaction"

    async def work(caller: Caller, seen: Seen) -> Response:
        given = await read_resource(request, settings.max_body_bytes, settings.max_depth)
        if given["resourceType"] == "Bundle" and given.get("type") == "batch":
            seen.interaction = "batch"
            return await _batch(request, service, given, seen)
        issues = validate(given, expected_type="Bundle")
        if any(issue.severity in ("error", "fatal") for issue in issues):
            raise FhirError(issues)
        if given["type"] != "transaction":
            raise fhir_error(
                IssueCode.NOT_SUPPORTED,
                "Send a Bundle of type batch or transaction here; to keep another one, POST it to Bundle.",
                "Bundle.type",
            )
        return await _transaction(request, service, caller, given, seen)

    return await service.perform(request, kind, "c", None, None, work)


async def _batch(
    request: Request, service: Service, given: json_text.JsonObject, seen: Seen
) -> Response:
    raw = bundle_entry.limited(_shallow(given), service.settings.max_bundle_entries)
    inner = Inner(audit=seen.inner)
    entries = []
    for number, each in enumerate(raw):
        where = f"Bundle.entry[{number}]"
        try:
            entries.append(_entry(await _one(request, service, inner, each, where), each))
        except FhirError as error:
            entries.append(_refused(error))
        except Exception as error:  # noqa: BLE001 - one entry's failure is no other's
            _LOG.error("an entry of a batch failed: %s", type(error).__name__)
            entries.append(_refused(_FAILED))
    return fhir_response(render_bundle("batch-response", total=None, links=[], entries=entries))


def _shallow(given: json_text.JsonObject) -> json_text.JsonObject:
    """The batch with its frame checked; what an entry holds is the entry's own matter."""
    entries = given.get("entry", [])
    framed = given | {"entry": [_frame(each) for each in entries]} if _is_list(entries) else given
    if framed.get("entry") == []:
        framed.pop("entry")
    issues = validate(framed, expected_type="Bundle")
    if any(issue.severity in ("error", "fatal") for issue in issues):
        raise FhirError(issues)
    return given


def _is_list(value: object) -> bool:
    return isinstance(value, list) and bool(value)


def _frame(entry: Any) -> Any:
    """The entry with a resource that has no faults in the place of its own."""
    if not isinstance(entry, dict) or "resource" not in entry:
        return entry
    return entry | {"resource": {"resourceType": "Parameters"}}


async def _one(
    request: Request, service: Service, inner: Inner, raw: json_text.JsonObject, where: str
) -> Answer:
    asked = raw.get("request")
    if asked is None:
        raise fhir_error(IssueCode.REQUIRED, "The entry lacks its request.", f"{where}.request")
    resource = raw.get("resource")
    if (asked["method"] in ("POST", "PUT", "PATCH")) != (resource is not None):
        raise fhir_error(
            IssueCode.INVALID,
            "POST, PUT and PATCH need a resource; GET, HEAD and DELETE have none.",
            f"{where}.resource",
        )
    if resource is not None and not isinstance(resource, dict):
        raise fhir_error(IssueCode.STRUCTURE, "Send a resource: an object.", f"{where}.resource")
    url = bundle_entry.relative_url(asked["url"], f"{service.settings.fhir_base}/")
    return await ask(request, inner, url, asked, resource, where)


async def _transaction(
    request: Request,
    service: Service,
    caller: Caller,
    given: json_text.JsonObject,
    seen: Seen,
) -> Response:
    base = f"{service.settings.fhir_base}/"
    raw = bundle_entry.limited(given, service.settings.max_bundle_entries)
    entries = [
        bundle_entry.read_entry(each, f"Bundle.entry[{n}]", base, patch_of)
        for n, each in enumerate(raw)
    ]
    held = service.held(request)
    transaction.require_scopes(entries, held)
    wanted = preference(request)
    inner = Inner()
    writer = writer_of(caller)
    async with service.database.write(writer) as connection:
        done = await transaction.carry_out(connection, writer, entries, service.rules, held)
        inner.reader = TransactionReader(connection, answering=True)
        read: dict[int, Answer] = {}
        for place, entry in enumerate(entries):
            if entry.reads:
                read[place] = await ask(
                    request, inner, entry.url, raw[place]["request"], None, entry.where
                )
                _refuse_failed(read[place], entry)
    seen.inner.extend(inner.audit)
    _note(entries, done, seen)
    answered = [
        _entry(read[place], raw[place])
        if place in read
        else _written(done[place], wanted, held.allow(entry.type, "r"))
        for place, entry in enumerate(entries)
    ]
    return fhir_response(
        render_bundle("transaction-response", total=None, links=[], entries=answered)
    )


def _refuse_failed(answer: Answer, entry: Entry) -> None:
    """A read that fails fails the transaction: all or nothing."""
    if answer.status < 400:
        return
    outcome = json_text.parse(answer.body, max_depth=json_text.MAX_DEPTH_LIMIT)
    raise FhirError(operation_outcome.placed(outcome, entry.where), status=answer.status)


def _note(entries: Sequence[Entry], done: dict[int, list[Written]], seen: Seen) -> None:
    """Each write of a transaction is written down as what it was."""
    for place, entry in enumerate(entries):
        if entry.reads:
            continue
        interaction, letter = _INTERACTION[entry.method]
        for each in done[place]:
            if each.rid:
                rids = list(each.rids)
                seen.rids.extend(rids)
                seen.entries.append(SeenEntry(interaction, letter, each.type, each.id, rids))


def _written(done: Sequence[Written], wanted: Preference, may_read: bool) -> BundleEntry:
    if not done or not done[0].content:
        return BundleEntry(response=BundleResponse("204"))
    (one,) = done
    outcome = None
    if wanted is Preference.OUTCOME:
        outcome = operation_outcome.render([operation_outcome.success(one.status)])
    shown = wanted is Preference.REPRESENTATION and may_read
    return BundleEntry(
        resource=one.content if shown else None,
        response=BundleResponse(
            str(one.status),
            location=f"{one.type}/{one.id}/_history/{one.version}",
            etag=f'W/"{one.version}"',
            last_modified=one.last_updated,
            outcome=outcome,
        ),
    )


def _entry(answer: Answer, raw: json_text.JsonObject) -> BundleEntry:
    """An inner answer as an entry of the response."""
    body = answer.body or None
    asked = raw["request"]
    # What is said of a write is its outcome; what an operation returns is a resource.
    written = asked["method"] in _INTERACTION and "$" not in asked["url"]
    is_outcome = answer.status >= 400 or (
        written and answer.body.startswith(b'{"resourceType":"OperationOutcome"')
    )
    modified = answer.headers.get("last-modified")
    return BundleEntry(
        resource=None if is_outcome else body,
        response=BundleResponse(
            str(answer.status),
            location=answer.headers.get("location"),
            etag=answer.headers.get("etag"),
            last_modified=parsedate_to_datetime(modified) if modified else None,
            outcome=body if is_outcome else None,
        ),
    )


def _refused(error: FhirError) -> BundleEntry:
    return BundleEntry(
        response=BundleResponse(str(error.status), outcome=operation_outcome.render(error.issues))
    )
