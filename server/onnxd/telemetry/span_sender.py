"""What takes spans that have ended, and sends them away from a thread of its own: the SDK's batch processor.

Imported only when traces are sent somewhere: this is where OpenTelemetry's SDK comes in.
"""

from collections.abc import Sequence
from typing import Any, Protocol, cast

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from onnxd.telemetry.attributes import printable
from onnxd.telemetry.export_counts import SpanCounts
from onnxd.telemetry.spans import EndedSpan


class EndedSpanExporter(Protocol):
    """Sends spans as the server has them."""

    def export(self, spans: Sequence[EndedSpan]) -> SpanExportResult:
        """All of them at once, or none."""
        ...

    def shutdown(self) -> None: ...


class ReadableExporter:
    """One that the SDK has, whatever it speaks: it is given the SDK's form of spans."""

    def __init__(self, exporter: SpanExporter, resource: Resource, scope: tuple[str, str]) -> None:
        """`scope`: name and version of what makes the spans."""
        self._exporter = exporter
        self._resource = resource
        self._scope = InstrumentationScope(*scope)

    def export(self, spans: Sequence[EndedSpan]) -> SpanExportResult:
        return self._exporter.export([readable(span, self._resource, self._scope) for span in spans])

    def shutdown(self) -> None:
        self._exporter.shutdown()


class CountedExporter(SpanExporter):
    """An exporter, and how many spans it was given, and sent or lost. What is exported are EndedSpans."""

    def __init__(self, exporter: EndedSpanExporter, counts: SpanCounts) -> None:
        self._exporter = exporter
        self._counts = counts

    def export(self, spans: Sequence[Any]) -> SpanExportResult:
        """On the processor's thread."""
        counts = self._counts
        counts.taken += len(spans)
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            if result is SpanExportResult.SUCCESS:
                counts.sent += len(spans)
            else:
                counts.failed += len(spans)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


class SpanSender:
    """`send` never blocks: what finds the queue full is dropped, and counted."""

    def __init__(self, processor: BatchSpanProcessor, counts: SpanCounts, most_waiting: int) -> None:
        """`processor` exports through a CountedExporter with the same `counts`."""
        self._processor = processor
        self._counts = counts
        self._most_waiting = most_waiting

    def send(self, span: EndedSpan) -> None:
        """Have a span sent, sooner or later."""
        counts = self._counts
        if counts.waiting >= self._most_waiting:
            # Not left to the processor, which would write a line of the log for each.
            counts.dropped += 1
            return
        counts.queued += 1
        # Of a span it looks at the context alone; all else is between us and the exporter.
        self._processor.on_end(cast(ReadableSpan, span))


def readable(span: EndedSpan, resource: Resource, scope: InstrumentationScope) -> ReadableSpan:
    """The SDK's form of a span."""
    return ReadableSpan(
        span.name,
        span.context,
        span.parent,
        resource,
        {name: printable(value) for name, value in span.attributes.items()},
        links=span.links,
        kind=span.kind,
        status=span.status,
        start_time=span.start_ns,
        end_time=span.end_ns,
        instrumentation_scope=scope,
    )
