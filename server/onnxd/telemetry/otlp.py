"""Where OTLP goes, and the exporters that take it there. Their packages are imported when one is made."""

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal
from urllib.parse import urlsplit, urlunsplit

from pydantic import Field, StringConstraints

from onnxd.telemetry.identity import IdentityConfig

if TYPE_CHECKING:
    import requests
    from opentelemetry.sdk.metrics.export import MetricExporter
    from opentelemetry.sdk.resources import Resource

    from onnxd.telemetry.span_sender import EndedSpanExporter

Protocol = Literal["grpc", "http/protobuf"]
Endpoint = Annotated[
    str,
    StringConstraints(pattern=r"^https?://[^/\s@]+(/\S*)?$"),
    Field(examples=["http://127.0.0.1:4317"]),
]
Headers = dict[
    Annotated[str, StringConstraints(pattern=r"^[0-9a-z_.-]+$")],
    Annotated[str, StringConstraints(pattern=r"^[ -~]*$")],
]
EXPORT_TIMEOUT_S: Final = 10.0
_ABORT_SHARE: Final = 0.1
"""Of the shutdown's time, kept for breaking off an export that does not end."""


class TracingUnavailable(Exception):
    """An endpoint is configured, but the packages that talk to it are not installed."""


@dataclass(frozen=True, slots=True)
class Collector:
    """Whom to send to."""

    endpoint: str
    protocol: Protocol
    headers: Mapping[str, str] = field(repr=False)

    def missing(self, error: ImportError, what: str) -> TracingUnavailable:
        """What to tell the operator when a package is not there."""
        return TracingUnavailable(
            f"a {what} endpoint is configured ({self.endpoint}), but sending over {self.protocol} needs a "
            f"package that is not installed ({error.name}): install the extra `otel` "
            "(pip install 'onnxd[otel]'), or remove the endpoint"
        )

    def span_exporter(self, resource: "Resource", scope: tuple[str, str]) -> "EndedSpanExporter":
        """Of traces. `resource`: who sends; `scope`: name and version of what makes the spans. Raises
        ImportError."""
        if self.protocol == "grpc":
            from onnxd.telemetry.grpc_span_exporter import GrpcSpanExporter

            return GrpcSpanExporter(resource, scope, **self._over_grpc())
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        from onnxd.telemetry.span_sender import ReadableExporter

        return ReadableExporter(OTLPSpanExporter(**self._over_http("traces")), resource, scope)

    def metric_exporter(self) -> "MetricExporter":
        """Of metrics. Raises ImportError."""
        if self.protocol == "grpc":
            from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter

            return OTLPMetricExporter(**self._over_grpc())
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import (
            OTLPMetricExporter as HttpMetricExporter,
        )

        return HttpMetricExporter(**self._over_http("metrics"))

    # Any: the exporters' constructors differ in what else they take.

    def _over_grpc(self) -> dict[str, Any]:
        import grpc

        return {
            "endpoint": self.endpoint,
            "insecure": urlsplit(self.endpoint).scheme == "http",
            "headers": tuple(self.headers.items()),
            "timeout": EXPORT_TIMEOUT_S,
            "compression": grpc.Compression.NoCompression,
            # Straight to the endpoint, as over HTTP.
            "channel_options": (("grpc.enable_http_proxy", 0),),
        }

    def _over_http(self, signal: str) -> dict[str, Any]:
        import requests
        from opentelemetry.exporter.otlp.proto.http import Compression

        session = requests.Session()
        session.trust_env = False  # a proxy or ~/.netrc of the environment would learn of spans and headers
        session.hooks["response"].append(_refuse_redirect)
        return {
            "endpoint": signal_url(self.endpoint, signal),
            "headers": dict(self.headers),
            "timeout": EXPORT_TIMEOUT_S,
            "compression": Compression.NoCompression,
            "session": session,
        }


def signal_url(endpoint: str, signal: str) -> str:
    """The URL for OTLP over HTTP: the endpoint itself, or its /v1/<signal> when it has no path."""
    return endpoint if urlsplit(endpoint).path.strip("/") else endpoint.rstrip("/") + f"/v1/{signal}"


def shown(endpoint: str) -> str:
    """An endpoint as clients may read it: without what a query may hold."""
    scheme, authority, path, _, _ = urlsplit(endpoint)
    return urlunsplit((scheme, authority, path, "", ""))


def switched_off() -> bool:
    """Whether OpenTelemetry is switched off in the environment, for every program."""
    return os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"


def resource_of(service_name: str, version: str, identity: IdentityConfig | None = None) -> "Resource":
    """Who sends. `identity`: which of several."""
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
            **(identity or IdentityConfig()).attributes(),
        }
    )


def _refuse_redirect(response: "requests.Response", *_: object, **__: object) -> None:
    """Fail the export: the exporter takes a redirect for success, and older ones follow it."""
    if response.is_redirect:
        import requests

        response.close()
        raise requests.TooManyRedirects("the collector answered with a redirect, which is not followed")


async def shut_down(end: Callable[[], None], abort: Callable[[], None], limit_s: float) -> None:
    """Run the blocking shutdown, and break off the export in progress when the time is up.

    In a daemon thread of its own: the loop's executor would be joined when the loop closes, and a
    collector that never answers would hold the server's exit for as long as it likes.
    """
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    def work() -> None:
        try:
            end()
        finally:
            with contextlib.suppress(RuntimeError):  # the loop has closed: nobody waits any more
                loop.call_soon_threadsafe(done.set)

    threading.Thread(target=work, name="onnxd-otlp-shutdown", daemon=True).start()
    try:
        async with asyncio.timeout(limit_s * (1 - _ABORT_SHARE)):
            await done.wait()
    except TimeoutError:
        abort()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s * _ABORT_SHARE):
                await done.wait()
