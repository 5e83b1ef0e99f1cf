"""The spans of executions, each linked to the spans of its requests, and they to it.

An execution has a span when one of its requests is traced, which is known when the first of those is over:
then the span gets its identity, so that the request can be linked to it. It is sent a moment after the
execution has ended, when the others are over too.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from opentelemetry.trace import SpanContext

from onnxd.messages import Execution
from onnxd.telemetry.spans import EndedSpan, batch_span, batch_stages

HELD_S: Final = 2.0
"""From the end of an execution until its span is sent: a request that is over later is not in its links."""
MOST_HELD: Final = 4096
"""Spans that wait for that; what comes on top sends the oldest early."""
_LONGEST_NS: Final = 120 * 10**9
"""An execution that has not ended by then ends in no span any more, but for this one."""


@dataclass(slots=True, eq=False)
class _Held:
    execution: Execution
    context: SpanContext
    since_ns: int
    requests: list[SpanContext] = field(default_factory=list)


class BatchSpans:
    """Those that are not sent yet. Only the loop's thread may touch it."""

    def __init__(
        self,
        send: Callable[[EndedSpan], None],
        new_context: Callable[[], SpanContext],
        span_ids: Iterator[int],
        later: Callable[[float, Callable[[], None]], object],
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """`later` calls something once, after so many seconds."""
        self._send = send
        self._new_context = new_context
        self._span_ids = span_ids
        self._later = later
        self._now_ns = now_ns
        self._held: deque[_Held] = deque()
        self._scheduled = False

    def join(self, execution: Execution, request: SpanContext) -> SpanContext:
        """Link an execution to a request that is over; the request is to be linked to what this returns."""
        held = execution.span
        if not isinstance(held, _Held):
            held = execution.span = _Held(execution, self._new_context(), self._now_ns())
            self._held.append(held)
            if len(self._held) > MOST_HELD:
                self._end(self._held.popleft(), self._now_ns())
            if not self._scheduled:
                self._scheduled = True
                self._later(HELD_S, self._look)
        held.requests.append(request)
        return held.context

    def end_all(self) -> None:
        """Send them as they are."""
        now_ns = self._now_ns()
        while self._held:
            self._end(self._held.popleft(), now_ns)

    def _look(self) -> None:
        now_ns = self._now_ns()
        kept: deque[_Held] = deque()
        for held in self._held:
            if _is_due(held, now_ns):
                self._end(held, now_ns)
            else:
                kept.append(held)
        self._held = kept
        self._scheduled = bool(kept)
        if kept:
            self._later(HELD_S, self._look)

    def _end(self, held: _Held, now_ns: int) -> None:
        offset_ns = time.time_ns() - time.monotonic_ns()
        execution, context = held.execution, held.context
        for stage in batch_stages(execution, context, self._span_ids, offset_ns=offset_ns):
            self._send(stage)
        self._send(batch_span(execution, context, held.requests, offset_ns=offset_ns, now_ns=now_ns))


def _is_due(held: _Held, now_ns: int) -> bool:
    settled_ns = held.execution.settled_ns
    if not settled_ns:
        return now_ns - held.since_ns > _LONGEST_NS
    return now_ns - max(settled_ns, held.since_ns) >= HELD_S * 10**9
