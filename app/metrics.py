"""What the service counts about itself, for Prometheus: durations, waits, refusals; nothing about anybody.

A label is a word of ours: an interaction, the template of a route, a class of status, a code of FHIR's
issue-type. No path, no client, no id becomes one, so that the number of series has a bound. A refusal for want
of consent counts as `not-found`, together with what was never there: the counts tell no more than the answers.
Neighbours: `app.commands.measuring` serves them on a port of their own, `app.logs` (the end of each request).
Pinned: prometheus.io/docs/practices/naming.

With several workers each writes into files that the first process adds up (`PROMETHEUS_MULTIPROC_DIR`, set
before a worker starts).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from time import perf_counter
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)
from starlette.types import Scope

from app.ending import end
from app.logs import route_template

disable_created_metrics()

REGISTRY: Final = CollectorRegistry()
"""What this process counts; not the library's own, which would tell of Python too."""

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_QUICK: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0)
_SAMPLING_SECONDS: Final = 1.0

REQUESTS: Final = Histogram(
    "throughline_request_seconds",
    "From the first byte of a request to the last of its answer.",
    ("interaction", "method", "route", "status"),
    buckets=_QUICK,
    registry=REGISTRY,
)
REFUSALS: Final = Counter(
    "throughline_refusals_total",
    "FHIR requests answered with an OperationOutcome, by the code of its first issue.",
    ("interaction", "code"),
    registry=REGISTRY,
)
POOL_WAIT: Final = Histogram(
    "throughline_pool_wait_seconds",
    "How long a statement waited for a database connection, of those that found none free.",
    ("pool",),
    buckets=_QUICK,
    registry=REGISTRY,
)
POOL_CONNECTIONS: Final = Gauge(
    "throughline_pool_connections",
    "Database connections, open and of these free, once a second.",
    ("pool", "state"),
    multiprocess_mode="livesum",
    registry=REGISTRY,
)
AUDIT_ROWS: Final = Histogram(
    "throughline_audit_batch_rows",
    "Audit rows that were committed together.",
    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000),
    registry=REGISTRY,
)
AUDIT_LAG: Final = Histogram(
    "throughline_audit_lag_seconds",
    "From the oldest row of a batch to its commit: as long an answer was held back.",
    buckets=_QUICK,
    registry=REGISTRY,
)
AUDIT_FAILURES: Final = Counter(
    "throughline_audit_failures_total",
    "Batches of audit rows that could not be committed; what they belong to was not answered.",
    registry=REGISTRY,
)
LOOP_LAG: Final = Histogram(
    "throughline_event_loop_lag_seconds",
    "How late a timer of one second came: what keeps the process from turning to the next request.",
    buckets=_QUICK,
    registry=REGISTRY,
)
RELEASE: Final = Gauge(
    "throughline_release",
    "1, with the version that runs.",
    ("version",),
    multiprocess_mode="max",
    registry=REGISTRY,
)

_series: dict[tuple[int, str, int], Histogram] = {}
"""The series of each (route, method, class of status) met so far: `labels` costs as much as counting."""


def observe_request(scope: Scope, status: int, seconds: float) -> None:
    """Count the end of one HTTP request.

    scope: after it was served, with the route that served. status: of the answer. seconds: it took.
    """
    method = scope["method"] if scope["method"] in _METHODS else "other"
    key = (id(scope.get("route", scope.get("root_path"))), method, status // 100)
    series = _series.get(key)
    if series is None:
        route = route_template(scope)
        # The summary of a FHIR route is the name of its interaction.
        named = getattr(scope.get("route"), "summary", None)
        labels = (named or route, method, route, f"{status // 100}xx")
        series = REQUESTS.labels(*labels)
        if "route" in scope:  # it lives as long as the application: its id is its own
            _series[key] = series
    series.observe(seconds)


def refused(interaction: str, code: str) -> None:
    """Count a FHIR request answered with an OperationOutcome. code: an `IssueCode`."""
    REFUSALS.labels(interaction, code).inc()


def audited(rows: int, since: float) -> None:
    """Count a committed batch of audit rows. since: when its oldest row came, by `perf_counter`."""
    AUDIT_ROWS.observe(rows)
    AUDIT_LAG.observe(perf_counter() - since)


Connections = Callable[[], Iterable[tuple[str, int, int]]]
"""Gives (name, open, free) of each pool."""


@contextlib.asynccontextmanager
async def sampling(connections: Connections, version: str) -> AsyncIterator[None]:
    """Look once a second at what no request tells: the pools, and whether the loop keeps up."""
    RELEASE.labels(version).set(1)

    async def sample() -> None:
        while True:
            begun = perf_counter()
            await asyncio.sleep(_SAMPLING_SECONDS)
            LOOP_LAG.observe(max(0.0, perf_counter() - begun - _SAMPLING_SECONDS))
            for name, opened, free in connections():
                POOL_CONNECTIONS.labels(name, "open").set(opened)
                POOL_CONNECTIONS.labels(name, "free").set(free)

    task = asyncio.create_task(sample())
    try:
        yield
    finally:
        await end(task)
