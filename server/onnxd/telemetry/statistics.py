"""What one served version has done since it was loaded: the counters behind the statistics extension.

Plain integers that only the event loop's thread touches, so nothing is locked and recording costs a few
additions. A reload makes a new object; the counters of the old version end with it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from onnxd.messages import Timeline


@dataclass(frozen=True, slots=True)
class Duration:
    """How often something happened, and how long it took in all."""

    count: int = 0
    ns: int = 0


@dataclass(frozen=True, slots=True)
class BatchStatistics:
    """All executions of one batch size; the three durations have the same count."""

    batch_size: int
    """Rows that ran together."""
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration


@dataclass(frozen=True, slots=True)
class StatisticsSnapshot:
    """The counters at one moment: queue + compute_input + compute_infer + compute_output <= success."""

    last_inference_ms: int = 0
    """When the last execution ended, in milliseconds of the Unix epoch; 0 = none yet."""
    inference_count: int = 0
    """Rows of successful requests; a request to a model that does not batch is one."""
    execution_count: int = 0
    """Runs of the model: one for a whole batch."""
    success: Duration = Duration()
    """From the request's arrival in the queue to its answer."""
    fail: Duration = Duration()
    queue: Duration = Duration()
    compute_input: Duration = Duration()
    compute_infer: Duration = Duration()
    compute_output: Duration = Duration()
    batches: tuple[BatchStatistics, ...] = ()
    """By batch size, ascending."""


class _Sum:
    """A Duration while it grows."""

    __slots__ = ("count", "ns")

    def __init__(self) -> None:
        self.count = 0
        self.ns = 0

    def add(self, ns: int) -> None:
        self.count += 1
        self.ns += ns

    def frozen(self) -> Duration:
        return Duration(self.count, self.ns)


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
        self._success = _Sum()
        self._fail = _Sum()
        self._queue = _Sum()
        self._compute = _Compute()
        self._batches: dict[int, _Compute] = {}

    def record_success(self, timeline: Timeline, rows: int) -> None:
        """One request was answered; `rows` is 1 for a model that does not batch.

        The timeline must be complete from queue_start_ns to compute_end_ns. Each request of a batch gets
        the whole batch's compute durations.
        """
        self._inference_count += rows
        self._success.add(timeline.compute_end_ns - timeline.queue_start_ns)
        self._queue.add(timeline.compute_start_ns - timeline.queue_start_ns)
        self._compute.add(
            timeline.infer_start_ns - timeline.compute_start_ns,
            timeline.infer_end_ns - timeline.infer_start_ns,
            timeline.compute_end_ns - timeline.infer_end_ns,
        )

    def record_failure(self, duration_ns: int) -> None:
        """One request failed, `duration_ns` after it came in: refused, timed out, or failed while running."""
        self._fail.add(duration_ns)

    def record_batch(self, rows: int, input_ns: int, infer_ns: int, output_ns: int) -> None:
        """The model ran once, on `rows` rows together (1 for a model that does not batch)."""
        self._execution_count += 1
        self._last_inference_ms = self._wall_ns() // 1_000_000
        batch = self._batches.get(rows)
        if batch is None:
            batch = self._batches[rows] = _Compute()
        batch.add(input_ns, infer_ns, output_ns)

    def snapshot(self) -> StatisticsSnapshot:
        """The counters now; later recording does not change it."""
        compute_input, compute_infer, compute_output = self._compute.frozen()
        return StatisticsSnapshot(
            last_inference_ms=self._last_inference_ms,
            inference_count=self._inference_count,
            execution_count=self._execution_count,
            success=self._success.frozen(),
            fail=self._fail.frozen(),
            queue=self._queue.frozen(),
            compute_input=compute_input,
            compute_infer=compute_infer,
            compute_output=compute_output,
            batches=tuple(
                BatchStatistics(rows, *batch.frozen()) for rows, batch in sorted(self._batches.items())
            ),
        )
