"""The queue of one version of a model: requests by bucket and rank, counted in requests, rows and bytes."""

import asyncio
import math
from bisect import bisect_right
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Final

from onnxd.messages import InferRequest
from onnxd.tensors import Array

BucketKey = tuple[object, ...]
"""Requests with equal keys may share a batch (batch.py says which do)."""

Bucket = deque["Item"]
"""Requests that may share a batch, in the order in which they are to run: by rank, then as they came."""

_RANK: Final = attrgetter("rank")


def rank_of(level: int, *, delayed: bool = False) -> int:
    """What goes first: the higher level (1 is the highest), and of one level those that are not delayed."""
    return 2 * level + delayed


@dataclass(slots=True, eq=False)
class Item:
    """A request that waits or runs. The future travels with it; whoever takes it off the queue ends it."""

    request: InferRequest
    rows: int
    outputs: tuple[str, ...]
    bucket: BucketKey
    arrived_s: float
    future: asyncio.Future[Mapping[str, Array]]
    rank: int = 2
    """The least goes first (rank_of)."""
    queued: bool = True
    times_out_s: float = math.inf
    """When it will have waited too long."""
    may_be_delayed: bool = False
    """What becomes of it then: it goes behind those of its level that have not, or it is refused."""
    ordered: bool = False
    """Its answer leaves in its turn (ordering.py)."""

    @property
    def level(self) -> int:
        return self.rank // 2

    @property
    def start_by_s(self) -> float:
        """When it is not to be held back any longer: after half of the time that it has."""
        deadline_s = self.request.deadline_s
        ends_s = math.inf if deadline_s is None else deadline_s
        if not self.may_be_delayed and self.times_out_s < ends_s:
            ends_s = self.times_out_s
        return (self.arrived_s + ends_s) / 2


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits of one bucket and level at one moment."""

    bucket: BucketKey
    level: int
    delayed: bool
    requests: int
    rows: int
    bytes: int
    oldest_s: float
    """When the first of them came, by the batcher's clock."""


def oldest_s(bucket: Bucket) -> float:
    """When the first of those came that wait in it."""
    if bucket[0].rank == bucket[-1].rank == rank_of(bucket[0].level):
        return bucket[0].arrived_s
    return min(item.arrived_s for item in bucket)


class RequestQueue:
    """The buckets, in the order of their most urgent request. None is empty.

    Only the loop's thread touches it. It decides nothing: bounds and cuts are the batcher's.
    """

    def __init__(self) -> None:
        self.buckets: dict[BucketKey, Bucket] = {}
        """Not to be changed from without."""
        self.requests = 0
        self.rows = 0
        self.bytes = 0
        self.requests_of: defaultdict[int, int] = defaultdict(int)
        """By level."""

    def push(self, item: Item) -> None:
        """Append; the queue owns the item until it is taken or discarded."""
        bucket = self.buckets.get(item.bucket)
        if bucket is not None and bucket[-1].rank <= item.rank:
            bucket.append(item)  # nearly always, and so written out
        else:
            self._place(item)
        self.requests += 1
        self.rows += item.rows
        self.bytes += item.request.byte_size
        self.requests_of[item.rank // 2] += 1

    def most_urgent_first(self) -> Iterator[Bucket]:
        """The buckets. Do not change the queue while iterating."""
        if len(self.buckets) == 1:
            return iter(self.buckets.values())
        return iter(sorted(self.buckets.values(), key=lambda bucket: (bucket[0].rank, bucket[0].arrived_s)))

    def take(self, bucket: Bucket, count: int) -> list[Item]:
        """Remove the first `count` items of a bucket; the caller owns them."""
        items = [bucket.popleft() for _ in range(count)]
        rows = size = 0
        for item in items:
            item.queued = False
            rows += item.rows
            size += item.request.byte_size
            self.requests_of[item.rank // 2] -= 1
        self.requests -= count
        self.rows -= rows
        self.bytes -= size
        if not bucket:
            del self.buckets[items[0].bucket]
        return items

    def discard(self, item: Item) -> bool:
        """Remove an item that waits, wherever it stands. False if it was taken already."""
        if not item.queued:
            return False
        self._displace(item)
        item.queued = False
        self.requests -= 1
        self.rows -= item.rows
        self.bytes -= item.request.byte_size
        self.requests_of[item.rank // 2] -= 1
        return True

    def delay(self, item: Item) -> None:
        """Put an item that waits behind all of its level that are not delayed."""
        self._displace(item)
        item.rank = rank_of(item.level, delayed=True)
        self._place(item)

    def take_all(self) -> list[Item]:
        """Remove everything, the most urgent bucket first."""
        buckets = list(self.most_urgent_first())
        return [item for bucket in buckets for item in self.take(bucket, len(bucket))]

    def waiting(self) -> tuple[Waiting, ...]:
        """What waits, by bucket and level, the most urgent first."""
        return tuple(
            _summary(list(group))
            for bucket in self.most_urgent_first()
            for _, group in groupby(bucket, key=_RANK)
        )

    def _place(self, item: Item) -> None:
        bucket = self.buckets.get(item.bucket)
        if bucket is None:
            self.buckets[item.bucket] = deque((item,))
        elif bucket[-1].rank <= item.rank:
            bucket.append(item)
        else:
            bucket.insert(bisect_right(bucket, item.rank, key=_RANK), item)

    def _displace(self, item: Item) -> None:
        bucket = self.buckets[item.bucket]
        bucket.remove(item)
        if not bucket:
            del self.buckets[item.bucket]


def _summary(items: list[Item]) -> Waiting:
    first = items[0]
    return Waiting(
        bucket=first.bucket,
        level=first.level,
        delayed=first.rank != rank_of(first.level),
        requests=len(items),
        rows=sum(item.rows for item in items),
        bytes=sum(item.request.byte_size for item in items),
        oldest_s=min(item.arrived_s for item in items),
    )
