"""Measure/$evaluate-measure (hl7.org/fhir/R4/measure-operation-evaluate-measure.html)."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.care import measures
from app.errors import IssueCode, fhir_error
from app.fhir_mappings import json_text
from app.routers.answer import fhir_response
from app.routers.service import Seen, service_of
from app.storage.database import Caller

_SUMMARIES: Final = ("summary", "population")
_KNOWN: Final = frozenset(
    {"periodStart", "periodEnd", "reportType", "_format", "_pretty", "_summary", "_elements"}
)

router = APIRouter(tags=["measures"])


@router.get("/Measure/{id}/$evaluate-measure", summary="evaluate-measure")
async def evaluate(request: Request) -> Response:
    """A summary MeasureReport for periodStart to periodEnd, small numbers withheld; nothing is stored."""
    service, id_ = service_of(request), request.path_params["id"]

    async def work(caller: Caller, seen: Seen) -> Response:
        start = request.query_params.get("periodStart")
        end = request.query_params.get("periodEnd")
        if not start or not end:
            name = "periodEnd" if start else "periodStart"
            raise fhir_error(IssueCode.REQUIRED, "Give periodStart and periodEnd.", name)
        for name, value in request.query_params.multi_items():
            # Read past, they would give counts where persons were asked for, or counts of everybody.
            if name not in _KNOWN or (name == "reportType" and value not in _SUMMARIES):
                raise fhir_error(
                    IssueCode.NOT_SUPPORTED,
                    "A report tells counts of all who may be seen (reportType summary): leave this out.",
                    name,
                    status=400,
                )
        made = await measures.evaluate(
            service.database,
            caller,
            id_,
            (start, end),
            service.settings.fhir_base,
            lambda type_: service.require(request, type_, "s"),
        )
        seen.rids.extend(made.rids)
        return fhir_response(json_text.dump(made.resource))

    return await service.perform(request, "evaluate-measure", "r", "Measure", id_, work)
