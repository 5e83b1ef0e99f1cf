"""What one served version has done since it was loaded: the counters behind the statistics extension and the
metrics.

Plain integers that only the event loop's thread touches, so nothing is locked and recording costs a few
additions. A reload makes a new object; the counters of the old version end with it. What is read of them is
frozen, and merges: a later server of several processes adds up what each has counted.
"""

import enum
import time
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Final, Self

from onnxd.messages import CUT_REASONS, CutReason, Timeline
from onnxd.telemetry.histogram import BYTES_BOUNDS, DURATION_BOUNDS_NS, ROWS_BOUNDS, HistogramSnapshot

_NO_TIMES: Final = HistogramSnapshot.empty(DURATION_BOUNDS_NS)
_NO_SIZES: Final = HistogramSnapshot.empty(BYTES_BOUNDS)


class FailureReason(enum.Enum):
    """Why a request that had come to a model's queue was not answered, in Triton's words."""

    REJECTED = "REJECTED"
    """It never ran: the queue was full, its time in the queue or its deadline was over, the model closed."""
    CANCELED = "CANCELED"
    """Nobody waits for the answer any more: the caller left, or its deadline passed while the model ran."""
    BACKEND = "BACKEND"
    """The run of the model ended in an error."""
    OTHER = "OTHER"
    """No memory for the batch, or a bug of ours."""


@dataclass(frozen=True, slots=True)
class Duration:
    """How often something happened, and how long it took in all."""

    count: int = 0
    ns: int = 0

    def merged(self, other: Self) -> Self:
        return type(self)(self.count + other.count, self.ns + other.ns)


@dataclass(frozen=True, slots=True)
class BatchStatistics:
    """All executions of one batch size; the three durations have the same count."""

    batch_size: int
    """Rows that ran together."""
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration

    def merged(self, other: Self) -> Self:
        return type(self)(
            self.batch_size,
            self.compute_input.merged(other.compute_input),
            self.compute_infer.merged(other.compute_infer),
            self.compute_output.merged(other.compute_output),
        )


def _no_failures() -> Mapping[FailureReason, int]:
    return dict.fromkeys(FailureReason, 0)


def _no_cuts() -> Mapping[CutReason, int]:
    return dict.fromkeys(CUT_REASONS, 0)


@dataclass(frozen=True, slots=True)
class StatisticsSnapshot:
    """The counters at one moment: queue + compute_input + compute_infer + compute_output <= success."""

    last_inference_ms: int = 0
    """When the last execution ended, in milliseconds of the Unix epoch; 0 = none yet."""
    inference_count: int = 0
    """Rows of successful requests; a request to a model that does not batch is one."""
    execution_count: int = 0
    """Runs of the model: one for a whole batch."""
    joined: int = 0
    """Requests that were answered, or failed, with the run of an identical one."""
    success: Duration = Duration()
    """From the request's arrival in the queue to its answer."""
    fail: Duration = Duration()
    queue: Duration = Duration()
    compute_input: Duration = Duration()
    compute_infer: Duration = Duration()
    compute_output: Duration = Duration()
    batches: tuple[BatchStatistics, ...] = ()
    """By batch size, ascending."""
    failures: Mapping[FailureReason, int] = field(default_factory=_no_failures)
    """How many failed for each reason; all reasons are there."""
    cuts: Mapping[CutReason, int] = field(default_factory=_no_cuts)
    """Batches by why they were cut where they were; all reasons are there. Not parts of failed ones."""
    bisections: int = 0
    """Batches that failed and were run again in parts, to find the request whose fault it was."""
    reruns: int = 0
    """Runs of such parts, those that failed among them."""
    request_times: HistogramSnapshot = _NO_TIMES
    """The requests behind `success`, in nanoseconds."""
    queue_times: HistogramSnapshot = _NO_TIMES
    compute_times: HistogramSnapshot = _NO_TIMES
    """All three parts of the execution together."""
    request_bytes: HistogramSnapshot = _NO_SIZES
    dynamic_elements: int = 0
    """Elements of inputs with dynamic axes in all executions, padding included."""
    padding_elements: int = 0
    """How many of them were padding."""

    def batch_rows(self) -> HistogramSnapshot:
        """The executions by their rows."""
        counts = [0] * (len(ROWS_BOUNDS) + 1)
        rows = 0
        for batch in self.batches:
            executions = batch.compute_infer.count
            counts[bisect_left(ROWS_BOUNDS, batch.batch_size)] += executions
            rows += batch.batch_size * executions
        return HistogramSnapshot(ROWS_BOUNDS, tuple(counts), rows)

    def merged(self, other: Self) -> Self:
        """What one set of counters would say that had seen what both have."""
        batches: dict[int, BatchStatistics] = {}
        for batch in chain(self.batches, other.batches):
            known = batches.get(batch.batch_size)
            batches[batch.batch_size] = batch if known is None else known.merged(batch)
        return type(self)(
            last_inference_ms=max(self.last_inference_ms, other.last_inference_ms),
            inference_count=self.inference_count + other.inference_count,
            execution_count=self.execution_count + other.execution_count,
            joined=self.joined + other.joined,
            success=self.success.merged(other.success),
            fail=self.fail.merged(other.fail),
            queue=self.queue.merged(other.queue),
            compute_input=self.compute_input.merged(other.compute_input),
            compute_infer=self.compute_infer.merged(other.compute_infer),
            compute_output=self.compute_output.merged(other.compute_output),
            batches=tuple(batches[size] for size in sorted(batches)),
            failures={why: self.failures[why] + other.failures[why] for why in FailureReason},
            cuts={why: self.cuts[why] + other.cuts[why] for why in CUT_REASONS},
            bisections=self.bisections + other.bisections,
            reruns=self.reruns + other.reruns,
            request_times=self.request_times.merged(other.request_times),
            queue_times=self.queue_times.merged(other.queue_times),
            compute_times=self.compute_times.merged(other.compute_times),
            request_bytes=self.request_bytes.merged(other.request_bytes),
            dynamic_elements=self.dynamic_elements + other.dynamic_elements,
            padding_elements=self.padding_elements + other.padding_elements,
        )


class _Compute:
    """The three parts of an execution, counted together."""

    __slots__ = ("count", "infer_ns", "input_ns", "output_ns")

    def __init__(self) -> None:
        self.count = 0
        self.input_ns = 0
        self.infer_ns = 0
        self.output_ns = 0

    def add(self, input_ns: int, infer_ns: int, output_ns: int) -> None:
        self.count += 1
        self.input_ns += input_ns
        self.infer_ns += infer_ns
        self.output_ns += output_ns

    def frozen(self) -> tuple[Duration, Duration, Duration]:
        return (
            Duration(self.count, self.input_ns),
            Duration(self.count, self.infer_ns),
            Duration(self.count, self.output_ns),
        )


class ModelStatistics:
    """The counters of one served version. Only the loop's thread may touch it."""

    def __init__(self, wall_ns: Callable[[], int] = time.time_ns) -> None:
        self._wall_ns = wall_ns
        self._last_inference_ms = 0
        self._inference_count = 0
        self._execution_count = 0
        self._joined = 0
        self._success_ns = 0
        self._queue_ns = 0
        self._input_ns = 0
        self._infer_ns = 0
        self._output_ns = 0
        self._fail_ns = 0
        self._failures = dict.fromkeys(FailureReason, 0)
        self._cuts = dict.fromkeys(CUT_REASONS, 0)
        self._bisections = 0
        self._reruns = 0
        self._bytes = 0
        self._request_times = [0] * (len(DURATION_BOUNDS_NS) + 1)
        self._queue_times = self._request_times.copy()
        self._compute_times = self._request_times.copy()
        self._request_bytes = [0] * (len(BYTES_BOUNDS) + 1)
        self._batches: dict[int, _Compute] = {}
        self.dynamic_elements = 0
        self.padding_elements = 0

    def record_success(self, timeline: Timeline, rows: int, byte_size: int = 0) -> None:
        """One request of `byte_size` bytes was answered; `rows` is 1 for a model that does not batch.

        The timeline must be complete from queue_start_ns to compute_end_ns. Each request of a batch gets
        the whole batch's compute durations.
        """
        # Written out rather than divided into helpers: every request pays for each call made here.
        queued, taken, ended = timeline.queue_start_ns, timeline.compute_start_ns, timeline.compute_end_ns
        began, finished = timeline.infer_start_ns, timeline.infer_end_ns
        bounds = DURATION_BOUNDS_NS
        self._inference_count += rows
        self._success_ns += ended - queued
        self._queue_ns += taken - queued
        self._input_ns += began - taken
        self._infer_ns += finished - began
        self._output_ns += ended - finished
        self._bytes += byte_size
        self._request_times[bisect_left(bounds, ended - queued)] += 1
        self._queue_times[bisect_left(bounds, taken - queued)] += 1
        self._compute_times[bisect_left(bounds, ended - taken)] += 1
        self._request_bytes[bisect_left(BYTES_BOUNDS, byte_size)] += 1

    def record_run(
        self, timeline: Timeline, queued_ns: Sequence[int], rows: int, byte_sizes: Sequence[int]
    ) -> None:
        """As record_success for each request of a run at once: `timeline` is one's, and all have its run;
        `rows` is of all together. They come and wait alike, so that most of them share a bound."""
        taken, ended = timeline.compute_start_ns, timeline.compute_end_ns
        began, finished = timeline.infer_start_ns, timeline.infer_end_ns
        count, queued, size = len(queued_ns), sum(queued_ns), sum(byte_sizes)
        self._inference_count += rows
        self._success_ns += count * ended - queued
        self._queue_ns += count * taken - queued
        self._input_ns += count * (began - taken)
        self._infer_ns += count * (finished - began)
        self._output_ns += count * (ended - finished)
        self._bytes += size
        bounds = DURATION_BOUNDS_NS
        self._compute_times[bisect_left(bounds, ended - taken)] += count
        _count(self._request_times, bounds, [ended - each for each in queued_ns])
        _count(self._queue_times, bounds, [taken - each for each in queued_ns])
        _count(self._request_bytes, BYTES_BOUNDS, byte_sizes)

    def record_failure(self, duration_ns: int, reason: FailureReason) -> None:
        """One request failed, `duration_ns` after it had come to the queue."""
        self._failures[reason] += 1
        self._fail_ns += duration_ns

    def record_joined(self) -> None:
        """A request needs no run of its own: an identical one is in flight."""
        self._joined += 1

    def record_batch(self, rows: int, input_ns: int, infer_ns: int, output_ns: int) -> None:
        """The model ran once, on `rows` rows together (1 for a model that does not batch)."""
        self._execution_count += 1
        self._last_inference_ms = self._wall_ns() // 1_000_000
        batch = self._batches.get(rows)
        if batch is None:
            batch = self._batches[rows] = _Compute()
        batch.add(input_ns, infer_ns, output_ns)

    def record_padding(self, elements: int, padding: int) -> None:
        """Requests were put together: `elements` in the inputs with dynamic axes, `padding` of them added."""
        self.dynamic_elements += elements
        self.padding_elements += padding

    def record_cut(self, reason: CutReason) -> None:
        """A batch is sent."""
        self._cuts[reason] += 1

    def record_bisection(self) -> None:
        """A batch failed, and its requests are run again in parts."""
        self._bisections += 1

    def record_rerun(self) -> None:
        """One of the parts is run."""
        self._reruns += 1

    def snapshot(self) -> StatisticsSnapshot:
        """The counters now; later recording does not change it."""
        # Every answered request is in each of its histograms once, so none is counted apart from them.
        succeeded = partial(Duration, sum(self._request_times))
        times = partial(HistogramSnapshot, DURATION_BOUNDS_NS)
        compute_ns = self._input_ns + self._infer_ns + self._output_ns
        return StatisticsSnapshot(
            last_inference_ms=self._last_inference_ms,
            inference_count=self._inference_count,
            execution_count=self._execution_count,
            joined=self._joined,
            success=succeeded(self._success_ns),
            fail=Duration(sum(self._failures.values()), self._fail_ns),
            queue=succeeded(self._queue_ns),
            compute_input=succeeded(self._input_ns),
            compute_infer=succeeded(self._infer_ns),
            compute_output=succeeded(self._output_ns),
            batches=tuple(
                BatchStatistics(rows, *batch.frozen()) for rows, batch in sorted(self._batches.items())
            ),
            failures=self._failures.copy(),
            cuts=self._cuts.copy(),
            bisections=self._bisections,
            reruns=self._reruns,
            request_times=times(tuple(self._request_times), self._success_ns),
            queue_times=times(tuple(self._queue_times), self._queue_ns),
            compute_times=times(tuple(self._compute_times), compute_ns),
            request_bytes=HistogramSnapshot(BYTES_BOUNDS, tuple(self._request_bytes), self._bytes),
            dynamic_elements=self.dynamic_elements,
            padding_elements=self.padding_elements,
        )


def _count(counts: list[int], bounds: tuple[int, ...], values: Sequence[int]) -> None:
    """Count each of the values, at least one, in its place of a histogram."""
    first, last = bisect_left(bounds, min(values)), bisect_left(bounds, max(values))
    if first == last:
        counts[first] += len(values)
        return
    for value in values:
        counts[bisect_left(bounds, value)] += 1
