"""A fleet of replicas in virtual time: requests, a balancer, runs, and whatever else happens at its time.

A replica has one instance that batches while busy, with the cap that the server's own scheduler has for such
run times; benchmarks/fleet_sim/agreement.py holds it to the scheduler itself. There are no tasks and no event
loop here, only a heap, so that a thousand replicas take seconds.
"""

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from benchmarks.fleet_sim.balancers import Balancer
from benchmarks.fleet_sim.callers import Callers
from benchmarks.fleet_sim.measure import Service
from benchmarks.simulation import Floats
from onnxd.scheduler.capacity import KNEE_RUNS, retry_after_s, steady_cap
from onnxd.scheduler.policy import BatchPolicy
from onnxd.scheduler.service_time import Fit
from onnxd_client.errors import ServerError, Unavailable


def batch_rows(service: Service) -> int:
    """The most rows that the scheduler gives a run, once it has learnt the model's run times."""
    fit = Fit(service.line, 0.0, 1, service.max_rows, newest_s=0.0, runs=KNEE_RUNS)
    return steady_cap(fit, 1, max_rows=service.max_rows, guard_rows=service.max_rows).rows


@dataclass(frozen=True, slots=True)
class Traffic:
    """When requests of one row come, and from which of the clients."""

    at_s: Floats
    clients: npt.NDArray[np.int64]


@dataclass(slots=True, eq=False)
class Replica:
    """One of the fleet."""

    number: int
    born_s: float
    """Since when it costs."""
    zone: int = 0
    alive: bool = True
    slowness: float = 1.0
    """Its runs take so many times as long."""
    ended_s: float | None = None
    waiting: deque[int] = field(default_factory=deque)
    running: Sequence[int] = ()
    outstanding: int = 0
    offered: int = 0
    """Requests that were sent to it, ever."""
    started: int = 0
    """Requests whose run has begun, ever."""
    waited_s: float = 0.0
    """What those waited together."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of the requests."""

    at_s: Floats
    latencies_s: Floats
    """nan = not answered, in spite of all tries."""
    tries: int
    failures: int
    """Tries that failed, most of which were tried again if callers do so."""
    replica_s: float
    """Seconds of replicas, from their creation to the end of the requests."""
    offered: Sequence[int]
    """Requests that were sent to each replica, in the order of creation."""

    @property
    def lost(self) -> int:
        return int(np.isnan(self.latencies_s).sum())

    def percentile_ms(self, percent: float, since_s: float = 0.0, until_s: float = np.inf) -> float:
        """Of those that came in between; inf when so many were not answered."""
        chosen = self.latencies_s[(self.at_s >= since_s) & (self.at_s < until_s)]
        if not len(chosen):
            return 0.0
        return float(np.percentile(np.where(np.isnan(chosen), np.inf, chosen), percent, method="lower") * 1e3)

    def over(self, budget_s: float, since_s: float = 0.0, until_s: float = np.inf) -> float:
        """The share of those that came in between and had no answer within the budget."""
        chosen = self.latencies_s[(self.at_s >= since_s) & (self.at_s < until_s)]
        return float(np.mean(~(chosen <= budget_s))) if len(chosen) else 0.0


class Fleet:
    """Let `run` go once."""

    def __init__(
        self,
        service: Service,
        balancer: Balancer,
        replicas: int,
        *,
        callers: Callers | None = None,
        zones: int = 1,
        max_queue_size: int = BatchPolicy().max_queue_size,
    ) -> None:
        """`callers` None = nobody tries again."""
        self._base_s, self._per_row_s = service.line.base_s, service.line.per_row_s
        self._rows = batch_rows(service)
        self._balancer = balancer
        self._callers = callers
        self._most = max_queue_size
        self._zones = zones
        self._heap: list[tuple[float, int, Replica | Callable[[], None]]] = []
        self._sequence = itertools.count()
        self.now_s = 0.0
        self.replicas: list[Replica] = []
        self.members: list[Replica] = []
        """Those that the balancer knows, dead ones among them until somebody notices."""
        self.busy = True
        """Whether requests are still to come."""
        self._tries = self._failures = 0
        for _ in range(replicas):
            self.create()
        self.admit(self.replicas)

    # What happens to the fleet.

    def at(self, when_s: float, event: Callable[[], None]) -> None:
        """Let it happen then."""
        heapq.heappush(self._heap, (when_s, next(self._sequence), event))

    def every(self, period_s: float, event: Callable[[], None]) -> None:
        """Let it happen again and again while requests are to come."""

        def again() -> None:
            event()
            if self.busy:
                self.at(self.now_s + period_s, again)

        self.at(self.now_s + period_s, again)

    def create(self) -> Replica:
        """One that costs, and is not ready."""
        replica = Replica(len(self.replicas), self.now_s, zone=len(self.replicas) % self._zones)
        self.replicas.append(replica)
        return replica

    def admit(self, replicas: Sequence[Replica]) -> None:
        """They are ready: requests come."""
        self.members = [*self.members, *replicas]
        self._follow()

    def dismiss(self, replicas: Sequence[Replica]) -> None:
        """No new requests; what they have they answer."""
        self.members = [each for each in self.members if each not in replicas]
        for replica in replicas:
            replica.ended_s = self.now_s if replica.ended_s is None else replica.ended_s
        self._follow()

    def kill(self, replicas: Sequence[Replica]) -> None:
        """Gone, with all that they have; the balancer is not told."""
        for replica in replicas:
            lost = (*replica.running, *replica.waiting)
            replica.alive, replica.running, replica.ended_s = False, (), self.now_s
            replica.waiting.clear()
            for request in lost:
                self._leave(request, replica)
                self._balancer.broken(self._clients[request], replica.number)
                self._fail(request, Unavailable("the connection broke"))

    def _follow(self) -> None:
        self._balancer.follow([each.number for each in self.members])

    # What happens to requests.

    def run(self, traffic: Traffic) -> Result:
        """All of them, and whatever follows from them."""
        self._at: list[float] = traffic.at_s.tolist()
        self._clients: list[int] = traffic.clients.tolist()
        self._came = list(self._at)
        self._latencies = [float("nan")] * len(self._at)
        at, heap, pop, end = self._at, self._heap, heapq.heappop, self._end
        number, count = 0, len(self._at)
        while number < count:
            while heap and heap[0][0] <= at[number]:
                self.now_s, _, event = pop(heap)
                end(event) if isinstance(event, Replica) else event()
            self.now_s = at[number]
            if self._callers is not None:
                self._callers.begins(self._clients[number])
            self._offer(number)
            number += 1
        self.busy = False
        while heap:
            self.now_s, _, event = pop(heap)
            end(event) if isinstance(event, Replica) else event()
        return self._result(traffic)

    def _offer(self, request: int) -> None:
        client, now_s = self._clients[request], self.now_s
        self._tries += 1
        replica = self.replicas[self._balancer.choose(client, now_s)]
        replica.offered += 1
        if not replica.alive:
            self._balancer.broken(client, replica.number)
            self._fail(request, Unavailable("the connection is refused"))
            return
        waiting = replica.waiting
        if len(waiting) >= self._most:
            hint_s = retry_after_s(len(waiting) * self._per_row_s)
            self._fail(request, Unavailable("the queue is full", retry_after=hint_s))
            return
        self._came[request] = now_s
        self._balancer.began(client, replica.number)
        replica.outstanding += 1
        waiting.append(request)
        if not replica.running:
            self._start(replica)

    def _start(self, replica: Replica) -> None:
        waiting, now_s, came = replica.waiting, self.now_s, self._came
        rows = min(len(waiting), self._rows)
        batch = [waiting.popleft() for _ in range(rows)]
        for request in batch:
            replica.waited_s += now_s - came[request]
        replica.started += rows
        replica.running = batch
        end_s = now_s + (self._base_s + self._per_row_s * rows) * replica.slowness
        heapq.heappush(self._heap, (end_s, next(self._sequence), replica))

    def _end(self, replica: Replica) -> None:
        if not replica.alive:
            return
        now_s, at, latencies, ended, clients = (
            self.now_s, self._at, self._latencies, self._balancer.ended, self._clients
        )  # fmt: skip
        for request in replica.running:
            latencies[request] = now_s - at[request]
            ended(clients[request], replica.number)
        replica.outstanding -= len(replica.running)
        replica.running = ()
        if replica.waiting:
            self._start(replica)

    def _leave(self, request: int, replica: Replica) -> None:
        replica.outstanding -= 1
        self._balancer.ended(self._clients[request], replica.number)

    def _fail(self, request: int, error: ServerError) -> None:
        self._failures += 1
        if self._callers is not None:
            delay_s = self._callers.delay_after(self._clients[request], request, error)
            if delay_s is not None:
                self.at(self.now_s + delay_s, lambda: self._offer(request))

    def _result(self, traffic: Traffic) -> Result:
        end_s = self.now_s
        lived = [(end_s if each.ended_s is None else each.ended_s) - each.born_s for each in self.replicas]
        return Result(
            at_s=traffic.at_s,
            latencies_s=np.array(self._latencies),
            tries=self._tries,
            failures=self._failures,
            replica_s=float(sum(lived)),
            offered=[each.offered for each in self.replicas],
        )
