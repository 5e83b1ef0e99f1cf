"""A bucket while several tenants wait: by rank, and of one rank in the order in which it is their turn."""

from collections import deque
from collections.abc import Iterator
from heapq import heapify, heappop, heapreplace
from itertools import islice

from onnxd.scheduler.item import Item
from onnxd.scheduler.tenants import Tenants

Line = deque[Item]
"""What waits of one tenant and one rank, in the order in which it came."""


class SharedBucket:
    """Looks like the deque that a bucket is otherwise: its first item is the next to run."""

    __slots__ = ("_count", "_lines", "_tenants")

    def __init__(self, tenants: Tenants) -> None:
        self._tenants = tenants
        self._lines: dict[int, dict[str, Line]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Item]:
        for rank in sorted(self._lines):
            yield from self._in_turn(self._lines[rank])

    def __getitem__(self, place: int) -> Item:
        """Of the ends only: the next to run (0), or one of those that are the least urgent (-1)."""
        if place == 0:
            lines = self._lines[min(self._lines)].values()
            return (
                min((line[0] for line in lines), key=self._turn) if len(lines) > 1 else next(iter(lines))[0]
            )
        return next(iter(self._lines[max(self._lines)].values()))[-1]

    @property
    def lines(self) -> Iterator[Line]:
        """Each in its own order."""
        for lines in self._lines.values():
            yield from lines.values()

    def of(self, name: str) -> Iterator[Line]:
        """Those of one tenant."""
        return (lines[name] for lines in self._lines.values() if name in lines)

    @property
    def oldest_s(self) -> float:
        return min(item.arrived_s for line in self.lines for item in line)

    def adopt(self, bucket: "Line | SharedBucket") -> None:
        """Take over what waited of one tenant."""
        name = bucket[0].request.principal.name
        self._count += len(bucket)
        if isinstance(bucket, deque) and bucket[0].rank == bucket[-1].rank:
            self._lines[bucket[0].rank] = {name: bucket}
            return
        for item in bucket:
            self._lines.setdefault(item.rank, {}).setdefault(name, deque()).append(item)

    def append(self, item: Item) -> None:
        """Behind what waits of its tenant and rank."""
        lines = self._lines.setdefault(item.rank, {})
        line = lines.get(item.request.principal.name)
        if line is None:
            lines[item.request.principal.name] = deque((item,))
        else:
            line.append(item)
        self._count += 1

    def take(self, count: int) -> list[Item]:
        """Remove the first ones."""
        items = list(islice(self, count))
        for item in items:
            lines = self._lines[item.rank]
            line = lines[item.request.principal.name]
            line.popleft()
            if not line:
                self._drop(item)
        self._count -= count
        return items

    def remove(self, item: Item) -> None:
        line = self._lines[item.rank][item.request.principal.name]
        if line[-1] is item:  # as a rule, where the last that came makes room
            line.pop()
        else:
            line.remove(item)
        if not line:
            self._drop(item)
        self._count -= 1

    def newest(self, name: str, ranks: tuple[int, ...]) -> Item | None:
        """The last that came of a tenant."""
        found = [line[-1] for line in self.of(name) if line[-1].rank in ranks]
        return max(found, key=lambda item: item.arrived_s, default=None)

    def _drop(self, item: Item) -> None:
        lines = self._lines[item.rank]
        del lines[item.request.principal.name]
        if not lines:
            del self._lines[item.rank]

    def _turn(self, item: Item) -> tuple[float, float]:
        return self._tenants[item.request.principal.name].pace, item.arrived_s

    def _in_turn(self, lines: dict[str, Line]) -> Iterator[Item]:
        """As if each were charged when it is yielded; what is taken is charged then."""
        if len(lines) == 1:
            yield from next(iter(lines.values()))
            return
        turns = []
        for name, line in lines.items():
            tenant, waiting = self._tenants[name], iter(line)
            first = next(waiting)
            turns.append((tenant.pace, first.arrived_s, name, tenant.weight, first, waiting))
        heapify(turns)
        while turns:
            pace, _, name, weight, item, waiting = turns[0]
            following = next(waiting, None)
            if following is None:
                heappop(turns)
            else:
                turn = (pace + item.rows / weight, following.arrived_s, name, weight, following, waiting)
                heapreplace(turns, turn)
            yield item
