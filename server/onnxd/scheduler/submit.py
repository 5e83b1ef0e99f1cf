"""What stands in front of a batcher looks like one: it takes a request and gives its outputs."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from onnxd.errors import DeadlineExceeded, ServerError
from onnxd.messages import InferRequest, Timeline
from onnxd.telemetry.statistics import FailureReason, ModelStatistics
from onnxd.tensors import Array


class Submit(Protocol):
    """Batcher.submit, and whatever wraps it: the outputs of a validated request, or what prevents them."""

    async def __call__(
        self, request: InferRequest, rows: int, outputs: tuple[str, ...]
    ) -> Mapping[str, Array]: ...


class CountedInFront(ModelStatistics):
    """The statistics of a model whose batcher does not see requests as they came, but merged or in parts.

    What the batcher records of them is not counted; `Counted` counts each as it came. Runs are the batcher's.
    """

    def record_success(self, timeline: Timeline, rows: int, byte_size: int = 0) -> None:
        """Nothing: it may be a part of a request, or several."""

    def record_run(
        self, timeline: Timeline, queued_ns: Sequence[int], rows: int, byte_sizes: Sequence[int]
    ) -> None:
        """Nothing, likewise."""

    def record_failure(self, duration_ns: int, reason: FailureReason) -> None:
        """Nothing, likewise."""

    def count_success(self, timeline: Timeline, rows: int, byte_size: int) -> None:
        super().record_success(timeline, rows, byte_size)

    def count_failure(self, duration_ns: int, reason: FailureReason) -> None:
        super().record_failure(duration_ns, reason)


class Counted:
    """Counts each request once, when it ends. Outermost: nothing that it passes on is counted elsewhere."""

    def __init__(self, submit: Submit, statistics: CountedInFront) -> None:
        self._submit: Final = submit
        self._statistics: Final = statistics

    async def submit(self, request: InferRequest, rows: int, outputs: tuple[str, ...]) -> Mapping[str, Array]:
        """As Batcher.submit."""
        start_ns = time.monotonic_ns()
        try:
            answer = await self._submit(request, rows, outputs)
        except asyncio.CancelledError:
            self._fail(start_ns, FailureReason.CANCELED)
            raise
        except Exception as error:  # of whatever kind: it is counted, and passed on
            self._fail(start_ns, failure_reason(error, request.timeline))
            raise
        self._statistics.count_success(request.timeline, rows, request.byte_size)
        return answer

    def _fail(self, start_ns: int, reason: FailureReason) -> None:
        self._statistics.count_failure(time.monotonic_ns() - start_ns, reason)


def failure_reason(error: Exception, timeline: Timeline) -> FailureReason:
    """Why a request failed, from the error and how far it had come: as the batcher says of those it sees."""
    if not timeline.compute_start_ns:
        return FailureReason.REJECTED if isinstance(error, ServerError) else FailureReason.OTHER
    if isinstance(error, DeadlineExceeded):
        return FailureReason.CANCELED
    if timeline.infer_start_ns and isinstance(error, ServerError):
        return FailureReason.BACKEND
    return FailureReason.OTHER
