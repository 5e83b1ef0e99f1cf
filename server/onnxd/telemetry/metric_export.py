"""Sends the metrics to a collector over OTLP, again and again, from a thread of its own."""

import asyncio
import contextlib
import queue
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Final

import structlog
from pydantic import StringConstraints

from onnxd.telemetry.export_counts import ExportCounts
from onnxd.telemetry.identity import IdentityConfig
from onnxd.telemetry.machine import MachineMeter, read_process
from onnxd.telemetry.metrics import Metrics
from onnxd.telemetry.observation import Observation
from onnxd.telemetry.otlp import Collector, Endpoint, Headers, Protocol, shut_down, switched_off
from onnxd.units import Seconds

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricExporter, MetricsData

_SHUTDOWN_S: Final = 2.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class MetricExportConfig:
    """Where the metrics are sent to, besides what scrapers fetch; they are the same."""

    endpoint: Endpoint | None = None
    """The collector: `http://host:4317`, `https://...` for TLS. None = they are sent nowhere."""
    protocol: Protocol = "grpc"
    """How the collector is spoken to: grpc is mostly on port 4317, http/protobuf on 4318."""
    interval: Seconds = 15.0
    """From one time to the next."""
    service_name: Annotated[str, StringConstraints(min_length=1, max_length=255)] = "onnxd"
    """Which service the metrics are shown under."""
    headers: Headers = field(default_factory=dict, repr=False)
    """Sent with every export, such as an API key; never printed. Names in lower case."""


@contextlib.asynccontextmanager
async def open_metric_export(
    config: MetricExportConfig,
    metrics: Metrics,
    version: str,
    counts: ExportCounts,
    identity: IdentityConfig | None = None,
) -> AsyncIterator[None]:
    """Metrics are sent while the context lasts, and a last time when it ends. `version` is the server's,
    and `identity` which of several it is.

    Raises TracingUnavailable when the extra `otel` is missing.
    """
    if config.endpoint is None or switched_off():
        yield
        return
    collector = Collector(config.endpoint, config.protocol, config.headers)
    try:
        from onnxd.telemetry.otlp_metrics import MetricsForm

        exporter = collector.metric_exporter()
        form = MetricsForm(config.service_name, version, identity)
    except ImportError as error:
        raise collector.missing(error, "metrics") from error
    async with _Export(exporter, form.of, metrics, config.interval, counts):
        yield


class _Export:
    """An async context manager: a timer that observes the server, and a thread that sends what it saw.

    A collector that is away costs nothing but what is not sent: at most one observation waits.
    """

    def __init__(
        self,
        exporter: "MetricExporter",
        form: "Callable[[Observation], MetricsData]",
        metrics: Metrics,
        interval_s: float,
        counts: ExportCounts,
    ) -> None:
        self._exporter = exporter
        self._form = form
        self._metrics = metrics
        self._interval_s = interval_s
        self._counts = counts
        self._meter = MachineMeter()
        self._waiting: queue.Queue[Observation | None] = queue.Queue(maxsize=1)
        self._thread = threading.Thread(target=self._run, name="onnxd-metric-export", daemon=True)
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> None:
        self._thread.start()
        self._timer = asyncio.get_running_loop().call_later(self._interval_s, self._tick)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await shut_down(partial(self._end, self._metrics.observe()), self._exporter.shutdown, _SHUTDOWN_S)

    def _tick(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._interval_s, self._tick)
        try:
            self._waiting.put_nowait(self._metrics.observe())
        except queue.Full:
            self._counts.skipped += 1

    def _run(self) -> None:
        from opentelemetry.sdk.metrics.export import MetricExportResult

        while (seen := self._waiting.get()) is not None:
            result = MetricExportResult.FAILURE
            try:
                result = self._exporter.export(self._form(self._whole(seen)))
            except Exception as error:  # of whatever kind: the next one may succeed, and nobody waits
                _log.warning("metrics could not be sent", reason=f"{type(error).__name__}: {error}")
            if result is MetricExportResult.SUCCESS:
                self._counts.sent += 1
            else:
                self._counts.failed += 1

    def _whole(self, seen: Observation) -> Observation:
        return replace(seen, process=read_process(), machine=self._meter.read())

    def _end(self, last: Observation) -> None:
        """Send the last one, and stop. Blocks for as long as that takes."""
        self._waiting.put(last)
        self._waiting.put(None)
        self._thread.join()
        self._exporter.shutdown()
