"""The batching reports of several workers as one."""

from dataclasses import replace

import pytest

from onnxd.errors import ModelUnavailable
from onnxd.messages import CUT_REASONS
from onnxd.protocol.batching_document import (
    BatchingReport,
    BatchRow,
    BucketRow,
    Cap,
    FittedTimes,
    PolicyRow,
    WaitingRow,
)
from onnxd.workers.batching import merged
from onnxd.workers.relay import from_json, to_json

POLICY = PolicyRow(8, True, 0.0, (), 10, 10, 0.0, "reject", False, 0, 0, False, False, False)


def bucket(runs: int, base_s: float) -> BucketRow:
    return BucketRow("x[4]", runs, FittedTimes(base_s, 0.0, 0.0, True), (), Cap(8, "maximum"))


def waiting(requests: int, oldest_s: float) -> WaitingRow:
    return WaitingRow("x[4]", 0, False, requests, requests, 16 * requests, oldest_s)


def batch(ended_s: float) -> BatchRow:
    return BatchRow("x[4]", 1, 1, "idle", 0.1, ended_s, False, False)


ONE = BatchingReport(
    "m", 1, POLICY, 2, 1, 3, 3, (waiting(3, 0.5),), (bucket(5, 0.1),), (batch(1.0), batch(3.0)),
    dict.fromkeys(CUT_REASONS, 1), 10, 2, 1, 1,
)  # fmt: skip
OTHER = replace(
    ONE, waiting=(waiting(1, 2.0),), buckets=(bucket(9, 0.2),), batches=(batch(2.0),), waiting_requests=1
)


def test_counts_add_up_and_the_rest_is_of_whoever_knows_best() -> None:
    both = merged([ONE, OTHER])
    assert (both.instances, both.busy, both.waiting_requests) == (4, 2, 4)
    assert both.waiting == [WaitingRow("x[4]", 0, False, 4, 4, 64, 2.0)]
    assert both.buckets == [bucket(14, 0.2)]
    assert [row.ended_s for row in both.batches] == [1.0, 2.0]
    assert both.cuts == dict.fromkeys(CUT_REASONS, 2)
    assert (both.dynamic_elements, both.padding_elements, both.bisections, both.reruns) == (20, 4, 2, 2)


def test_one_report_is_itself_also_after_the_way_between_processes() -> None:
    assert merged([ONE]) == ONE
    there = to_json(BatchingReport, ONE)
    assert to_json(BatchingReport, from_json(BatchingReport, there)) == there


def test_none_is_a_model_that_does_not_serve() -> None:
    with pytest.raises(ModelUnavailable):
        merged([])
