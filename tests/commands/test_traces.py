"""A real service sends its traces to a real OTLP receiver, and only when it is asked to."""

from __future__ import annotations

import gzip
import signal
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from app import tracing
from app.commands.errors import CommandError
from app.commands.serving import run
from app.settings import Settings
from tests.commands.program import serving, throughline


class Receiver(HTTPServer):
    """Keeps what is exported to it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.bodies: list[bytes] = []


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        assert isinstance(self.server, Receiver)
        self.server.bodies.append(body)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_read_and_a_write_are_traced_by_route_and_statement_and_name_nobody(
    state: Path, receiver: Receiver
) -> None:
    endpoint = f"http://127.0.0.1:{receiver.server_port}"
    settings = {"TL_TRACES": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}
    with serving(state, "demo", **settings) as served:
        token = throughline(state, "token", "--client", "river-clinic", "--purpose", "COC")
        headers = {"Authorization": f"Bearer {token.stdout.strip()}"}
        with httpx.Client(base_url=served.base, headers=headers) as http:
            assert http.get("/Patient/survivor-a").status_code == 200
            assert http.get("/Observation?patient=survivor-a").status_code == 200
            made = http.post("/Patient", json={"resourceType": "Patient"})
            assert made.status_code == 201
        assert served.end(signal.SIGTERM) == 0  # what was not sent yet is sent at the end
    spans = [
        span
        for body in receiver.bodies
        for each in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in each.scope_spans
        for span in scope.spans
    ]
    within: dict[str, set[str]] = {}
    names = {span.span_id: span.name for span in spans}
    for span in spans:
        within.setdefault(names.get(span.parent_span_id, ""), set()).add(span.name)
    assert "resources.read" in within["GET /fhir/{type}/{id}"]
    assert any(name.startswith("search_sql.") for name in within["GET /fhir/{type}"])
    assert any(name.startswith("writes.") for name in within["POST /fhir/{type}"])
    everything = b"".join(receiver.bodies).lower()
    for word in (b"survivor-a", b"river", made.json()["id"].encode(), b"select ", b"bearer"):
        assert word not in everything


def test_traces_without_opentelemetry_are_refused_with_what_to_install(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracing, "installed", lambda: False)
    with pytest.raises(CommandError, match=r"throughline\[otel\]"):
        run(Settings(traces=True, state_dir=state))
