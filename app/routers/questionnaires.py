"""Operations on questionnaires: $extract and $populate of HL7's SDC guide, and $outcomes."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.care.questionnaires import operations
from app.care.questionnaires.translation import languages
from app.fhir_mappings import json_text
from app.routers.answer import fhir_response, read_body
from app.routers.parameters import body_of, contexts_in, storing, subject_in
from app.routers.service import Seen, service_of
from app.storage.database import Caller

router = APIRouter(tags=["questionnaires"])


@router.get("/QuestionnaireResponse/{id}/$extract", summary="extract")
@router.post("/QuestionnaireResponse/{id}/$extract", summary="extract by POST")
async def extract(request: Request) -> Response:
    """The Observations of a response as a transaction; POST with `store=true` writes it too."""
    service, id_ = service_of(request), request.path_params["id"]

    async def work(caller: Caller, seen: Seen) -> Response:
        store = storing(request)
        if request.method == "POST":
            await read_body(request, service.settings.max_body_bytes)
        if store:
            service.require(request, "Observation", "c")
            service.require(request, "Provenance", "c")
        made = await operations.extract_response(
            service.database, caller, id_, service.rules, store=store
        )
        seen.rids.extend(made.rids)
        return fhir_response(json_text.dump(made.resource))

    return await service.perform(request, "extract", "r", "QuestionnaireResponse", id_, work)


@router.get("/Questionnaire/{id}/$populate", summary="populate")
@router.post("/Questionnaire/{id}/$populate", summary="populate by POST")
async def populate(request: Request) -> Response:
    """A response in progress for `subject`, with what is known and may be seen; nothing is stored.

    `context` (name, content) of a POST names further launch contexts. Accept-Language chooses the language of
    the questions where the Questionnaire has it.
    """
    service, id_ = service_of(request), request.path_params["id"]

    async def work(caller: Caller, seen: Seen) -> Response:
        body = await body_of(request, service.settings.max_body_bytes, service.settings.max_depth)
        subject = subject_in(request, body)
        service.require(request, "Patient", "r")
        made = await operations.populate_questionnaire(
            service.database,
            caller,
            id_,
            subject,
            languages(request.headers.get("accept-language")),
            lambda type_: service.may(request, type_, "r"),
            contexts_in(body),
        )
        seen.rids.extend(made.rids)
        language = made.resource.get("language")
        headers = [("Content-Language", language)] if language else []
        return fhir_response(json_text.dump(made.resource), headers=headers)

    return await service.perform(request, "populate", "r", "Questionnaire", id_, work)


@router.get("/Patient/{id}/$outcomes", summary="outcomes")
async def outcomes(request: Request) -> Response:
    """Baseline, latest and change of every score that the caller may see; `date` narrows them."""
    service, id_ = service_of(request), request.path_params["id"]

    async def work(caller: Caller, seen: Seen) -> Response:
        service.require(request, "Observation", "r")
        given = [(n, v) for n, v in request.query_params.multi_items() if n == "date"]
        made = await operations.patient_outcomes(service.database, caller, id_, given)
        seen.rids.extend(made.rids)
        return fhir_response(json_text.dump(made.resource))

    return await service.perform(request, "outcomes", "r", "Patient", id_, work)
