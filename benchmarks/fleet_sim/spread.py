"""Steady load on replicas that are all well: what one has in flight, how requests are spread, the cost."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.fleet_sim.agreement import MOST_S, farthest_s
from benchmarks.fleet_sim.balancers import AtRandom, Balancer, LeastOutstanding, PowerOfTwo, RoundRobin
from benchmarks.fleet_sim.engine import Fleet, Result, batch_rows
from benchmarks.fleet_sim.loads import steady
from benchmarks.fleet_sim.measure import Service
from benchmarks.fleet_sim.results import Table, ms
from onnxd.scheduler.line import Line

CLIENTS: Final = 64


@dataclass(frozen=True, slots=True)
class Way:
    """How requests are spread, and by how many who know nothing of one another."""

    make: Callable[[], Balancer]
    clients: int = 1


WAYS: Final[Mapping[str, Way]] = {
    "random": Way(AtRandom),
    f"round robin, {CLIENTS} clients": Way(RoundRobin, CLIENTS),
    f"two choices, {CLIENTS} clients": Way(lambda: PowerOfTwo(apart=True), CLIENTS),
    "round robin, a proxy": Way(RoundRobin),
    "two choices, a proxy": Way(PowerOfTwo),
    "least outstanding, a proxy": Way(LeastOutstanding),
}
LEVELS: Final = (0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
LOAD: Final = 0.8
COSTED: Final = (1, 10, 100, 1000)
LEAST: Final = 40
MOST: Final = 95
"""Percent: nobody plans for more."""
_WARM: Final = 0.2
"""Of the requests, which find a fleet that has just begun."""
_NEAR: Final = 0.04
"""Of theory, for chance."""


@dataclass(frozen=True, slots=True)
class Length:
    """How much is simulated."""

    sizes: Sequence[int]
    requests: int
    """Of a small fleet."""
    per_replica: int
    """Of a big one."""

    def of(self, replicas: int) -> int:
        return max(self.requests, self.per_replica * replicas)


FULL: Final = Length((1, 3, 10, 30, 100, 300, 1000), 40_000, 200)
SHORT: Final = Length((1, 10, 100), 6_000, 60)


def run(service: Service, way: Way, replicas: int, load: float, length: Length) -> Result:
    """What follows the first fifth of them."""
    count = length.of(replicas)
    traffic = steady(load * replicas * service.capacity, count, clients=way.clients)
    return Fleet(service, way.make(), replicas).run(traffic)


def p99_ms(result: Result) -> float:
    """Of a fleet that has been there for a while."""
    return result.percentile_ms(99, since_s=float(result.at_s[int(_WARM * len(result.at_s))]))


def agreement(services: Mapping[str, Service], length: Length) -> Table:
    """The lean replicas beside the server's own schedulers."""
    rows, misses = [], []
    for name, service in services.items():
        for text, way in WAYS.items():
            traffic = steady(LOAD * 3 * service.capacity, length.requests // 4, clients=way.clients)
            off_s = farthest_s(service, way.make(), way.make(), 3, traffic)
            rows.append([f"{name}, {text}", f"{len(traffic.at_s):,}", "yes" if off_s < MOST_S else "no"])
            if off_s >= MOST_S:
                misses.append(f"{name}, {text}: a latency differs by {off_s:.2g} s from the scheduler's")
    columns = ["three replicas", "requests", "each takes as long in both"]
    return Table(
        "agreement", "the simulated replicas beside the server's own scheduler", columns, rows, misses
    )


def theory(length: Length) -> Table:
    """One replica without batches: the mean wait of the M/D/1 queue, load / (2 (1 - load)) runs."""
    rows, misses = [], []
    single = Service("theory", "a run of a millisecond", Line(0.001, 0.0), 1)
    for load in (0.3, 0.5, 0.7, 0.8):
        traffic = steady(load * single.capacity, length.requests * 4)
        result = Fleet(single, AtRandom(), 1).run(traffic)
        wait_ms = float(np.mean(result.latencies_s)) * 1e3 - 1
        expected_ms = load / (2 * (1 - load))
        rows.append([f"{load:.0%} load", f"{wait_ms:.3f}", f"{expected_ms:.3f}"])
        if abs(wait_ms / expected_ms - 1) > _NEAR * (200_000 / len(traffic.at_s)) ** 0.5:
            misses.append(f"at {load:.0%} load the mean wait is {wait_ms:.3f} ms, not {expected_ms:.3f}")
    columns = ["runs of 1 ms, one at a time", "mean wait, ms", "M/D/1"]
    return Table("theory", "against queueing theory", columns, rows, misses)


def levels(services: Mapping[str, Service], length: Length) -> Table:
    """What an autoscaler sees of a replica at each load."""
    rows = []
    for load in LEVELS:
        row = [f"{load:.0%}".replace("%", " %")]
        for service in services.values():
            fleet = Fleet(service, PowerOfTwo(), 10)
            result = fleet.run(steady(load * 10 * service.capacity, 2 * length.of(10)))
            in_flight = float(result.latencies_s.sum()) / float(result.at_s[-1]) / 10
            started = sum(each.started for each in fleet.replicas)
            waited_ms = sum(each.waited_s for each in fleet.replicas) / started * 1e3
            row += [f"{in_flight:.1f}", ms(waited_ms), ms(p99_ms(result))]
        rows.append(row)
    columns = ["load of its capacity"]
    for name in services:
        columns += [f"{name}: in flight", "waits, ms", "p99, ms"]
    return Table("levels", "one of ten replicas, two choices by a proxy", columns, rows)


def balancing(service: Service, length: Length) -> Table:
    """p99 by size and way, each replica equally loaded."""
    rows, series = [], {}
    for name, way in WAYS.items():
        found = [(size, p99_ms(run(service, way, size, LOAD, length))) for size in length.sizes]
        rows.append([name, *(ms(each) for _, each in found)])
        series[name] = found
    columns = [f"p99 in ms at {LOAD:.0%} load".replace("%", " %"), *(f"{size:,}" for size in length.sizes)]
    return Table("balancing", f"{service.name}: how requests are spread", columns, rows, series=series)


def cost(service: Service, budget_ms: float, length: Length) -> Table:
    """The load that a replica may have while p99 is within the budget, as core hours for a million."""
    rows, series = [], {}
    sizes = [size for size in length.sizes if size in COSTED]
    for name, way in WAYS.items():
        found = []
        for size in sizes:
            load = _highest(service, way, size, budget_ms, length)
            found.append((size, 1e6 / (load * service.capacity) / 3600))
        rows.append([name, *(f"{each:.3f}" for _, each in found)])
        series[name] = found
    title = f"{service.name}: core hours for a million requests with p99 within {budget_ms:g} ms"
    columns = ["core hours for a million, by replicas", *(f"{size:,}" for size in sizes)]
    return Table("cost", title, columns, rows, series=series)


def _highest(service: Service, way: Way, size: int, budget_ms: float, length: Length) -> float:
    """To a percent, by halves; no more than is ever left to chance."""
    low, high = LEAST, MOST
    while low < high:
        middle = (low + high + 1) // 2
        if p99_ms(run(service, way, size, middle / 100, length)) <= budget_ms:
            low = middle
        else:
            high = middle - 1
    return low / 100


def shown(services: Mapping[str, Service], start_s: float) -> Table:
    """What was measured, as it is used."""
    rows = []
    for name, each in services.items():
        line = f"{each.line.base_s * 1e3:.2f} + {each.line.per_row_s * 1e3:.3f} ms a row"
        rows.append([f"{name}: {each.what}", line, str(batch_rows(each)), f"{each.capacity:,.0f}"])
    columns = ["model", "CPU time of a run, server and all", "most rows", "requests/s of a core"]
    title = f"measured on real servers; a server with the three is ready {start_s:.1f} s after its command"
    return Table("services", title, columns, rows)
