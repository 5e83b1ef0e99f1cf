"""The queue of one version of a model: requests by bucket, counted in requests, rows and bytes."""

import asyncio
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from onnxd.messages import InferRequest
from onnxd.tensors import Array

BucketKey = tuple[object, ...]
"""Requests with equal keys may share a batch (batch.py says which do)."""


@dataclass(slots=True, eq=False)
class Item:
    """A request that waits or runs. The future travels with it; whoever takes it off the queue ends it."""

    request: InferRequest
    rows: int
    outputs: tuple[str, ...]
    bucket: BucketKey
    arrived_s: float
    future: asyncio.Future[Mapping[str, Array]]
    queued: bool = field(default=True)


class RequestQueue:
    """First in, first out within a bucket; buckets in the order of their oldest request.

    Only the loop's thread touches it. It decides nothing: bounds and cuts are the batcher's.
    """

    def __init__(self) -> None:
        self._buckets: dict[BucketKey, deque[Item]] = {}
        self.requests = 0
        self.rows = 0
        self.bytes = 0

    def __bool__(self) -> bool:
        return self.requests > 0

    def push(self, item: Item) -> None:
        """Append; the queue owns the item until it is taken or discarded."""
        bucket = self._buckets.get(item.bucket)
        if bucket is None:
            bucket = self._buckets[item.bucket] = deque()
        bucket.append(item)
        self._count(item, 1)

    def oldest_first(self) -> Iterator[deque[Item]]:
        """The buckets, the one with the oldest request first. Do not change the queue while iterating."""
        if len(self._buckets) == 1:
            return iter(self._buckets.values())
        return iter(sorted(self._buckets.values(), key=lambda bucket: bucket[0].arrived_s))

    def take(self, bucket: deque[Item], count: int) -> list[Item]:
        """Remove the first `count` items of a bucket; the caller owns them."""
        key = bucket[0].bucket
        items = [bucket.popleft() for _ in range(count)]
        for item in items:
            item.queued = False
            self._count(item, -1)
        if not bucket:
            del self._buckets[key]
        return items

    def discard(self, item: Item) -> bool:
        """Remove an item that waits, wherever it stands. False if it was taken already."""
        if not item.queued:
            return False
        bucket = self._buckets[item.bucket]
        bucket.remove(item)
        item.queued = False
        self._count(item, -1)
        if not bucket:
            del self._buckets[item.bucket]
        return True

    def take_all(self) -> list[Item]:
        """Remove everything, oldest bucket first."""
        return [item for bucket in list(self.oldest_first()) for item in self.take(bucket, len(bucket))]

    def _count(self, item: Item, sign: int) -> None:
        self.requests += sign
        self.rows += sign * item.rows
        self.bytes += sign * item.request.byte_size
