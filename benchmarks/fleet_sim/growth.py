"""Load that changes: what an autoscaler's targets come to, and what its policies and a rollout take."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from benchmarks.fleet_sim.autoscaler import Autoscaler, Direction, Hpa
from benchmarks.fleet_sim.balancers import PowerOfTwo
from benchmarks.fleet_sim.engine import Fleet
from benchmarks.fleet_sim.loads import Rate, climbing, stepped, varying
from benchmarks.fleet_sim.measure import Service
from benchmarks.fleet_sim.results import Table, ms, percent
from benchmarks.fleet_sim.scaled import IN_FLIGHT, NODE_S, PROBE_S, QUEUE_MS, SYNC_S, Scaling
from onnxd.scheduler.policy import BatchPolicy

TARGETS: Final[Sequence[Mapping[str, float]]] = (
    {IN_FLIGHT: 16, QUEUE_MS: 50},
    {IN_FLIGHT: 8, QUEUE_MS: 25},
    {IN_FLIGHT: 4, QUEUE_MS: 10},
    {IN_FLIGHT: 2, QUEUE_MS: 5},
    {IN_FLIGHT: 1, QUEUE_MS: 2},
)
SHORT_QUEUE: Final = 16
"""About what the text model does within its budget."""
BEGIN_S: Final = 300.0
END_S: Final = 900.0
LAST_S: Final = 1500.0
SIZES: Final = (1, 10, 100, 1000)
_MINIMUM_READY_S: Final = 5.0
"""`minReadySeconds` of the Deployment."""


@dataclass(frozen=True, slots=True)
class Grown:
    """How a change of load went."""

    worst: float
    """The share of requests over the budget in the worst minute."""
    over: float
    """The same of all requests."""
    calm_s: float
    """From the step until the last minute in which over a percent was late; 0 = there was none."""
    p99_ms: float
    """Of the last two minutes before the load goes."""
    most: int
    core_hours: float
    sizes: Sequence[tuple[float, int]]


def grow(
    service: Service,
    hpa: Hpa,
    rate: Rate,
    most: float,
    budget_s: float,
    start_s: float,
    max_queue_size: int = BatchPolicy().max_queue_size,
) -> Grown:
    """Two replicas, at first, behind a proxy that takes two choices, scaled as `hpa` says."""
    fleet = Fleet(service, PowerOfTwo(), 2, max_queue_size=max_queue_size)
    scaling = Scaling(fleet, hpa, start_s)
    result = fleet.run(varying(rate, most, LAST_S))
    minutes = [
        (at_s, result.over(budget_s, at_s, at_s + 60)) for at_s in range(int(BEGIN_S), int(LAST_S), 60)
    ]
    late = [at_s + 60 - BEGIN_S for at_s, share in minutes if share > 0.01]
    return Grown(
        worst=max(share for _, share in minutes),
        over=result.over(budget_s),
        calm_s=max(late, default=0.0),
        p99_ms=result.percentile_ms(99, END_S - 120, END_S),
        most=max(size for _, size in scaling.sizes),
        core_hours=result.replica_s / 3600,
        sizes=scaling.sizes,
    )


def targets(service: Service, hpa: Hpa, start_s: float, budget_s: float, *, short: bool) -> Table:
    """A load that trebles for ten minutes, at once where a node is there, and slowly where one must come."""
    rows, series = [], {}
    low = service.capacity
    high = 3 * low
    ready_s = start_s + PROBE_S
    unbounded = BatchPolicy().max_queue_size
    cases = [*((pair, unbounded) for pair in TARGETS), (TARGETS[3], SHORT_QUEUE)]
    for pair, queue in cases[3:4] if short else cases:
        scaled = replace(hpa, targets=pair, most=20)
        burst = grow(service, scaled, stepped(low, high, BEGIN_S, END_S), high, budget_s, ready_s, queue)
        climb = climbing(low, high, BEGIN_S, END_S)
        slow = grow(service, scaled, climb, high, budget_s, ready_s + NODE_S, queue)
        name = f"{pair[IN_FLIGHT]:g} in flight, {pair[QUEUE_MS]:g} ms"
        name += f", queue of {queue}" if queue != unbounded else ""
        row = [name, percent(burst.worst), f"{burst.calm_s:.0f}", str(burst.most)]
        rows.append([*row, percent(slow.over), ms(slow.p99_ms), str(slow.most), f"{slow.core_hours:.2f}"])
        series[name] = [(at_s, float(size)) for at_s, size in slow.sizes]
    columns = ["targets", "at once: worst minute", "s until calm", "most replicas"]
    columns += ["slowly: late", "p99 at the top, ms", "most replicas", "core hours"]
    late = f"late = over {budget_s * 1e3:g} ms, or refused"
    title = f"{service.name}: from {low:.0f} to {high:.0f} requests/s and back; {late}"
    return Table("targets", title, columns, rows, series=series)


def policies(hpa: Hpa, start_s: float) -> Table:
    """How long a change takes that everybody agrees on, by the size of the fleet; without requests."""
    single = Direction(hpa.down.window_s, hpa.down.policies[:1])
    rows = []
    one_s = start_s + PROBE_S + _MINIMUM_READY_S
    for size in SIZES:
        low = max(1, size // 10)
        wide = replace(hpa, least=1, most=size, targets={IN_FLIGHT: 1.0})
        row = [
            f"{size:,}",
            _time(_until(wide, low, size)),
            _time(_until(replace(wide, down=single), size, low)),
        ]
        row += [_time(_until(wide, size, low)), _time(one_s * size)]
        rows.append([*row, _time(one_s * math.ceil(size / max(1, math.ceil(size / 4))))])
    columns = ["replicas", "from a tenth, as shipped", "to a tenth, a pod a minute", "as shipped"]
    columns += ["rollout one by one", "a quarter at a time"]
    return Table("policies", "what a change takes", columns, rows)


def _until(hpa: Hpa, current: int, wanted: int) -> float:
    """Seconds of decisions until it is as big as it is to be."""
    autoscaler, now_s = Autoscaler(hpa), 0.0
    if current > wanted:  # what was wanted before the load went
        autoscaler.decide(now_s, current, {IN_FLIGHT: [1.0] * current}, 0)
    while current != wanted:
        now_s += SYNC_S
        current = autoscaler.decide(now_s, current, {IN_FLIGHT: [wanted / current] * current}, 0)
        if abs(wanted / current - 1) <= 0.1:
            break
    return now_s


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
