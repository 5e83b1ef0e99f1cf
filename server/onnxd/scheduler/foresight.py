"""What a batcher makes of its run times: how big its batches may be, whom it refuses, when it has room.

The rules are those of capacity.py. What is here decides when they are worth their while: a request alone,
with a deadline that is far, costs a comparison on its way in and another on its way to a run.
"""

import math
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from itertools import takewhile
from operator import attrgetter
from typing import Final

from onnxd.errors import ModelUnavailable
from onnxd.scheduler.capacity import (
    KNEE_SHARE,
    SHARED_KNEE_SHARE,
    STANDING_BATCHES,
    Ahead,
    RowCap,
    Waiting,
    answer_in_s,
    check_attainable,
    is_lost,
    knee,
    row_cap,
    steady_cap,
    work_s,
)
from onnxd.scheduler.caution import MOST, Caution
from onnxd.scheduler.item import BucketKey, Item
from onnxd.scheduler.queue import Bucket, RequestQueue, lines
from onnxd.scheduler.run import Run
from onnxd.scheduler.service_time import BucketTimes, Fit, ServiceTimes

_ROWS: Final = attrgetter("rows")
_OVERDUE_S: Final = 1e-6


class Foresight:
    """Of one batcher. It looks at the queue and the runs, and changes neither."""

    def __init__(
        self,
        times: ServiceTimes,
        queue: RequestQueue,
        *,
        idle: Sequence[object],
        running: Collection[Run],
        max_rows: int,
    ) -> None:
        """`idle`, `running`: the batcher's own, as they change; `max_rows` 0 = a request counts as a row."""
        self.to_knee = True
        """False = batches are to be as full as they can be."""
        self._times = times
        self._caution = Caution()
        self._queue = queue
        self._idle = idle
        self._running = running
        self._batches = max_rows > 0
        self._max_rows = max(max_rows, 1)
        self._uncapped = RowCap(max_rows, "maximum")

    @property
    def horizon_s(self) -> float:
        """A deadline that is further away is missed by no run that begins now."""
        return 2 * self._times.longest_s

    def learn(self, run: Run, error: Exception | None, now_s: float) -> None:
        """A run has ended: what it took, from the cut to the answer, or that it found no memory."""
        rows = run.rows if self._batches else 1
        if error is None:
            self._times.note(run.items[0].bucket, rows, now_s - run.began_s, now_s)
        elif isinstance(error, ModelUnavailable | MemoryError):
            self._times.note_failure(run.items[0].bucket, rows)

    def check(
        self, deadline_s: float, rows: int, bucket: BucketKey, rank: int, now_s: float, tenant: str = ""
    ) -> None:
        """Whether a request that comes now can be answered in time. Raises DeadlineExceeded."""
        left_s = deadline_s - now_s
        longest_s = self._times.longest_s
        # As if every row that waits were a full batch of its own: it is no more than that.
        if left_s >= MOST * (1 + self._queue.rows + rows) * longest_s:
            return
        fit = self._times.fit(bucket)
        if fit is None:
            return
        rows = rows if self._batches else 1
        others = [ahead for key, ahead in self._ahead(rank) if key != bucket]
        share, knee_share, most = self._queue.share_ahead(tenant, rows), self._knee_share, self._max_rows
        if knee_share == SHARED_KNEE_SHARE:
            most = max(rows, knee(fit, most, knee_share))
        caution = self._caution_of(tenant)
        answer_s = answer_in_s(
            fit,
            rows,
            left_s=left_s,
            same_ahead_rows=math.ceil(share * self._rows_ahead(self._queue.buckets.get(bucket), rank)),
            other_ahead_s=share * work_s(others, self._max_rows),
            busy_s=0.0 if self._idle else self._busy_s(now_s),
            max_rows=most,
            runners=len(self._idle) + len(self._running),
            caution=caution.factor,
        )
        check_attainable(fit, rows, answer_s, deadline_s=deadline_s, now_s=now_s)
        caution.let_in()

    def missed(self, item: Item) -> None:
        """A request that was let in has missed its deadline, or would."""
        self._caution_of(item.request.principal.name).missed()

    def lost(self, now_s: float) -> list[Item]:
        """Those at the head of their bucket, or of what waits there of their tenant, that would miss their
        deadline if they ran now. Each counts as missed: the caller ends them."""
        lost: list[Item] = []
        for key, bucket in self._queue.buckets.items():
            fit = self._times.fit(key)
            for line in lines(bucket):
                lost += takewhile(partial(self._is_lost, fit, now_s), line)
        for item in lost:
            self.missed(item)
        return lost

    def cap(self, bucket: Bucket, now_s: float, *, near: bool) -> RowCap:
        """How big a batch of it may be now; `near` = one of its deadlines may be."""
        if not self._batches or (len(bucket) == 1 and not near):
            return self._uncapped
        key = bucket[0].bucket
        fit, guard_rows = self._times.fit(key), self._times.guard_rows(key)
        if not near:
            return steady_cap(
                fit, bucket[0].rows, max_rows=self._max_rows, guard_rows=guard_rows, share=self._knee_share
            )
        return row_cap(
            fit,
            (Waiting(item.rows, item.request.deadline_s) for item in bucket),
            now_s=now_s,
            max_rows=self._max_rows,
            guard_rows=guard_rows,
            share=self._knee_share,
        )

    def backlog_s(self) -> float:
        """Seconds of one instance to work off what waits."""
        return work_s((ahead for _, ahead in self._ahead(None)), self._max_rows)

    def usual(self, now_s: float) -> tuple[BucketTimes, RowCap] | None:
        """Of the requests that come most often: what is known, and how big their next batch may be."""
        known = self._times.usual()
        return None if known is None else (known, self._next_cap(known, now_s))

    def all(self, now_s: float) -> Iterator[tuple[BucketTimes, RowCap]]:
        """The same of each bucket, the one that ran last first."""
        return ((known, self._next_cap(known, now_s)) for known in self._times.snapshot())

    def wait_s(self, tenant: str) -> float:
        """How long a request waits that comes now, for all that is known."""
        share = self._queue.share_ahead(tenant, 1)
        return share * self.backlog_s() / (len(self._idle) + len(self._running))

    @property
    def _knee_share(self) -> float:
        if not self.to_knee:
            return 1.0
        queue = self._queue
        shared = queue.one_is_light and queue.rows >= STANDING_BATCHES * self._max_rows
        return SHARED_KNEE_SHARE if shared else KNEE_SHARE

    def _caution_of(self, tenant: str) -> Caution:
        tenants = self._queue.tenants
        return (tenants and tenants.caution_of(tenant)) or self._caution

    def _is_lost(self, fit: Fit | None, now_s: float, item: Item) -> bool:
        deadline_s, rows = item.request.deadline_s, item.rows if self._batches else 1
        return deadline_s is not None and is_lost(fit, rows, deadline_s=deadline_s, now_s=now_s)

    def _next_cap(self, known: BucketTimes, now_s: float) -> RowCap:
        if not self._batches:
            return RowCap(1, "maximum")
        bucket = self._queue.buckets.get(known.bucket)
        if bucket:
            return self.cap(bucket, now_s, near=True)
        return steady_cap(
            known.fit, 1, max_rows=self._max_rows, guard_rows=known.guard_rows, share=self._knee_share
        )

    def _ahead(self, rank: int | None) -> Iterator[tuple[BucketKey, Ahead]]:
        """What waits of each bucket that goes before what would come with this rank; None = all."""
        for key, bucket in self._queue.buckets.items():
            if rows := self._rows_ahead(bucket, rank):
                yield key, Ahead(self._times.fit(key), rows)

    def _rows_ahead(self, bucket: Bucket | None, rank: int | None) -> int:
        if not bucket:
            return 0
        if rank is None or bucket[-1].rank <= rank:
            if not self._batches:
                return len(bucket)
            return self._queue.rows if len(self._queue.buckets) == 1 else sum(map(_ROWS, bucket))
        ahead = takewhile(lambda item: item.rank <= rank, bucket)
        return sum(item.rows if self._batches else 1 for item in ahead)

    def _busy_s(self, now_s: float) -> float:
        """Until the first instance is expected to be free: some time, as long as none is."""
        return max(_OVERDUE_S, min(self._ends_s(run) for run in self._running) - now_s)

    def _ends_s(self, run: Run) -> float:
        fit = self._times.fit(run.items[0].bucket)
        return run.began_s if fit is None else run.began_s + fit.predict_s(run.rows if self._batches else 1)
