"""The batching reports of all workers as one. Pure."""

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce

from onnxd.errors import ModelUnavailable
from onnxd.messages import CUT_REASONS
from onnxd.protocol.batching_document import BatchingReport, BucketRow, WaitingRow


def merged(reports: Sequence[BatchingReport]) -> BatchingReport:
    """Counts and queues add up. What is known of a bucket's run times is that of the worker that has run most
    of it; the last batches are the last of all. Raises ModelUnavailable when there is none."""
    if not reports:
        raise ModelUnavailable("no worker serves it now", retry_after_s=1.0)
    return reduce(_both, reports)


def _both(left: BatchingReport, right: BatchingReport) -> BatchingReport:
    most = max(len(left.batches), len(right.batches))
    return replace(
        left,
        instances=left.instances + right.instances,
        busy=left.busy + right.busy,
        waiting_requests=left.waiting_requests + right.waiting_requests,
        waiting_rows=left.waiting_rows + right.waiting_rows,
        waiting=_waiting(left.waiting, right.waiting),
        buckets=_buckets(left.buckets, right.buckets),
        batches=sorted((*left.batches, *right.batches), key=lambda batch: batch.ended_s)[:most],
        cuts={why: left.cuts[why] + right.cuts[why] for why in CUT_REASONS},
        dynamic_elements=left.dynamic_elements + right.dynamic_elements,
        padding_elements=left.padding_elements + right.padding_elements,
        bisections=left.bisections + right.bisections,
        reruns=left.reruns + right.reruns,
    )


def _waiting(left: Sequence[WaitingRow], right: Sequence[WaitingRow]) -> Sequence[WaitingRow]:
    rows: dict[tuple[str, int, bool], WaitingRow] = {}
    for row in (*left, *right):
        key = row.bucket, row.priority, row.delayed
        if (known := rows.get(key)) is not None:
            row = replace(
                row,
                requests=known.requests + row.requests,
                rows=known.rows + row.rows,
                bytes=known.bytes + row.bytes,
                oldest_s=max(known.oldest_s, row.oldest_s),
            )
        rows[key] = row
    return sorted(rows.values(), key=lambda row: (row.delayed, row.priority, -row.oldest_s))


def _buckets(left: Sequence[BucketRow], right: Sequence[BucketRow]) -> Sequence[BucketRow]:
    rows: dict[str, BucketRow] = {}
    for row in (*left, *right):
        known = rows.get(row.bucket)
        if known is not None:
            better = known if known.runs >= row.runs else row
            row = replace(better, runs=known.runs + row.runs)
        rows[row.bucket] = row
    return list(rows.values())
