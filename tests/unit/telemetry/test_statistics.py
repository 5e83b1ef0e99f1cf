"""The counters of one served version, as the statistics extension defines them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxd.messages import Timeline
from onnxd.telemetry.histogram import HistogramSnapshot
from onnxd.telemetry.statistics import (
    BatchStatistics,
    Duration,
    FailureReason,
    ModelStatistics,
    StatisticsSnapshot,
)


def timeline(queued: int, waited: int, stacked: int, inferred: int, split: int) -> Timeline:
    """A request that came at `queued` ns and spent the given times in each stage."""
    compute_start = queued + waited
    infer_start = compute_start + stacked
    infer_end = infer_start + inferred
    return Timeline(
        received_ns=queued,
        queue_start_ns=queued,
        compute_start_ns=compute_start,
        infer_start_ns=infer_start,
        infer_end_ns=infer_end,
        compute_end_ns=infer_end + split,
    )


def test_a_new_version_has_done_nothing() -> None:
    assert ModelStatistics().snapshot() == StatisticsSnapshot()


def test_a_request_is_counted_with_the_time_of_each_stage() -> None:
    statistics = ModelStatistics()
    statistics.record_success(timeline(1000, waited=5, stacked=10, inferred=100, split=20), rows=3)
    snapshot = statistics.snapshot()
    assert snapshot.success == Duration(1, 135)
    assert snapshot.queue == Duration(1, 5)
    assert snapshot.compute_input == Duration(1, 10)
    assert snapshot.compute_infer == Duration(1, 100)
    assert snapshot.compute_output == Duration(1, 20)
    assert snapshot.fail == Duration(0, 0)


def test_rows_are_inferences_and_runs_are_executions() -> None:
    statistics = ModelStatistics()
    statistics.record_batch(5, input_ns=10, infer_ns=100, output_ns=20)
    statistics.record_success(timeline(0, 5, 10, 100, 20), rows=3)
    statistics.record_success(timeline(2, 3, 10, 100, 20), rows=2)
    snapshot = statistics.snapshot()
    assert snapshot.inference_count == 5
    assert snapshot.execution_count == 1


@given(
    requests=st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**6)), min_size=1, max_size=8),
    run=st.tuples(*[st.integers(0, 10**8)] * 3),
)
def test_the_requests_of_a_run_count_as_each_by_itself(
    requests: list[tuple[int, int]], run: tuple[int, int, int]
) -> None:
    taken = 2 * 10**9
    timelines = [timeline(queued, taken - queued, *run) for queued, _ in requests]
    one_by_one, together = ModelStatistics(), ModelStatistics()
    for each, (_, byte_size) in zip(timelines, requests, strict=True):
        one_by_one.record_success(each, rows=2, byte_size=byte_size)
    queued_ns, sizes = zip(*requests, strict=True)
    together.record_run(timelines[0], queued_ns, 2 * len(requests), sizes)
    assert together.snapshot() == one_by_one.snapshot()


def test_each_request_of_a_batch_gets_the_whole_batchs_compute_time() -> None:
    statistics = ModelStatistics()
    statistics.record_success(timeline(0, 5, 10, 100, 20), rows=1)
    statistics.record_success(timeline(2, 3, 10, 100, 20), rows=1)
    snapshot = statistics.snapshot()
    assert snapshot.compute_infer == Duration(2, 200)
    assert snapshot.queue == Duration(2, 8)


def test_batches_are_listed_by_size_with_one_count_for_all_three_durations() -> None:
    statistics = ModelStatistics()
    for rows in (8, 2, 8):
        statistics.record_batch(rows, input_ns=1, infer_ns=10, output_ns=2)
    assert statistics.snapshot().batches == (
        BatchStatistics(2, Duration(1, 1), Duration(1, 10), Duration(1, 2)),
        BatchStatistics(8, Duration(2, 2), Duration(2, 20), Duration(2, 4)),
    )


def test_bisections_and_their_runs_are_counted_and_add_up_over_processes() -> None:
    one, other = ModelStatistics(), ModelStatistics()
    for statistics in (one, other):
        statistics.record_bisection()
        statistics.record_rerun()
        statistics.record_rerun()
    snapshot = one.snapshot()
    assert (snapshot.bisections, snapshot.reruns) == (1, 2)
    merged = snapshot.merged(other.snapshot())
    assert (merged.bisections, merged.reruns) == (2, 4)


def test_the_last_inference_is_the_time_of_the_last_run_in_milliseconds() -> None:
    statistics = ModelStatistics(wall_ns=lambda: 1_700_000_000_123_999_999)
    statistics.record_batch(1, 1, 1, 1)
    assert statistics.snapshot().last_inference_ms == 1_700_000_000_123


def test_a_failure_counts_only_as_a_failure() -> None:
    statistics = ModelStatistics()
    statistics.record_failure(70, FailureReason.BACKEND)
    failures = {**dict.fromkeys(FailureReason, 0), FailureReason.BACKEND: 1}
    assert statistics.snapshot() == StatisticsSnapshot(fail=Duration(1, 70), failures=failures)


def test_a_snapshot_does_not_change_afterwards() -> None:
    statistics = ModelStatistics()
    statistics.record_batch(1, 1, 1, 1)
    before = statistics.snapshot()
    statistics.record_batch(1, 1, 1, 1)
    assert before.execution_count == 1
    assert before.batches[0].compute_infer == Duration(1, 1)


durations = st.integers(min_value=0, max_value=10**12)


@given(st.lists(st.tuples(durations, durations, durations, durations, durations)))
def test_the_stages_never_add_up_to_more_than_the_whole(
    requests: list[tuple[int, int, int, int, int]],
) -> None:
    statistics = ModelStatistics()
    for request in requests:
        statistics.record_success(timeline(*request), rows=1)
    snapshot = statistics.snapshot()
    stages = (snapshot.queue, snapshot.compute_input, snapshot.compute_infer, snapshot.compute_output)
    assert sum(stage.ns for stage in stages) <= snapshot.success.ns
    assert {stage.count for stage in stages} == {snapshot.success.count} == {len(requests)}


@pytest.mark.parametrize("rows", [1, 32])
def test_a_batch_of_one_request_has_its_rows(rows: int) -> None:
    statistics = ModelStatistics()
    statistics.record_batch(rows, 1, 1, 1)
    assert [batch.batch_size for batch in statistics.snapshot().batches] == [rows]


def test_each_answered_request_is_in_every_histogram() -> None:
    statistics = ModelStatistics()
    # 0.3 ms, of which 0.2 ms in the queue; and 20 s, which is beyond every bound.
    statistics.record_success(timeline(0, 200_000, 20_000, 70_000, 10_000), rows=1, byte_size=256)
    statistics.record_success(timeline(0, 0, 0, 20_000_000_000, 0), rows=1, byte_size=257)
    snapshot = statistics.snapshot()
    assert buckets(snapshot.request_times) == {500_000: 1, None: 1}
    assert buckets(snapshot.queue_times) == {100_000: 1, 250_000: 1}
    assert buckets(snapshot.compute_times) == {100_000: 1, None: 1}
    assert buckets(snapshot.request_bytes) == {256: 1, 1024: 1}


def test_a_histograms_total_is_that_of_the_durations_beside_it() -> None:
    statistics = ModelStatistics()
    statistics.record_success(timeline(0, 5, 10, 100, 20), rows=1, byte_size=30)
    statistics.record_success(timeline(0, 7, 11, 110, 22), rows=1, byte_size=12)
    snapshot = statistics.snapshot()
    assert snapshot.request_times.total == snapshot.success.ns
    assert snapshot.queue_times.total == snapshot.queue.ns
    compute = snapshot.compute_input.ns + snapshot.compute_infer.ns + snapshot.compute_output.ns
    assert snapshot.compute_times.total == compute
    assert snapshot.request_bytes.total == 42


def test_the_rows_of_runs_are_a_histogram_too() -> None:
    statistics = ModelStatistics()
    for rows in (1, 3, 8, 8, 5000):
        statistics.record_batch(rows, 1, 1, 1)
    histogram = statistics.snapshot().batch_rows()
    assert buckets(histogram) == {1: 1, 4: 1, 8: 2, None: 1}
    assert (histogram.count, histogram.total) == (5, 5020)


def test_failures_are_counted_by_reason() -> None:
    statistics = ModelStatistics()
    for reason in (FailureReason.REJECTED, FailureReason.CANCELED, FailureReason.REJECTED):
        statistics.record_failure(1, reason)
    failures = statistics.snapshot().failures
    assert [failures[reason] for reason in FailureReason] == [2, 1, 0, 0]


def buckets(histogram: HistogramSnapshot) -> dict[int | None, int]:
    """The bounds (None = beyond them all) that hold something, and how much."""
    counted = zip((*histogram.bounds, None), histogram.counts, strict=True)
    return {bound: count for bound, count in counted if count}
