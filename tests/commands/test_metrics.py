"""`/metrics` of real processes: what it counts, that it sums its workers, and that it names nobody."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.commands.program import (
    Served,
    all_ended,
    free_port,
    serving,
    session_of,
    throughline,
)

_KNOWN = {
    "interaction": r"[a-zA-Z $,.-]+|/docs|unrouted",
    "method": r"GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|other",
    "route": r"(/(\{[a-z]+\}|\$?[A-Za-z_.-]+))+|/docs|unrouted",
    "status": r"[1-5]xx",
    "code": r"[a-z-]+",
    "pool": r"reads|searches|writes",
    "state": r"open|free",
    "version": r"\d+\.\d+\.\d+",
    "le": r"[0-9.e+-]+|\+Inf",
}
"""What a label may say."""


def _scrape(port: int) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    answer = httpx.get(f"http://127.0.0.1:{port}/metrics")
    assert answer.status_code == 200
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def _of(
    scraped: dict[tuple[str, frozenset[tuple[str, str]]], float], name: str, **labels: str
) -> float:
    wanted = set(labels.items())
    return sum(v for (n, given), v in scraped.items() if n == name and wanted <= given)


@pytest.fixture
def measured(state: Path) -> tuple[Path, int]:
    return state, free_port()


def _http(state: Path, served: Served, client: str) -> httpx.Client:
    token = throughline(state, "token", "--client", client, "--purpose", "COC").stdout.strip()
    return httpx.Client(
        base_url=served.base.removesuffix("/fhir"), headers={"Authorization": f"Bearer {token}"}
    )


def test_what_is_asked_is_counted_by_interaction_and_no_label_says_whom_it_was_about(
    measured: tuple[Path, int],
) -> None:
    state, port = measured
    with serving(state, "demo", TL_METRICS_PORT=str(port)) as served:
        with _http(state, served, "river-clinic") as river:
            for _ in range(5):
                assert river.get("/fhir/Patient/survivor-a").status_code == 200
            assert river.get("/fhir/Patient/survivor-zzz").status_code == 404
            assert river.get("/fhir/Patient/survivor-a?_elements=name").status_code == 200
            assert river.get("/fhir/Observation?patient=survivor-a&_count=3").status_code == 200
            assert river.get("/fhir/Patient?no-such=survivor-a").status_code == 400
            assert river.get("/survivor-a/unknown").status_code == 404
            assert river.request("PURGE", "/fhir/Patient/survivor-a").status_code == 405
            assert river.get("/docs/").status_code == 200
            made = river.post("/fhir/Patient", json={"resourceType": "Patient"})
            assert made.status_code == 201
        with _http(state, served, "bridge-legal-aid") as legal:
            hidden = "/fhir/Task/survivor-a-housing-task/$referral-package"
            assert legal.get(hidden).status_code == 404
        scraped = _scrape(port)
        assert served.end(signal.SIGTERM) == 0
    counted, read = "throughline_request_seconds_count", "/fhir/{type}/{id}"
    assert _of(scraped, counted, interaction="read", route=read, status="2xx") == 6
    assert _of(scraped, counted, interaction="read", route=read, status="4xx", method="GET") == 1
    assert _of(scraped, counted, interaction="search-type", status="2xx") == 1
    assert _of(scraped, counted, interaction="create", status="2xx") == 1
    assert _of(scraped, counted, method="other") == 1
    refused = "throughline_refusals_total"
    # Hidden and missing are one count: the metrics tell no more than the answers do.
    assert _of(scraped, refused, interaction="referral-package", code="not-found") == 1
    assert _of(scraped, refused, interaction="read", code="not-found") == 1
    assert _of(scraped, "throughline_audit_batch_rows_sum") >= 10
    assert _of(scraped, "throughline_audit_lag_seconds_count") >= 10
    assert _of(scraped, "throughline_pool_connections", pool="writes", state="open") >= 1
    assert _of(scraped, "throughline_release") == 1
    for name, labels in scraped:
        assert name.startswith("throughline_")
        for label, value in labels:
            assert re.fullmatch(_KNOWN[label], value), (name, label, value)
            assert "survivor" not in value.lower()


def test_a_stranger_cannot_make_series_by_asking_for_what_is_not_there(
    measured: tuple[Path, int],
) -> None:
    state, port = measured
    with serving(state, "serve", TL_METRICS_PORT=str(port)) as served:
        root = served.base.removesuffix("/fhir")
        with httpx.Client(base_url=root) as http:
            for path in ("/{}", "/fhir/{}", "/fhir/{}/x", "/fhir/Patient/{}", "/docs/{}"):
                assert http.get(path.format("first")).status_code >= 400
            before = len(_scrape(port))
            for number in range(60):
                for path in ("/{}", "/fhir/{}", "/fhir/{}/x", "/fhir/Patient/{}", "/docs/{}"):
                    http.get(path.format(f"n{number}"))
                http.request("PURGE", "/healthz")
        after = len(_scrape(port))
        # One more method at one route, and the pools, which are looked at once a second.
        assert after - before <= 30
        assert served.end(signal.SIGTERM) == 0


def test_workers_are_added_up_and_a_killed_one_takes_no_count_with_it(
    measured: tuple[Path, int],
) -> None:
    state, port = measured
    with serving(state, "demo", TL_METRICS_PORT=str(port), TL_WORKERS="2") as served:

        def reads() -> float:
            name = "throughline_request_seconds_count"
            return _of(_scrape(port), name, interaction="read", status="2xx")

        def ask(times: int) -> None:
            for _ in range(times):
                with _http_again(served, headers) as http:  # a connection each, to either worker
                    assert http.get("/fhir/Patient/survivor-a").status_code == 200

        with _http(state, served, "river-clinic") as http:
            headers = dict(http.headers)
        ask(20)
        assert reads() == 20
        workers = [
            pid
            for pid in session_of(served.process)
            if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()
        ]
        os.kill(workers[0], signal.SIGKILL)
        assert all_ended({workers[0]})
        ask(10)
        assert reads() == 30
        assert served.end(signal.SIGTERM) == 0


def _http_again(served: Served, headers: dict[str, str]) -> httpx.Client:
    return httpx.Client(base_url=served.base.removesuffix("/fhir"), headers=headers)


def test_nothing_is_measured_unless_a_port_is_set_and_a_taken_one_is_named(
    measured: tuple[Path, int],
) -> None:
    state, _ = measured
    with serving(state, "serve") as served:
        root = served.base.removesuffix("/fhir")
        assert httpx.get(f"{root}/metrics").status_code == 404
        taken = served.settings["TL_PORT"]
        done = throughline(state, "serve", TL_METRICS_PORT=taken, TL_PORT=str(free_port()))
        assert done.returncode == 1
        assert "TL_METRICS_PORT" in done.stderr
        assert served.end(signal.SIGTERM) == 0
