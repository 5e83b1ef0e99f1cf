"""Spans as the server hands them over, for an exporter of the SDK's to collect."""

from collections.abc import Callable
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from onnxd.messages import Timeline
from onnxd.telemetry.span_sender import readable
from onnxd.telemetry.spans import EndedSpan
from onnxd.telemetry.tracing import RequestTrace, Tracing


def sending_to(exporter: SpanExporter) -> Callable[[EndedSpan], None]:
    """What Tracing sends its spans with: each is exported at once."""
    scope = InstrumentationScope("test")

    def send(span: EndedSpan) -> None:
        exporter.export([readable(span, Resource.get_empty(), scope)])

    return send


def finish(
    tracing: Tracing,
    trace: RequestTrace | None,
    timeline: Timeline,
    operation: str,
    status: int | str,
    *,
    model: str = "",
    error: BaseException | None = None,
    **more: Any,
) -> str:
    """A request is over, as front ends have it; its trace's identifier, if it has one and is sent."""
    if tracing.passed(trace, timeline, model, error):
        return ""
    return tracing.keep(trace, timeline, operation, status, model=model, error=error, **more)
