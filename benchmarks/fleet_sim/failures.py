"""What one slow replica, a dead one, and a lost zone do to everybody else."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from benchmarks.fleet_sim.balancers import (
    Balancer,
    Ejecting,
    LeastOutstanding,
    PowerOfTwo,
    RoundRobin,
)
from benchmarks.fleet_sim.callers import Callers
from benchmarks.fleet_sim.engine import Fleet, Replica, Traffic
from benchmarks.fleet_sim.loads import steady, stepped, varying
from benchmarks.fleet_sim.measure import Service
from benchmarks.fleet_sim.results import Table, ms, percent
from benchmarks.fleet_sim.scaled import NODE_S, PROBE_S
from benchmarks.fleet_sim.spread import CLIENTS, WAYS, Length

SLOWNESS: Final = 10.0
NOTICED_S: Final = 4.0
"""Until two readiness probes have failed, two seconds apart, and the Service has one address less."""
OUT_S: Final = 10.0
LOAD: Final = 0.6
"""Of what all replicas can do together."""
DIES_S: Final = 5.0
STEP_S: Final = 5.0


def slow(service: Service, budget_s: float, length: Length) -> Table:
    """One replica takes ten times as long, and says that it is well."""
    rows = []
    sizes = [size for size in length.sizes if size in (10, 100, 1000)]
    for name, way in WAYS.items():
        row = [name]
        for size in sizes:
            count = 3 * length.of(size)
            traffic = steady(LOAD * size * service.capacity, count, clients=way.clients)
            fleet = Fleet(service, way.make(), size)
            fleet.replicas[0].slowness = SLOWNESS
            result = fleet.run(traffic)
            row += [ms(result.percentile_ms(99)), percent(result.over(budget_s))]
        rows.append(row)
    columns = [f"one is {SLOWNESS:g} times slower"]
    for size in sizes:
        columns += [f"{size:,}: p99, ms", f"over {budget_s * 1e3:g} ms"]
    title = f"{service.name}: one slow replica, {LOAD:.0%} load"
    return Table("slow", title, columns, rows)


def death(service: Service, start_s: float, *, short: bool) -> Table:
    """One of ten dies; the Service notices after two probes; another is ready after its start."""
    ways: Mapping[str, Callable[[], Balancer]] = {
        "round robin": RoundRobin,
        "round robin, ejects": lambda: Ejecting(RoundRobin(), OUT_S),
        "least outstanding": LeastOutstanding,
        "least outstanding, ejects": lambda: Ejecting(LeastOutstanding(), OUT_S),
        "two choices, ejects": lambda: Ejecting(PowerOfTwo(), OUT_S),
    }
    rows = []
    seconds = 10.0 if short else 20.0
    for name, make in ways.items():
        lost = []
        for callers in (None, Callers()):
            traffic = _seconds(service, 10, seconds, LOAD, CLIENTS)
            fleet = Fleet(service, make(), 10, callers=callers)
            lose(fleet, fleet.replicas[:1], DIES_S, start_s + PROBE_S)
            lost.append(fleet.run(traffic))
        rows.append(
            [
                name,
                f"{lost[0].lost:,}",
                f"{lost[1].lost:,}",
                ms(lost[1].percentile_ms(99, DIES_S, DIES_S + 5)),
            ]
        )
    columns = ["the way", "failed, nobody retries", "failed, the SDK retries", "p99 of the next 5 s, ms"]
    count = len(_seconds(service, 10, seconds, LOAD, CLIENTS).at_s)
    title = f"{service.name}: one of 10 dies, {LOAD:.0%} load, {count:,} requests in {seconds:g} s"
    return Table("death", title, columns, rows)


def zone(service: Service, start_s: float, budget_s: float, *, short: bool) -> Table:
    """One of three zones is gone; others come where nodes are, or must come first."""
    rows = []
    seconds = 120.0 if short else 300.0
    for load in (0.6, 0.8) if short else (0.5, 0.6, 0.7, 0.8):
        row = [f"{load:.0%}".replace("%", " %")]
        for delay_s in (0.0, NODE_S):
            fleet = Fleet(service, Ejecting(PowerOfTwo(), OUT_S), 9, zones=3, callers=Callers())
            gone = [each for each in fleet.replicas if each.zone == 0]
            lose(fleet, gone, DIES_S, start_s + PROBE_S + delay_s)
            result = fleet.run(_seconds(service, 9, DIES_S + seconds, load, CLIENTS))
            times = [DIES_S + STEP_S * number for number in range(int(seconds / STEP_S))]
            shares = [(at_s, result.over(budget_s, at_s, at_s + STEP_S)) for at_s in times]
            late = [at_s + STEP_S - DIES_S for at_s, share in shares if share > 0.01]
            worst = max(result.percentile_ms(99, at_s, at_s + STEP_S) for at_s in times)
            row += [f"{result.lost:,}", ms(worst), f"{max(late, default=0):.0f}"]
        rows.append(row)
    columns = ["load before"]
    for text in ("nodes are there", "nodes must come"):
        columns += [f"{text}: failed", "worst p99, ms", f"s over {budget_s * 1e3:g} ms"]
    return Table("zone", f"{service.name}: 3 of 9 replicas are lost with their zone", columns, rows)


def lose(fleet: Fleet, replicas: Sequence[Replica], when_s: float, start_s: float) -> None:
    """They die then, are noticed, and as many others are ready `start_s` after that."""

    def notice() -> None:
        fleet.dismiss(replicas)
        others = [fleet.create() for _ in replicas]
        fleet.at(fleet.now_s + start_s, lambda: fleet.admit(others))

    fleet.at(when_s, lambda: fleet.kill(replicas))
    fleet.at(when_s + NOTICED_S, notice)


def _seconds(service: Service, replicas: int, seconds: float, load: float, clients: int) -> Traffic:
    rate = load * replicas * service.capacity
    return varying(stepped(rate, rate, 0.0), rate, seconds, shares=[1.0] * clients)
