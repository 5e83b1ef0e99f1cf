"""The queue of one version of a model: requests by bucket and rank, counted in requests, rows and bytes."""

from bisect import bisect_right
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, takewhile
from operator import attrgetter
from typing import Final

from onnxd.scheduler.fair_share import EQUAL, Weights
from onnxd.scheduler.item import BucketKey, Item, rank_of
from onnxd.scheduler.shared_bucket import SharedBucket
from onnxd.scheduler.tenants import Tenant, Tenants

Bucket = deque[Item] | SharedBucket
"""Requests that may share a batch, in the order in which they are to run: by rank, then as they came, or
while several tenants wait in their turn."""

_RANK: Final = attrgetter("rank")


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
    if isinstance(bucket, SharedBucket):
        return bucket.oldest_s
    if bucket[0].rank == bucket[-1].rank == rank_of(bucket[0].level):
        return bucket[0].arrived_s
    return min(item.arrived_s for item in bucket)


def _urgency(bucket: Bucket) -> tuple[int, float]:
    first = bucket[0]
    return first.rank, first.arrived_s


def lines(bucket: Bucket) -> Iterable[Iterable[Item]]:
    """What waits in it, by tenant where there are several, each in the order in which it is to run."""
    return bucket.lines if isinstance(bucket, SharedBucket) else (bucket,)


class RequestQueue:
    """The buckets, in the order of their most urgent request. None is empty.

    Only the loop's thread touches it. It decides nothing: bounds and cuts are the batcher's. While one tenant
    waits alone a bucket is a deque, and nothing is counted by tenant; from when a second one comes until
    nothing waits, buckets are shared.
    """

    def __init__(self, weights: Weights = EQUAL) -> None:
        self.buckets: dict[BucketKey, Bucket] = {}
        """Not to be changed from without."""
        self.requests = 0
        self.rows = 0
        self.bytes = 0
        self.requests_of: defaultdict[int, int] = defaultdict(int)
        """By level."""
        self.since_s = 0.0
        """Since when something has always waited."""
        self.by_tenant = True
        """False = whoever comes from now on waits as if all were one."""
        self.tenants: Tenants | None = None
        """None = one waits alone, or nobody does."""
        self._weights = weights
        self._alone = ""
        """Who waits alone, or did last."""
        self._mixed = False
        """Several wait as if they were one."""

    @property
    def one_is_light(self) -> bool:
        """Several wait, one of whom asks for less than its share."""
        return self.tenants is not None and self.tenants.one_is_light

    def push(self, item: Item) -> None:
        """Append; the queue owns the item until it is taken or discarded."""
        if not self.requests:
            self.since_s, self._mixed = item.arrived_s, False
        tenants = self.tenants
        if tenants is None and item.request.principal.name != self._alone:
            tenants = self.meet(item.request.principal.name)
        bucket = self.buckets.get(item.bucket)
        if tenants is not None:
            self._enter(tenants, item)
            self._place(item)
        elif bucket is not None and bucket[-1].rank <= item.rank:
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
        tenants = self.tenants
        if tenants is None:
            return iter(
                sorted(self.buckets.values(), key=lambda bucket: (bucket[0].rank, bucket[0].arrived_s))
            )

        def turn(bucket: Bucket) -> tuple[int, float, float]:
            first = bucket[0]
            return first.rank, tenants[first.request.principal.name].pace, first.arrived_s

        return iter(sorted(self.buckets.values(), key=turn))

    def take(self, bucket: Bucket, count: int) -> list[Item]:
        """Remove the first `count` items of a bucket; the caller owns them."""
        if isinstance(bucket, SharedBucket):
            items = bucket.take(count)
            self._charge(items)
        else:
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
            self._close(items[0].bucket)
        return items

    def discard(self, item: Item) -> bool:
        """Remove an item that waits, wherever it stands. False if it was taken already."""
        if not item.queued:
            return False
        if self.tenants is not None:
            self._leave(self.tenants, item)
        self._displace(item)
        item.queued = False
        self.requests -= 1
        self.rows -= item.rows
        self.bytes -= item.request.byte_size
        self.requests_of[item.rank // 2] -= 1
        return True

    def delay(self, item: Item) -> None:
        """Put an item that waits behind all of its level that are not delayed."""
        self._displace(item, moved=True)
        item.rank = rank_of(item.level, delayed=True)
        self._place(item)

    def meet(self, name: str) -> Tenants | None:
        """Those that wait, with regard to one whose request has come; None = there is nobody else."""
        if self.tenants is not None or name == self._alone:
            return self.tenants
        if not self.requests:
            self._alone = name
            return None
        if self._mixed or not self.by_tenant:
            self._mixed = True
            return None
        self.tenants = tenants = Tenants(self._weights)
        alone = tenants.enter(self._alone, self.since_s)
        alone.requests, alone.rows, alone.bytes = self.requests, self.rows, self.bytes
        alone.requests_of.update(self.requests_of)
        for key, bucket in self.buckets.items():
            self.buckets[key] = shared = SharedBucket(tenants)
            shared.adopt(bucket)
        return tenants

    def share_ahead(self, name: str, rows: int) -> float:
        """How many rows go before so many of a tenant's that come now, for each one that waits: 1 = all. It
        is more than that where others that come later go before it."""
        tenants = self.meet(name)
        return 1.0 if tenants is None else tenants.rows_ahead(name, rows) / max(self.rows, 1)

    def older(self, name: str, came_s: float) -> list[Item]:
        """What waits of a tenant, or of all if they wait as one, and came before then."""
        return [
            item
            for bucket in self.buckets.values()
            for line in (bucket.of(name) if isinstance(bucket, SharedBucket) else (bucket,))
            for item in takewhile(lambda item: item.arrived_s < came_s, line)
        ]

    def newest(self, tenant: Tenant, level: int | None) -> Item | None:
        """The last that came of a tenant while several wait, of a level or of all."""
        levels = self.requests_of if level is None else (level,)
        ranks = tuple(rank_of(each, delayed=delayed) for each in levels for delayed in (False, True))
        found = [
            item
            for bucket in self.buckets.values()
            if isinstance(bucket, SharedBucket) and (item := bucket.newest(tenant.name, ranks)) is not None
        ]
        return max(found, key=lambda item: item.arrived_s, default=None)

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

    def _enter(self, tenants: Tenants, item: Item) -> None:
        tenant = tenants.enter(item.request.principal.name, item.arrived_s)
        tenant.requests += 1
        tenant.rows += item.rows
        tenant.bytes += item.request.byte_size
        tenant.requests_of[item.rank // 2] += 1

    def _leave(self, tenants: Tenants, item: Item) -> Tenant:
        tenant = tenants[item.request.principal.name]
        tenant.requests -= 1
        tenant.rows -= item.rows
        tenant.bytes -= item.request.byte_size
        tenant.requests_of[item.rank // 2] -= 1
        if not tenant.requests:
            tenants.leave(tenant)
        return tenant

    def _charge(self, items: list[Item]) -> None:
        if self.tenants is not None:
            for item in items:
                self.tenants.charge(self._leave(self.tenants, item), item.rows)

    def _place(self, item: Item) -> None:
        bucket = self.buckets.get(item.bucket)
        if self.tenants is not None:
            if bucket is None:
                bucket = self.buckets[item.bucket] = SharedBucket(self.tenants)
            bucket.append(item)
        elif bucket is None:
            self.buckets[item.bucket] = deque((item,))
        elif isinstance(bucket, SharedBucket) or bucket[-1].rank <= item.rank:
            bucket.append(item)
        else:
            bucket.insert(bisect_right(bucket, item.rank, key=_RANK), item)

    def _displace(self, item: Item, *, moved: bool = False) -> None:
        """`moved`: it is about to be placed again."""
        bucket = self.buckets[item.bucket]
        bucket.remove(item)
        if not bucket:
            self._close(item.bucket, moved=moved)

    def _close(self, key: BucketKey, *, moved: bool = False) -> None:
        del self.buckets[key]
        if not self.buckets and not moved and self.tenants is not None:
            # Whoever waits next waits alone.
            self.tenants, self._alone = None, ""


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
