"""Builds what sends traces away: sampler, batch processor and OTLP exporter, when an endpoint is configured.

Nothing here is global: the provider is ours alone, so an application that embeds the server keeps its own.
The SDK is imported only when it is needed. Whether, where and how much is traced comes from TracingConfig;
of OpenTelemetry's environment variables the libraries underneath still honour those for headers and
certificates, and OTEL_SDK_DISABLED (docs/tracing.md).
"""

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Final, Literal, cast
from urllib.parse import urlsplit, urlunsplit

from pydantic import Field, StringConstraints

from onnxd.telemetry.trace_settings import TraceSettings
from onnxd.telemetry.tracing import Tracing

if TYPE_CHECKING:
    import requests
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace.export import SpanExporter

_QUEUE_SPANS: Final = 8192
"""Spans that wait for the exporter at most; what comes on top pushes out the oldest."""
_BATCH_SPANS: Final = 512
_SCHEDULE_DELAY_MS: Final = 1000
_EXPORT_TIMEOUT_S: Final = 10.0
_ABORT_SHARE: Final = 0.1
"""Of the shutdown's time, kept for breaking off an export that does not end."""
_MAX_ATTRIBUTE_CHARACTERS: Final = 1024
_MAX_ATTRIBUTES: Final = 64


@dataclass(frozen=True)
class TracingConfig:
    """Where traces go, and how many."""

    endpoint: (
        Annotated[
            str,
            StringConstraints(pattern=r"^https?://[^/\s@]+(/\S*)?$"),
            Field(examples=["http://127.0.0.1:4317"]),
        ]
        | None
    ) = None
    """The collector: `http://host:4317`, `https://...` for TLS. None = tracing is off."""
    protocol: Literal["grpc", "http/protobuf"] = "grpc"
    """How the collector is spoken to: grpc is mostly on port 4317, http/protobuf on 4318."""
    sample_ratio: Annotated[float, Field(ge=0.0, le=1.0)] = 1.0
    """Share of the requests that bring no trace of their own; a caller's own decision always stands."""
    service_name: Annotated[str, StringConstraints(min_length=1, max_length=255)] = "onnxd"
    """Which service the traces are shown under."""
    headers: dict[
        Annotated[str, StringConstraints(pattern=r"^[0-9a-z_.-]+$")],
        Annotated[str, StringConstraints(pattern=r"^[ -~]*$")],
    ] = field(default_factory=dict, repr=False)
    """Sent with every export, such as an API key; never printed. Names in lower case."""


class TracingUnavailable(Exception):
    """An endpoint is configured, but the packages that talk to it are not installed."""


@contextlib.asynccontextmanager
async def open_tracing(
    config: TracingConfig, version: str, *, shutdown_s: float = 5.0
) -> AsyncIterator[Tracing]:
    """The server's tracing for as long as the context lasts; off when no endpoint is configured.

    On leaving, what is queued is exported for at most `shutdown_s`; what is left then is lost.
    `version` is the server's.
    Raises TracingUnavailable when the extra `otel` is missing.
    """
    if config.endpoint is None:
        yield Tracing()
        return
    try:
        from opentelemetry.sdk.trace import SpanLimits, TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON

        exporter = _exporter(config.endpoint, config)
    except ImportError as error:
        raise TracingUnavailable(
            f"a tracing endpoint is configured ({config.endpoint}), but sending traces over "
            f"{config.protocol} needs a package that is not installed ({error.name}): install the extra "
            "`otel` (pip install 'onnxd[otel]'), or remove the endpoint"
        ) from error
    processor = BatchSpanProcessor(
        exporter,
        max_queue_size=_QUEUE_SPANS,
        schedule_delay_millis=_SCHEDULE_DELAY_MS,
        max_export_batch_size=_BATCH_SPANS,
        export_timeout_millis=_EXPORT_TIMEOUT_S * 1000,
    )
    provider = TracerProvider(
        sampler=ALWAYS_ON,  # TraceSettings has decided
        resource=_resource(config.service_name, version),
        shutdown_on_exit=False,
        span_limits=SpanLimits(
            max_attributes=_MAX_ATTRIBUTES,
            max_span_attribute_length=_MAX_ATTRIBUTE_CHARACTERS,
        ),
    )
    provider.add_span_processor(processor)
    try:
        settings = TraceSettings(config.sample_ratio, describe(config))
        yield Tracing(provider.get_tracer("onnxd", version), settings)
    finally:
        await _shut_down(provider.shutdown, exporter.shutdown, shutdown_s)


def describe(config: TracingConfig) -> dict[str, str]:
    """Where traces go, as clients may read it: without headers, and without what a query may hold."""
    if config.endpoint is None:
        return {}
    scheme, authority, path, _, _ = urlsplit(config.endpoint)
    return {
        "url": urlunsplit((scheme, authority, path, "", "")),
        "resource": f"service.name={config.service_name}",
        "bsp_max_queue_size": str(_QUEUE_SPANS),
        "bsp_schedule_delay": str(_SCHEDULE_DELAY_MS),
        "bsp_max_export_batch_size": str(_BATCH_SPANS),
    }


def _resource(service_name: str, version: str) -> "Resource":
    # Not Resource.create: that one merges OTEL_RESOURCE_ATTRIBUTES and whatever detectors are installed.
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.version import __version__ as sdk_version

    return Resource(
        {
            "service.name": service_name,
            "service.version": version,
            "process.pid": os.getpid(),
            "telemetry.sdk.language": "python",
            "telemetry.sdk.name": "opentelemetry",
            "telemetry.sdk.version": sdk_version,
        }
    )


def _exporter(endpoint: str, config: TracingConfig) -> "SpanExporter":
    if config.protocol == "grpc":
        return _grpc_exporter(endpoint, config.headers)
    return _http_exporter(endpoint, config.headers)


def _grpc_exporter(endpoint: str, headers: dict[str, str]) -> "SpanExporter":
    import grpc
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(
        endpoint=endpoint,
        insecure=urlsplit(endpoint).scheme == "http",
        headers=tuple(headers.items()),
        timeout=_EXPORT_TIMEOUT_S,
        compression=grpc.Compression.NoCompression,
        # Straight to the endpoint, as over HTTP. The exporter's annotation forgets that gRPC takes numbers.
        channel_options=cast("tuple[tuple[str, str]]", (("grpc.enable_http_proxy", 0),)),
    )


def _http_exporter(endpoint: str, headers: dict[str, str]) -> "SpanExporter":
    import requests
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    session = requests.Session()
    session.trust_env = False  # a proxy or ~/.netrc of the environment would learn of spans and headers
    session.hooks["response"].append(_refuse_redirect)
    return OTLPSpanExporter(
        endpoint=traces_url(endpoint),
        headers=headers,
        timeout=_EXPORT_TIMEOUT_S,
        compression=Compression.NoCompression,
        session=session,
    )


def traces_url(endpoint: str) -> str:
    """The URL for OTLP over HTTP: the endpoint itself, or its /v1/traces when it has no path."""
    return endpoint if urlsplit(endpoint).path.strip("/") else endpoint.rstrip("/") + "/v1/traces"


def _refuse_redirect(response: "requests.Response", *_: object, **__: object) -> None:
    """Fail the export: the exporter takes a redirect for success, and older ones follow it."""
    if response.is_redirect:
        import requests

        response.close()
        raise requests.TooManyRedirects("the collector answered with a redirect, which is not followed")


async def _shut_down(shut_down: Callable[[], None], abort: Callable[[], None], limit_s: float) -> None:
    """Run the blocking shutdown, and break off the export in progress when the time is up.

    In a daemon thread of its own: the loop's executor would be joined when the loop closes, and a
    collector that never answers would hold the server's exit for as long as it likes.
    """
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    def work() -> None:
        try:
            shut_down()
        finally:
            with contextlib.suppress(RuntimeError):  # the loop has closed: nobody waits any more
                loop.call_soon_threadsafe(done.set)

    threading.Thread(target=work, name="onnxd-trace-shutdown", daemon=True).start()
    try:
        async with asyncio.timeout(limit_s * (1 - _ABORT_SHARE)):
            await done.wait()
    except TimeoutError:
        abort()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s * _ABORT_SHARE):
                await done.wait()
