"""When the span of an execution is sent, and what it is linked to."""

from collections.abc import Callable
from itertools import count

import pytest
from opentelemetry.trace import SpanContext

from onnxd.messages import Execution, Origin
from onnxd.telemetry.batch_spans import HELD_S, MOST_HELD, BatchSpans
from onnxd.telemetry.spans import EndedSpan, context_of

_S = 10**9


class Stage:
    """Batch spans, and a clock that the test moves."""

    def __init__(self) -> None:
        self.sent: list[EndedSpan] = []
        self.now_ns = 100 * _S
        self.timers: list[Callable[[], None]] = []
        numbers = count(1)
        self.spans = BatchSpans(
            self.sent.append,
            lambda: context_of(next(numbers), 7),
            count(100),
            lambda _, call: self.timers.append(call),
            lambda: self.now_ns,
        )

    def execution(self, *, settled: bool = True) -> Execution:
        ended = self.now_ns if settled else 0
        return Execution(Origin("m", 1), 2, 2, "full", taken_ns=self.now_ns, settled_ns=ended)

    def wait(self, seconds: float) -> None:
        self.now_ns += round(seconds * _S)
        timers, self.timers = self.timers, []
        for timer in timers:
            timer()


@pytest.fixture
def stage() -> Stage:
    return Stage()


def request(number: int) -> SpanContext:
    return context_of(1000 + number, number)


def test_requests_of_one_execution_are_linked_with_one_span(stage: Stage) -> None:
    execution = stage.execution()
    assert stage.spans.join(execution, request(1)) == stage.spans.join(execution, request(2))
    assert stage.sent == []
    stage.wait(HELD_S)
    (span,) = stage.sent
    assert [link.context for link in span.links] == [request(1), request(2)]


def test_it_is_sent_once_and_no_timer_is_left(stage: Stage) -> None:
    stage.spans.join(stage.execution(), request(1))
    stage.wait(HELD_S)
    stage.wait(HELD_S)
    assert (len(stage.sent), stage.timers) == (1, [])


def test_an_execution_that_goes_on_is_waited_for(stage: Stage) -> None:
    execution = stage.execution(settled=False)
    stage.spans.join(execution, request(1))  # its client has gone
    stage.wait(10 * HELD_S)
    assert stage.sent == []
    execution.settled_ns = stage.now_ns
    stage.spans.join(execution, request(2))
    stage.wait(HELD_S)
    assert len(stage.sent[0].links) == 2


def test_one_that_never_ends_is_sent_in_the_end(stage: Stage) -> None:
    stage.spans.join(stage.execution(settled=False), request(1))
    stage.wait(121)
    assert len(stage.sent) == 1


def test_no_more_than_so_many_are_held(stage: Stage) -> None:
    for number in range(MOST_HELD + 3):
        stage.spans.join(stage.execution(), request(number))
    assert [span.links[0].context for span in stage.sent] == [request(0), request(1), request(2)]


def test_all_are_sent_at_the_end(stage: Stage) -> None:
    for number in range(3):
        stage.spans.join(stage.execution(), request(number))
    stage.spans.end_all()
    assert len(stage.sent) == 3


def test_below_it_is_what_was_done_as_far_as_it_came(stage: Stage) -> None:
    whole = Execution(
        Origin("m", 1), 2, 2, "full", taken_ns=1 * _S, start_ns=3 * _S, end_ns=6 * _S, settled_ns=10 * _S
    )
    broken = Execution(Origin("m", 1), 2, 2, "full", taken_ns=1 * _S, start_ns=3 * _S, settled_ns=4 * _S)
    for execution in (whole, broken):
        stage.spans.join(execution, request(1))
    stage.wait(HELD_S)
    (of_whole, of_broken) = (span for span in stage.sent if span.parent is None)
    below = [
        (span.name, (span.end_ns - span.start_ns) // _S, span.parent == of_whole.context)
        for span in stage.sent
        if span.parent is not None
    ]
    assert below == [
        ("onnxd.stack", 2, True), ("onnxd.run", 3, True), ("onnxd.split", 4, True), ("onnxd.stack", 2, False),
    ]  # fmt: skip
    assert of_broken.context.trace_id != of_whole.context.trace_id
