"""Opens what sends traces away, when an endpoint is configured.

Nothing here is global: an application that embeds the server keeps its own tracer provider. The SDK is
imported only when it is needed. Whether, where and how much is traced comes from TracingConfig; of
OpenTelemetry's environment variables the libraries underneath still honour those for headers and
certificates, and OTEL_SDK_DISABLED (docs/tracing.md).
"""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Annotated, Final

from pydantic import Field, StringConstraints

from onnxd.telemetry.export_counts import SpanCounts
from onnxd.telemetry.identity import IdentityConfig
from onnxd.telemetry.otlp import (
    EXPORT_TIMEOUT_S,
    Collector,
    Endpoint,
    Headers,
    Protocol,
    resource_of,
    shown,
    shut_down,
    switched_off,
)
from onnxd.telemetry.recent import Recent
from onnxd.telemetry.trace_settings import TraceSettings
from onnxd.telemetry.tracing import Tracing

_QUEUE_SPANS: Final = 8192
"""Spans that wait for the exporter at most; what comes on top is lost."""
_BATCH_SPANS: Final = 512
_SCHEDULE_DELAY_MS: Final = 1000


@dataclass(frozen=True)
class TracingConfig:
    """Where traces go, and how many."""

    endpoint: Endpoint | None = None
    """The collector: `http://host:4317`, `https://...` for TLS. None = tracing is off."""
    protocol: Protocol = "grpc"
    """How the collector is spoken to: grpc is mostly on port 4317, http/protobuf on 4318."""
    sample_ratio: Annotated[float, Field(ge=0.0, le=1.0)] = 1.0
    """Share of the requests that bring no trace of their own; a caller's own decision always stands."""
    keep_remarkable: bool = True
    """Whether requests that are slow (setting recent.slow) or fail are traced beyond that share."""
    service_name: Annotated[str, StringConstraints(min_length=1, max_length=255)] = "onnxd"
    """Which service the traces are shown under."""
    headers: Headers = field(default_factory=dict, repr=False)
    """Sent with every export, such as an API key; never printed. Names in lower case."""


@contextlib.asynccontextmanager
async def open_tracing(
    config: TracingConfig,
    version: str,
    *,
    shutdown_s: float = 5.0,
    recent: Recent | None = None,
    counts: SpanCounts | None = None,
    identity: IdentityConfig | None = None,
) -> AsyncIterator[Tracing]:
    """The server's tracing for as long as the context lasts; nothing is sent when no endpoint is configured.

    On leaving, what is queued is exported for at most `shutdown_s`; what is left then is lost.
    `version` is the server's. `recent` keeps what is remarkable, and `counts` counts spans;
    `identity` is which of several servers this is.
    Raises TracingUnavailable when the extra `otel` is missing.
    """
    if config.endpoint is None or switched_off():
        yield Tracing(recent=recent)
        return
    collector = Collector(config.endpoint, config.protocol, config.headers)
    counts = counts or SpanCounts()
    try:
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        from onnxd.telemetry.span_sender import CountedExporter, SpanSender

        resource = resource_of(config.service_name, version, identity)
        exporter = CountedExporter(collector.span_exporter(resource, ("onnxd", version)), counts)
    except ImportError as error:
        raise collector.missing(error, "tracing") from error
    processor = BatchSpanProcessor(
        exporter,
        max_queue_size=_QUEUE_SPANS + _BATCH_SPANS,
        schedule_delay_millis=_SCHEDULE_DELAY_MS,
        max_export_batch_size=_BATCH_SPANS,
        export_timeout_millis=EXPORT_TIMEOUT_S * 1000,
    )
    sender = SpanSender(processor, counts, _QUEUE_SPANS)
    settings = TraceSettings(config.sample_ratio, describe(config))
    tracing = Tracing(sender.send, settings, late=config.keep_remarkable, recent=recent)
    try:
        yield tracing
    finally:
        tracing.close()
        await shut_down(processor.shutdown, exporter.shutdown, shutdown_s)


def describe(config: TracingConfig) -> dict[str, str]:
    """Where traces go, as clients may read it: without headers, and without what a query may hold."""
    if config.endpoint is None:
        return {}
    return {
        "url": shown(config.endpoint),
        "resource": f"service.name={config.service_name}",
        "bsp_max_queue_size": str(_QUEUE_SPANS),
        "bsp_schedule_delay": str(_SCHEDULE_DELAY_MS),
        "bsp_max_export_batch_size": str(_BATCH_SPANS),
    }
