"""Whose turn it is among callers that wait for one model: start-time fair queueing by rows. Pure.

Each tenant has a pace, the rows that it was given over its weight; the one whose pace is least goes next
(Goyal, Vin and Cheng, SIGCOMM 1996). Whoever comes, or comes back, starts from the pace of the batch that was
cut last: nobody saves up while it asks for nothing, and nobody pays for what it had while nobody else wanted
it. Nothing is charged before it is cut, so that what expires in the queue costs its tenant nothing.

Deficit round robin gives the same shares, but only an order within one bucket. A pace also says which bucket
goes first, and how much of what waits goes before a request that comes now.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final

from onnxd.scheduler.fair_share import Weights

REMEMBERED: Final = 1024
"""Tenants of which nothing waits: their pace, lest they come back as if they had had nothing."""


@dataclass(slots=True, eq=False)
class Tenant:
    """What one caller has in the queue."""

    name: str
    weight: float
    pace: float
    """Rows that it was given, over its weight."""
    since_s: float = 0.0
    """Since when it has always had something in the queue."""
    rows: int = 0
    bytes: int = 0
    requests: int = 0
    requests_of: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))
    """By level."""


class Tenants:
    """Those of one queue, from when a second one waits until nothing does."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._known: dict[str, Tenant] = {}
        self._pace = 0.0
        """Of the batch that was cut last, when it was cut."""
        self._waiting = 0

    def __len__(self) -> int:
        """Those that are remembered, whether anything of them waits or not."""
        return len(self._known)

    def __getitem__(self, name: str) -> Tenant:
        """One of which something waits."""
        return self._known[name]

    def find(self, name: str) -> Tenant | None:
        """None = nothing of it waits."""
        tenant = self._known.get(name)
        return tenant if tenant is not None and tenant.requests else None

    def enter(self, name: str, now_s: float) -> Tenant:
        """The tenant of a request that comes; the caller adds what it brings."""
        tenant = self._known.get(name)
        if tenant is None:
            if len(self._known) > 2 * self._waiting + REMEMBERED:
                self._forget()
            tenant = self._known[name] = Tenant(name, self._weights.of(name), self._pace)
        if not tenant.requests:
            self._waiting += 1
            tenant.since_s = now_s
            if tenant.pace < self._pace:
                tenant.pace = self._pace
        return tenant

    def leave(self, tenant: Tenant) -> None:
        """Nothing of it waits any more."""
        self._waiting -= 1

    def cut(self, first: str) -> None:
        """A batch is cut that begins with a request of this tenant's."""
        pace = self._known[first].pace
        if pace > self._pace:
            self._pace = pace

    def rows_ahead(self, name: str, rows: int) -> float:
        """How many of the rows that wait go before `rows` more of this tenant's: its own, and of each other
        what its pace allows until then."""
        own = self._known.get(name)
        weight = self._weights.of(name) if own is None else own.weight
        pace = self._pace if own is None else max(own.pace, self._pace)
        waiting = 0 if own is None else own.rows
        end = pace + (waiting + rows) / weight
        ahead = float(waiting)
        for other in self._known.values():
            if other.requests and other is not own:
                ahead += min(other.rows, max(0.0, (end - other.pace) * other.weight))
        return ahead

    def most_requests(self, level: int) -> Tenant:
        """Who has the most requests of a level in the queue, for its weight."""
        return max(self._known.values(), key=lambda tenant: tenant.requests_of[level] / tenant.weight)

    def most_bytes(self) -> Tenant:
        return max(self._known.values(), key=lambda tenant: tenant.bytes / tenant.weight)

    def _forget(self) -> None:
        self._known = {name: tenant for name, tenant in self._known.items() if tenant.requests}
