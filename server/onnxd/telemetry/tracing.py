"""Follows each inference request: which ones are traced, and what is kept of those that are slow or fail.

All is made of the Timeline when the request is over, so that its path holds no tracing code: a server span
with a child for each stage that it reached, linked to the spans of the executions that it was in. A request
that was not sampled at its start is traced after all when it turns out to be slow, or fails.
"""

import asyncio
import random
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanContext, SpanKind, format_span_id, format_trace_id, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from onnxd.messages import Timeline
from onnxd.telemetry.attributes import batch_attributes, error_attributes, server_attributes
from onnxd.telemetry.batch_spans import BatchSpans
from onnxd.telemetry.exemplars import Exemplars
from onnxd.telemetry.recent import Recent, RecentRequest
from onnxd.telemetry.spans import SERVER_SPAN, EndedSpan, context_of, stage_spans, status_of
from onnxd.telemetry.trace_settings import TraceSettings

MOST_LATE_A_SECOND: Final = 100
"""Requests that are traced only because they were slow or failed: a storm of errors is not one of spans."""
_MOST_LINKS: Final = 128
_MOST_ID_CHARACTERS: Final = 256
_NOWHERE: Final = Context()


class RequestTrace:
    """What is decided of a request's trace when it begins."""

    __slots__ = ("_span_id", "_trace_id", "caller", "sampled")

    def __init__(
        self, trace_id: int = 0, span_id: int = 0, caller: SpanContext | None = None, *, sampled: bool = False
    ) -> None:
        """0 = has none yet. `sampled`: it is traced, whatever becomes of the request."""
        self._trace_id = trace_id
        self._span_id = span_id
        self.caller = caller
        self.sampled = sampled

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits; empty = it has none yet."""
        return format_trace_id(self._trace_id) if self._trace_id else ""

    @property
    def traceparent(self) -> str:
        """For the answer's header; empty where the request has no trace yet."""
        if not self._trace_id:
            return ""
        return f"00-{self.trace_id}-{format_span_id(self._span_id)}-{int(self.sampled):02x}"

    def context(self) -> SpanContext:
        """The server span's, once it is to be sent."""
        state = None if self.caller is None else self.caller.trace_state
        return context_of(self._trace_id or _new_id(128), self._span_id or _new_id(64), state)


_PERHAPS_LATER: Final = RequestTrace()
"""Not sampled, and without an identity unless it is traced after all. Nearly all requests can share it."""


class Tracing:
    """Begins and finishes the requests of all front ends. Only the loop's thread may touch it."""

    def __init__(
        self,
        send: Callable[[EndedSpan], None] | None = None,
        settings: TraceSettings | None = None,
        *,
        late: bool = False,
        recent: Recent | None = None,
    ) -> None:
        """`send` takes spans and does not block; None = nothing is sent anywhere. `settings` decide which
        requests are traced, by default all of them. `late`: those that turn out to be slow or fail, too."""
        self._send = send
        self._late = late
        self._propagator = TraceContextTextMapPropagator()
        self._batches = BatchSpans(send or _nothing, _new_context, _span_ids(), _later)
        self._late_second = 0
        self._late_left = 0
        self.recent: Final = recent or Recent()
        self._known = self.recent.models()
        self.exemplars: Final = Exemplars()
        self.settings: Final = settings or TraceSettings(collector=None if send is None else {})

    @property
    def on(self) -> bool:
        """Whether anything may be sent; with False, `start` may as well not be called."""
        return self.settings.on and self._send is not None

    def start(
        self, carrier: Mapping[str, str], received_ns: int = 0, *, model: str = "", identified: bool = False
    ) -> RequestTrace | None:
        """Decide about a request's trace. None = it is not to be traced, whatever becomes of it.

        `carrier` holds the request's headers or metadata, looked up in lower case; of them `traceparent` and
        `tracestate` count. A valid `traceparent` makes the caller's span the parent, and the caller's
        sampling decision stands unless tracing is switched off for the model; one that is malformed or
        oversized is ignored, and the request begins a trace of its own. `model`: whose settings apply.
        `identified`: its trace must have its identity now, because the client is told.
        """
        if self._send is None:
            return None
        caller = None
        if "traceparent" not in carrier:
            # Of nearly all requests this is all that is done.
            rate = self.settings.common
            if rate is not None and rate.left and not identified:
                rate.left -= 1
                return _PERHAPS_LATER if self._late else None
        else:
            caller = get_current_span(self._propagator.extract(carrier, _NOWHERE)).get_span_context()
            if not caller.is_valid:
                caller = None
            elif not caller.trace_flags.sampled:
                return None
        if self.settings.admits(model, forced=caller is not None):
            return _identified(caller, sampled=True)
        if not (self._late and self.settings.follows(model)):
            return None
        return _identified(caller, sampled=False) if identified else _PERHAPS_LATER

    def passed(
        self, trace: RequestTrace | None, timeline: Timeline, model: str, error: BaseException | None = None
    ) -> bool:
        """A request is over; whether nothing is kept of it, as of nearly all. Call it once for each inference
        request, whether it has a trace or not; False: then call `keep`, with the same."""
        timeline.ended_ns = now_ns = time.monotonic_ns()
        recent = self._known.get(model) or self.recent.of(model)
        timeline.slow = recent is not None and recent.slowness.is_slow(now_ns - timeline.received_ns)
        return not timeline.slow and error is None and (trace is None or not trace.sampled)

    def keep(
        self,
        trace: RequestTrace | None,
        timeline: Timeline,
        operation: str,
        status: int | str,
        *,
        model: str = "",
        version: int | None = None,
        request_id: str = "",
        principal: str = "",
        error: BaseException | None = None,
    ) -> str:
        """Of a request that `passed` has not let pass.

        `operation` is `POST /v2/models/{model}/infer` with HTTP's number as `status`, or
        `inference.GRPCInferenceService/ModelInfer` with gRPC's name. `version`: that answered, or was asked
        for. What this returns is the trace's identifier, for the log; empty = it is sent nowhere.
        """
        now_ns = timeline.ended_ns
        total_ns = now_ns - timeline.received_ns
        recent = self._known.get(model) or self.recent.of(model)
        remarkable = error is not None or timeline.slow
        trace_id = ""
        if trace is not None and (trace.sampled or self._admits_late(now_ns)):
            attributes = server_attributes(operation, status, model, version, request_id, principal)
            trace_id = self._export(trace, timeline, attributes, error, now_ns)
        if remarkable and recent is not None:
            (recent.slow if error is None else recent.errors).append(
                RecentRequest(
                    ended_s=time.time(),
                    total_ns=total_ns,
                    timeline=timeline,
                    operation=operation,
                    status=status,
                    version=version,
                    request_id=request_id[:_MOST_ID_CHARACTERS],
                    trace_id=trace_id,
                    principal=principal,
                    error=status_of(error).description or "",
                )
            )
        return trace_id

    def close(self) -> None:
        """Send what still waits for others to be over."""
        self._batches.end_all()

    def _admits_late(self, now_ns: int) -> bool:
        second = now_ns // 10**9
        if second != self._late_second:
            self._late_second, self._late_left = second, MOST_LATE_A_SECOND
        self._late_left -= 1
        return self._late_left >= 0

    def _export(
        self,
        trace: RequestTrace,
        timeline: Timeline,
        attributes: dict[str, str | bool | int | float],
        error: BaseException | None,
        now_ns: int,
    ) -> str:
        send = self._send
        if send is None:
            return ""
        offset_ns = time.time_ns() - now_ns
        context = trace.context()
        for stage in stage_spans(
            context, timeline, _span_ids(), offset_ns=offset_ns, now_ns=now_ns, error=error
        ):
            send(stage)
        join = self._batches.join
        links = [Link(join(execution, context)) for execution in timeline.executions[:_MOST_LINKS]]
        attributes.update(batch_attributes(timeline))
        attributes.update(error_attributes(error))
        send(
            EndedSpan(
                SERVER_SPAN,
                context,
                trace.caller,
                SpanKind.SERVER,
                offset_ns + timeline.received_ns,
                offset_ns + now_ns,
                attributes,
                links,
                status_of(error),
            )
        )
        trace_id = format_trace_id(context.trace_id)
        if error is None:
            self.exemplars.record(timeline, trace_id, format_span_id(context.span_id))
        return trace_id


def _identified(caller: SpanContext | None, *, sampled: bool) -> RequestTrace:
    trace_id = _new_id(128) if caller is None else caller.trace_id
    return RequestTrace(trace_id, _new_id(64), caller, sampled=sampled)


def _new_id(bits: int) -> int:
    return random.getrandbits(bits) or 1


def _span_ids() -> Iterator[int]:
    while True:
        yield _new_id(64)


def _new_context() -> SpanContext:
    return context_of(_new_id(128), _new_id(64))


def _later(delay_s: float, call: Callable[[], None]) -> object:
    return asyncio.get_running_loop().call_later(delay_s, call)


def _nothing(_: EndedSpan) -> None:
    """Where there is nowhere to send a span."""
