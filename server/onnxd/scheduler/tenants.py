"""Whose turn it is among callers that wait for one model: start-time fair queueing by rows. Pure.

Each tenant has a pace, the rows that it was given over its weight; the one whose pace is least goes next
(Goyal, Vin and Cheng, SIGCOMM 1996). Whoever is new starts from where the others are, and whoever comes back
from no more than CREDIT_ROWS behind: so one that asks for less than its share hardly waits for those that
ask for more, and nobody saves up. Nothing is charged before it is cut: what expires in the queue costs its
tenant nothing.

Deficit round robin gives the same shares, but only an order within one bucket. A pace also says which bucket
goes first, and how much goes before a request that comes now.
"""

import math
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final

from onnxd.scheduler.caution import Caution
from onnxd.scheduler.fair_share import Weights

CREDIT_ROWS: Final = 32
"""What whoever asks for less than its share may have before others when it comes back."""
RECENT_ROWS: Final = 256
"""Rows after which what was given counts for a third."""
LIGHT_ROWS: Final = 4096
"""Rows for which it is remembered that somebody had all that it had asked for while others waited on."""
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
    recent_rows: float = 0.0
    """Rows that it was given of late: each counts for less the more were given since, to anybody."""
    counted_at: float = 0.0
    """How many had been, when that was last brought up to date."""
    caution: Caution = field(default_factory=Caution)
    """Of deadlines: others go before it in another way than before the next one."""

    def recent(self, given: float) -> float:
        """Those rows, when so many have been given to all."""
        return self.recent_rows * math.exp((self.counted_at - given) / RECENT_ROWS)


class Tenants:
    """Those of one queue, from when a second one waits until nothing does."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._known: dict[str, Tenant] = {}
        self._pace = 0.0
        """The greatest that anybody had when something of it was cut."""
        self._waiting = 0
        self._given = 0.0
        self._light_until = 0.0

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

    def caution_of(self, name: str) -> Caution | None:
        """None = it is not known here."""
        tenant = self._known.get(name)
        return None if tenant is None else tenant.caution

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
            tenant.pace = self._least(tenant.pace, tenant.weight)
        return tenant

    @property
    def one_is_light(self) -> bool:
        """Somebody asks for less than its share, while another has always something waiting."""
        return self._given < self._light_until

    def leave(self, tenant: Tenant) -> None:
        """Nothing of it waits any more."""
        self._waiting -= 1

    def charge(self, tenant: Tenant, rows: int) -> None:
        """So many are cut of a tenant's, which no longer wait."""
        if tenant.pace > self._pace:
            self._pace = tenant.pace
        tenant.pace += rows / tenant.weight
        self._given += rows
        if not tenant.requests:
            self._light_until = self._given + LIGHT_ROWS
        tenant.recent_rows, tenant.counted_at = tenant.recent(self._given) + rows, self._given

    def rows_ahead(self, name: str, rows: int) -> float:
        """How many go before `rows` more of this tenant's: of those that wait its own, and of each other what
        its pace allows until then; and those of others that come meanwhile, as they did of late."""
        own = self._known.get(name)
        weight = self._weights.of(name) if own is None else own.weight
        pace = self._pace if own is None else self._least(own.pace, weight)
        waiting = 0 if own is None else own.rows
        end = pace + (waiting + rows) / weight
        ahead = float(waiting)
        recent, weights = 0.0, weight
        for other in self._known.values():
            if other is own:
                continue
            if other.requests:
                ahead += min(other.rows, max(0.0, (end - other.pace) * other.weight))
            lately = other.recent(self._given)
            recent += lately
            if other.requests or lately >= 1:
                weights += other.weight
        if not waiting or own is None or not recent:
            return ahead
        lately = own.recent(self._given)
        return max(ahead, waiting / max(lately / (lately + recent), weight / weights))

    def most_requests(self, level: int) -> Tenant:
        """Who has the most requests of a level in the queue, for its weight."""
        return max(self._known.values(), key=lambda tenant: tenant.requests_of[level] / tenant.weight)

    def most_bytes(self) -> Tenant:
        return max(self._known.values(), key=lambda tenant: tenant.bytes / tenant.weight)

    def _least(self, pace: float, weight: float) -> float:
        """Where one comes in that had this pace when it went."""
        return max(pace, self._pace - CREDIT_ROWS / weight)

    def _forget(self) -> None:
        self._known = {name: tenant for name, tenant in self._known.items() if tenant.requests}
