"""Spans that have ended, made from what a request's timeline and its executions say. Pure.

Only the API of OpenTelemetry is imported here; what sends spans away comes with onnxd.telemetry.setup.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from onnxd.errors import ServerError
from onnxd.messages import Execution, Timeline
from onnxd.telemetry.attributes import ERROR_TYPE, Attributes, execution_attributes, printable

SERVER_SPAN: Final = "onnxd.infer"
DECODE_SPAN: Final = "onnxd.decode"
QUEUE_SPAN: Final = "onnxd.queue"
EXECUTE_SPAN: Final = "onnxd.execute"
ENCODE_SPAN: Final = "onnxd.encode"
BATCH_SPAN: Final = "onnxd.batch"
STACK_SPAN: Final = "onnxd.stack"
RUN_SPAN: Final = "onnxd.run"
SPLIT_SPAN: Final = "onnxd.split"

SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
_UNSET: Final = Status()
_MAX_DESCRIPTION_CHARACTERS: Final = 1024
_NO_STATE: Final = TraceState()


@dataclass(slots=True, eq=False)
class EndedSpan:
    """One span, as it is sent; nobody changes it. Times are nanoseconds of the Unix epoch."""

    name: str
    context: SpanContext
    parent: SpanContext | None
    kind: SpanKind
    start_ns: int
    end_ns: int
    attributes: Attributes
    links: Sequence[Link] = ()
    status: Status = _UNSET


def context_of(trace_id: int, span_id: int, state: TraceState | None = None) -> SpanContext:
    """Of a span of ours that is sent."""
    return SpanContext(
        trace_id, span_id, is_remote=False, trace_flags=SAMPLED, trace_state=state or _NO_STATE
    )


def stage_spans(
    server: SpanContext,
    timeline: Timeline,
    span_ids: Iterator[int],
    *,
    offset_ns: int,
    now_ns: int,
    error: BaseException | None,
) -> Iterator[EndedSpan]:
    """The stages that a request reached, below its server span.

    One that it did not leave ends now, and has the error when there is one.
    """
    for name, start_ns, end_ns in (
        (DECODE_SPAN, timeline.decode_start_ns, timeline.decode_end_ns),
        (QUEUE_SPAN, timeline.queue_start_ns, timeline.compute_start_ns),
        (EXECUTE_SPAN, timeline.compute_start_ns, timeline.compute_end_ns),
        (ENCODE_SPAN, timeline.encode_start_ns, timeline.encode_end_ns),
    ):
        if start_ns:
            failed = error is not None and not end_ns
            yield EndedSpan(
                name,
                context_of(server.trace_id, next(span_ids), server.trace_state),
                server,
                SpanKind.INTERNAL,
                offset_ns + start_ns,
                offset_ns + (end_ns or now_ns),
                {ERROR_TYPE: type(error).__name__} if failed else {},
                status=status_of(error) if failed else _UNSET,
            )


def batch_span(
    execution: Execution,
    context: SpanContext,
    requests: Sequence[SpanContext],
    *,
    offset_ns: int,
    now_ns: int,
) -> EndedSpan:
    """One execution, linked to those of its requests that are traced."""
    return EndedSpan(
        BATCH_SPAN,
        context,
        None,
        SpanKind.INTERNAL,
        offset_ns + execution.taken_ns,
        offset_ns + (execution.settled_ns or now_ns),
        execution_attributes(execution),
        [Link(request) for request in requests],
        Status(StatusCode.ERROR, execution.error) if execution.error else _UNSET,
    )


def batch_stages(
    execution: Execution, batch: SpanContext, span_ids: Iterator[int], *, offset_ns: int
) -> Iterator[EndedSpan]:
    """What was done in an execution, below its span, as far as it came: its inputs are stacked, and padded
    where they differ; the model runs; its outputs are split."""
    for name, start_ns, end_ns in (
        (STACK_SPAN, execution.taken_ns, execution.start_ns),
        (RUN_SPAN, execution.start_ns, execution.end_ns),
        (SPLIT_SPAN, execution.end_ns, execution.settled_ns),
    ):
        if start_ns and end_ns:
            yield EndedSpan(
                name,
                context_of(batch.trace_id, next(span_ids)),
                batch,
                SpanKind.INTERNAL,
                offset_ns + start_ns,
                offset_ns + end_ns,
                {},
            )


def status_of(error: BaseException | None) -> Status:
    """The status of a span that ended with this."""
    if error is None:
        return _UNSET
    kind = type(error).__name__
    # Only the message of a ServerError is written to be read by others; ours and the libraries' are not.
    description = f"{kind}: {error.message}" if isinstance(error, ServerError) else kind
    return Status(StatusCode.ERROR, str(printable(description[:_MAX_DESCRIPTION_CHARACTERS])))
