"""Spans say which route and which statement, never about whom."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from app import logs, tracing

TRACE = "0af7651916cd43dd8448eb211c80319c"
ID = "7d7f8f9e-5a55-4e3e-9d53-0d8f6c1f2a10"


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    yield exporter
    tracing._running.clear()


@pytest.fixture
async def http(spans: InMemorySpanExporter) -> httpx.AsyncClient:
    application = FastAPI(telemetry={"tracing": False, "metrics": False, "logs": False})

    @application.get("/fhir/{type}/{id}")
    async def read() -> str:
        with tracing.span("resources.read"):
            return "read"

    @application.get("/fails")
    async def fails() -> None:
        with tracing.span("resources.read"):
            raise KeyError("Marisol")

    traced = logs.RequestLog(tracing.Traced(application, tracing.start(spans)))
    transport = httpx.ASGITransport(traced, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://marisol.test")


def _said(span: ReadableSpan) -> str:
    return span.to_json()


async def test_a_request_is_a_span_named_by_its_route_with_its_statements_within(
    spans: InMemorySpanExporter, http: httpx.AsyncClient
) -> None:
    await http.get("/fhir/Patient/marisol?name=Marisol", headers={"X-Request-Id": ID})
    statement, request = spans.get_finished_spans()
    assert request.name == "GET /fhir/{type}/{id}"
    assert dict(request.attributes or {}) == {
        "http.request.method": "GET",
        "http.route": "/fhir/{type}/{id}",
        "http.response.status_code": 200,
        "throughline.request_id": ID,
    }
    assert statement.name == "resources.read"
    assert statement.parent is not None
    assert request.context is not None
    assert statement.parent.span_id == request.context.span_id
    assert "marisol" not in (_said(request) + _said(statement)).lower()


async def test_of_an_error_a_span_tells_the_type_and_not_the_text(
    spans: InMemorySpanExporter, http: httpx.AsyncClient
) -> None:
    await http.get("/fails")
    statement, request = spans.get_finished_spans()
    for each in (statement, request):
        assert (each.attributes or {})["error.type"] == "KeyError"
        assert not each.status.is_ok
        assert not each.events
        assert "marisol" not in _said(each).lower()


async def test_a_callers_trace_goes_on_and_what_else_it_carries_does_not(
    spans: InMemorySpanExporter, http: httpx.AsyncClient
) -> None:
    await http.get(
        "/fhir/Patient/marisol",
        headers={
            "traceparent": f"00-{TRACE}-b7ad6b7169203331-01",
            "tracestate": "whose=marisol",
            "baggage": "patient=marisol",
        },
    )
    _, request = spans.get_finished_spans()
    assert request.context is not None
    assert format(request.context.trace_id, "032x") == TRACE
    assert not request.context.trace_state
    assert "marisol" not in _said(request).lower()


async def test_a_path_that_no_route_serves_and_a_method_that_none_has_are_not_told(
    spans: InMemorySpanExporter, http: httpx.AsyncClient
) -> None:
    await http.request("MARISOL", "/marisol")
    (request,) = spans.get_finished_spans()
    assert request.name == "_OTHER unrouted"
    assert "marisol" not in _said(request).lower()
