"""What a served version shows of its batching."""

import time
from collections.abc import Iterator

from onnxd.protocol.batching_document import (
    BatchingReport,
    BatchRow,
    BucketRow,
    Cap,
    FittedTimes,
    PolicyRow,
    SizeTimes,
    WaitingRow,
)
from onnxd.repository.config import ModelConfig
from onnxd.repository.served import ServedVersion
from onnxd.scheduler.batcher import Batcher
from onnxd.scheduler.bucket_text import bucket_text


def batching_report(served: ServedVersion) -> BatchingReport:
    """To be called on the loop's thread."""
    batcher, statistics = served.batcher, served.statistics.snapshot()
    waiting = tuple(_waiting(batcher))
    return BatchingReport(
        name=served.spec.name,
        version=served.spec.version,
        policy=_policy(batcher, served.config, served.spec.max_batch_size),
        instances=batcher.instances,
        busy=batcher.running,
        waiting_requests=batcher.waiting_requests,
        waiting_rows=sum(row.rows for row in waiting),
        waiting=waiting,
        buckets=tuple(_buckets(batcher)),
        batches=tuple(_batches(batcher))[::-1],
        cuts=statistics.cuts,
        dynamic_elements=statistics.dynamic_elements,
        padding_elements=statistics.padding_elements,
        bisections=statistics.bisections,
        reruns=statistics.reruns,
    )


def _policy(batcher: Batcher, config: ModelConfig, max_batch_size: int) -> PolicyRow:
    policy = batcher.policy
    return PolicyRow(
        max_batch_size=max_batch_size,
        dynamic=config.batching.dynamic,
        max_queue_delay_s=policy.max_queue_delay,
        preferred_sizes=policy.preferred_sizes,
        max_queue_size=policy.max_queue_size,
        max_queue_bytes=policy.max_queue_bytes,
        default_timeout_s=policy.default_timeout,
        timeout_action=policy.timeout_action,
        allow_timeout_override=policy.allow_timeout_override,
        priority_levels=policy.priority_levels,
        default_priority=policy.default_priority,
        preserve_ordering=policy.preserve_ordering,
        split_large=config.batching.split_large,
        single_flight=config.batching.single_flight,
    )


def _waiting(batcher: Batcher) -> Iterator[WaitingRow]:
    now_s = batcher.now_s()
    for row in batcher.waiting():
        yield WaitingRow(
            bucket=bucket_text(row.bucket),
            priority=row.level,
            delayed=row.delayed,
            requests=row.requests,
            rows=row.rows,
            bytes=row.bytes,
            oldest_s=max(0.0, now_s - row.oldest_s),
        )


def _buckets(batcher: Batcher) -> Iterator[BucketRow]:
    for known, cap in batcher.run_times():
        fit = known.fit
        yield BucketRow(
            bucket=bucket_text(known.bucket),
            runs=known.runs,
            fit=FittedTimes(fit.line.base_s, fit.line.per_row_s, fit.error, fit.good),
            sizes=tuple(SizeTimes(*point) for point in known.points),
            cap=Cap(cap.rows, cap.reason),
        )


def _batches(batcher: Batcher) -> Iterator[BatchRow]:
    now_ns = time.monotonic_ns()
    for batch in batcher.last_batches():
        yield BatchRow(
            bucket=bucket_text(batch.bucket),
            rows=batch.rows,
            requests=batch.requests,
            cut=batch.cut,
            run_s=batch.run_s,
            ended_s=(now_ns - batch.ended_ns) / 1e9,
            failed=batch.failed,
            again=batch.again,
        )
