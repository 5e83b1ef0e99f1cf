"""Spans as the server hands them over, for an exporter of the SDK's to collect."""

from collections.abc import Callable

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from onnxd.telemetry.span_sender import readable
from onnxd.telemetry.spans import EndedSpan


def sending_to(exporter: SpanExporter) -> Callable[[EndedSpan], None]:
    """What Tracing sends its spans with: each is exported at once."""
    scope = InstrumentationScope("test")

    def send(span: EndedSpan) -> None:
        exporter.export([readable(span, Resource.get_empty(), scope)])

    return send
