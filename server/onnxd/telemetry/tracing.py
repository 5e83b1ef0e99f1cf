"""One trace per inference request: a server span with a child for each stage that the request reached.

The children are built when the request is over, from its Timeline, so that the request's path holds no
tracing code. Only the API of OpenTelemetry is imported here; the SDK comes with onnxd.telemetry.setup.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from opentelemetry.context import Context
from opentelemetry.trace import (
    Span,
    SpanKind,
    StatusCode,
    Tracer,
    format_trace_id,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from onnxd.errors import ServerError
from onnxd.messages import Timeline
from onnxd.telemetry.attributes import ERROR_TYPE, Attributes, batch_attributes, printable
from onnxd.telemetry.trace_settings import TraceSettings

SERVER_SPAN: Final = "onnxd.infer"
DECODE_SPAN: Final = "onnxd.decode"
QUEUE_SPAN: Final = "onnxd.queue"
EXECUTE_SPAN: Final = "onnxd.execute"
ENCODE_SPAN: Final = "onnxd.encode"

_NOWHERE: Final = Context()
_MAX_DESCRIPTION_CHARACTERS: Final = 1024


@dataclass(frozen=True, slots=True)
class RequestTrace:
    """The trace of a request in progress. Every one that `Tracing.start` hands out is finished once."""

    trace_id: str
    """32 hexadecimal digits, for the access log."""
    span: Span
    offset_ns: int
    """Epoch minus monotonic clock at the start, so that the clocks of one trace never disagree."""


class Tracing:
    """Starts and finishes the traces of requests; off when it has no tracer."""

    def __init__(self, tracer: Tracer | None = None, settings: TraceSettings | None = None) -> None:
        """`settings` decide which requests are traced; by default all of them are. What they decide stands:
        the tracer should sample everything."""
        self._tracer = tracer
        self._propagator = TraceContextTextMapPropagator()
        self.settings: Final = settings or TraceSettings(collector=None if tracer is None else {})

    @property
    def on(self) -> bool:
        """Whether there is anything to do; with False, `start` may as well not be called."""
        return self.settings.on and self._tracer is not None

    def start(
        self, carrier: Mapping[str, str], received_ns: int = 0, *, model: str = ""
    ) -> RequestTrace | None:
        """Begin a request's trace, or None when it is not to be traced (off, or not its turn).

        `carrier` holds the request's headers or metadata, looked up in lower case. A valid `traceparent`
        makes the caller's span the parent, and the caller's sampling decision stands unless tracing is
        switched off for the model; one that is malformed or oversized is ignored, and the request begins a
        trace of its own. `received_ns`: the Timeline's; 0 = now. `model`: whose settings apply.
        """
        if self._tracer is None:
            return None
        context = _NOWHERE
        if "traceparent" in carrier:
            context = self._propagator.extract(carrier, _NOWHERE)
        caller = get_current_span(context).get_span_context()
        if caller.is_valid and not caller.trace_flags.sampled:
            return None
        if not self.settings.admits(model, forced=caller.is_valid):
            return None
        offset_ns = time.time_ns() - time.monotonic_ns()
        span = self._tracer.start_span(
            SERVER_SPAN,
            context=context,
            kind=SpanKind.SERVER,
            start_time=offset_ns + (received_ns or time.monotonic_ns()),
        )
        if not span.is_recording():
            return None
        return RequestTrace(format_trace_id(span.get_span_context().trace_id), span, offset_ns)

    def finish(
        self,
        trace: RequestTrace | None,
        timeline: Timeline,
        *,
        name: str = SERVER_SPAN,
        attributes: Attributes,
        error: BaseException | None = None,
    ) -> None:
        """End a request's trace and hand it to the exporter. Does nothing for None.

        A stage that the request did not reach has no span. One that it did not leave ends now, and has
        the error when there is one. `name` is the server span's.
        """
        if trace is None or self._tracer is None:
            return
        now_ns = time.monotonic_ns()
        parent = set_span_in_context(trace.span, _NOWHERE)
        for child, start_ns, end_ns in _stages(timeline):
            if not start_ns:
                continue
            span = self._tracer.start_span(child, context=parent, start_time=trace.offset_ns + start_ns)
            if not end_ns and error is not None:
                _mark_failed(span, error)
            span.end(trace.offset_ns + (end_ns or now_ns))
        server = trace.span
        if name != SERVER_SPAN:
            server.update_name(name)
        server.set_attributes({key: printable(value) for key, value in attributes.items()})
        server.set_attributes(batch_attributes(timeline))
        if error is not None:
            _mark_failed(server, error)
        server.end(trace.offset_ns + now_ns)


def _stages(timeline: Timeline) -> tuple[tuple[str, int, int], ...]:
    """(span, start, end) of each stage; 0 = not reached."""
    return (
        (DECODE_SPAN, timeline.decode_start_ns, timeline.decode_end_ns),
        (QUEUE_SPAN, timeline.queue_start_ns, timeline.compute_start_ns),
        (EXECUTE_SPAN, timeline.compute_start_ns, timeline.compute_end_ns),
        (ENCODE_SPAN, timeline.encode_start_ns, timeline.encode_end_ns),
    )


def _mark_failed(span: Span, error: BaseException) -> None:
    kind = type(error).__name__
    span.set_attribute(ERROR_TYPE, kind)
    # Only the message of a ServerError is written to be read by others; ours and the libraries' are not.
    description = f"{kind}: {error.message}" if isinstance(error, ServerError) else kind
    span.set_status(StatusCode.ERROR, str(printable(description[:_MAX_DESCRIPTION_CHARACTERS])))
