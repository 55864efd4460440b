"""`/metrics` on a port of its own, for Prometheus: the first process serves it, for all workers.

Neighbours: `app.metrics` (what is counted), `app.commands.serving`, docs/operations.md.
Pinned: prometheus.io/docs/instrumenting/exposition_formats.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from app import metrics
from app.commands.errors import CommandError
from app.settings import Settings

_FILES: Final = "PROMETHEUS_MULTIPROC_DIR"


class Workers(Collector):
    """What all workers counted, those that have ended included; gauges of the living alone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sums = MultiProcessCollector(None, str(folder))

    def collect(self) -> Iterable[Metric]:
        """The sums as of now."""
        for file in self._folder.glob("gauge_live*.db"):
            pid = file.stem.rpartition("_")[2]
            if not Path("/proc", pid).exists():
                mark_process_dead(int(pid), str(self._folder))
        found: Iterable[Metric] = self._sums.collect()
        return found


@contextmanager
def measured(settings: Settings) -> Iterator[None]:
    """Serve `/metrics` meanwhile, where a port is set; CommandError where it cannot be had.

    To be entered before a worker starts: where its files are is told to it by the environment.
    """
    if settings.metrics_port is None:
        yield
        return
    with ExitStack() as tidying:
        registry = metrics.REGISTRY
        if settings.workers > 1:
            folder = Path(tidying.enter_context(tempfile.TemporaryDirectory("", "throughline-")))
            os.environ[_FILES] = str(folder)
            tidying.callback(os.environ.pop, _FILES)
            registry = CollectorRegistry(auto_describe=False)
            registry.register(Workers(folder))
        try:
            server, thread = start_http_server(
                settings.metrics_port, settings.metrics_host, registry
            )
        except OSError as error:
            raise CommandError(
                f"{settings.metrics_host}, port {settings.metrics_port}, cannot be listened on for /metrics: "
                f"{error.strerror or error}. Set TL_METRICS_PORT to a free one, or leave it unset."
            ) from error
        tidying.callback(thread.join)
        tidying.callback(server.server_close)
        tidying.callback(server.shutdown)
        yield
