"""Traces for OpenTelemetry, where they are asked for: which route served, which statements it ran, how long.

A span is named by a template or by a function of ours: no path, no query, no statement's text, no parameter, no
client becomes one, nor an attribute. Of a caller's `traceparent` the ids are taken; `tracestate` and baggage,
which may say anything, are not. Nothing of OpenTelemetry is imported before `start`.
Neighbours: `app.storage.traced` (statements), `app.logs` (the request id), docs/operations.md.
Pinned: opentelemetry.io/docs/specs/semconv/http/http-spans, w3.org/TR/trace-context.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import __version__
from app.logs import request_id, route_template

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Tracer

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_running: dict[str, Tracer] = {}


def installed() -> bool:
    """Whether the extra `otel` is there."""
    try:
        return find_spec("opentelemetry.exporter.otlp.proto.http.trace_exporter") is not None
    except ModuleNotFoundError:
        return False


def start(exporter: SpanExporter | None = None) -> TracerProvider:
    """Begin to trace in this process; `shutdown` of what it gives ends it.

    exporter: OTLP over HTTP where none is given; where to, how often and how many, it reads from the standard
    variables `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_TRACES_SAMPLER` and so on. ImportError where it is not
    `installed`.
    """
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

    named = {"service.name": "throughline", "service.version": __version__}
    provider = TracerProvider(resource=Resource.create(named), shutdown_on_exit=False)
    provider.add_span_processor(
        BatchSpanProcessor(OTLPSpanExporter())
        if exporter is None
        else SimpleSpanProcessor(exporter)
    )
    _running["tracer"] = provider.get_tracer("throughline", __version__)
    return provider


class Traced:
    """ASGI: a span around each HTTP request, named by its method and route."""

    def __init__(self, application: ASGIApp, provider: TracerProvider) -> None:
        """provider: of `start`; it is shut down when the application's lifespan ends."""
        self._application = application
        self._provider = provider

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection of any kind."""
        if scope["type"] == "lifespan":
            try:
                await self._application(scope, receive, send)
            finally:
                self._provider.shutdown()
            return
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        from opentelemetry import trace
        from opentelemetry.context import Context
        from opentelemetry.trace import SpanKind, Status, StatusCode
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        given = next((v for name, v in scope["headers"] if name == b"traceparent"), None)
        carrier = {"traceparent": given.decode("latin-1")} if given else {}
        parent = TraceContextTextMapPropagator().extract(carrier, Context())
        method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
        status = 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        span = _running["tracer"].start_span(method, parent, SpanKind.SERVER)
        try:
            with trace.use_span(span, record_exception=False, set_status_on_exception=False):
                await self._application(scope, receive, watched)
        except Exception as error:
            span.set_attribute("error.type", type(error).__name__)
            raise
        finally:
            route = route_template(scope)
            span.update_name(f"{method} {route}")
            span.set_attribute("http.request.method", method)
            span.set_attribute("http.route", route)
            span.set_attribute("http.response.status_code", status)
            span.set_attribute("throughline.request_id", request_id())
            if status >= 500:
                span.set_status(Status(StatusCode.ERROR))
            span.end()


@contextlib.contextmanager
def span(name: str) -> Iterator[None]:
    """A span within the request's; none where nothing is traced or no request is served."""
    from opentelemetry import trace
    from opentelemetry.trace import SpanKind, Status, StatusCode

    tracer = _running.get("tracer")
    if tracer is None or not trace.get_current_span().is_recording():
        yield
        return
    with tracer.start_as_current_span(
        name,
        kind=SpanKind.CLIENT,
        attributes={"db.system.name": "postgresql", "db.query.summary": name},
        record_exception=False,
        set_status_on_exception=False,
    ) as opened:
        try:
            yield
        except Exception as error:
            opened.set_attribute("error.type", type(error).__name__)
            opened.set_status(Status(StatusCode.ERROR))
            raise
