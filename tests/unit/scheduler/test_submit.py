"""Each request is counted once, in front, and for the reason that the batcher would have given."""

import pytest

from onnxd.errors import DeadlineExceeded, ExecutionFailed, ModelUnavailable, QueueFull
from onnxd.messages import Timeline
from onnxd.scheduler.submit import CountedInFront, failure_reason
from onnxd.telemetry.statistics import FailureReason

WAITED = Timeline()
TAKEN = Timeline(compute_start_ns=1)
RAN = Timeline(compute_start_ns=1, infer_start_ns=2)


@pytest.mark.parametrize(
    ("error", "timeline", "reason"),
    [
        (QueueFull("full"), WAITED, FailureReason.REJECTED),
        (DeadlineExceeded("late"), WAITED, FailureReason.REJECTED),
        (ZeroDivisionError(), WAITED, FailureReason.OTHER),
        (DeadlineExceeded("late"), TAKEN, FailureReason.CANCELED),
        (ModelUnavailable("no memory"), TAKEN, FailureReason.OTHER),
        (ExecutionFailed("no"), RAN, FailureReason.BACKEND),
        (ZeroDivisionError(), RAN, FailureReason.OTHER),
    ],
)
def test_why_a_request_failed_follows_from_the_error_and_from_how_far_it_came(
    error: Exception, timeline: Timeline, reason: FailureReason
) -> None:
    assert failure_reason(error, timeline) is reason


def test_what_the_batcher_records_of_requests_is_not_counted_and_its_runs_are() -> None:
    statistics = CountedInFront()
    statistics.record_success(Timeline(), 1)
    statistics.record_failure(1, FailureReason.OTHER)
    statistics.record_batch(8, 1, 1, 1)
    seen = statistics.snapshot()
    assert (seen.success.count, seen.fail.count, seen.execution_count) == (0, 0, 1)
