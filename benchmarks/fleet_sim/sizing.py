"""Three loads worked through: how many replicas, with a zone lost, over a day, and under bursts."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from math import ceil
from typing import Final

import numpy as np

from benchmarks.fleet_sim.autoscaler import Autoscaler, Hpa
from benchmarks.fleet_sim.balancers import Pinned, PowerOfTwo, RoundRobin
from benchmarks.fleet_sim.engine import Fleet, Result
from benchmarks.fleet_sim.loads import daily, steady, varying
from benchmarks.fleet_sim.measure import Service
from benchmarks.fleet_sim.results import Table, ms, percent
from benchmarks.fleet_sim.scaled import IN_FLIGHT, PROBE_S, QUEUE_MS, SYNC_S, Scaling
from benchmarks.fleet_sim.spread import CLIENTS, Way, p99_ms
from benchmarks.simulation import Floats


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked for."""

    rate: float
    """A second, at its peak."""
    budget_s: float
    """For the 99th percentile."""


LOADS: Final[Mapping[str, Load]] = {
    "mlp": Load(20_000, 0.020),
    "image": Load(5_000, 0.020),
    "text": Load(400, 0.200),
}
WAYS: Final[Mapping[str, Way]] = {
    "proxy": Way(PowerOfTwo),
    "round robin": Way(RoundRobin, CLIENTS),
}
PINS: Final = [Way(partial(Pinned, 1e9, seed), CLIENTS) for seed in range(5)]
"""Ways in which connections may have fallen; the median is shown."""
SHIPPED: Final = "scaled, as shipped"
NIGHT: Final = 0.1
"""Of the peak by day."""
CALM: Final = 0.1
"""Of the peak between bursts."""
BURST_S: Final = 10.0
BETWEEN_S: Final = 300.0
BURSTS: Final = 3
_SPAN_S: Final = 20.0
_DAY_S: Final = 86_400.0
_MOST: Final = 60


def loads(services: Mapping[str, Service], *, short: bool) -> Table:
    """The fewest replicas of one core with p99 within the budget at the peak."""
    rows, misses = [], []
    for name, load in LOADS.items():
        service = services[name]
        found = {text: fewest(service, load, way, short=short) for text, way in WAYS.items()}
        enough = found["proxy"]
        spare = ceil(enough * 3 / 2)
        count = _count(load, short=short)
        left = Fleet(service, PowerOfTwo(), spare - ceil(spare / 3)).run(steady(load.rate, count))
        if p99_ms(left) > load.budget_s * 1e3:
            misses.append(f"{name}: {spare} replicas without a zone have p99 {p99_ms(left):.1f} ms")
        whole = Fleet(service, PowerOfTwo(), spare).run(steady(load.rate, count))
        asked = f"{name}: {load.rate:,.0f}/s within {load.budget_s * 1e3:g} ms"
        pins = sorted(fewest(service, load, pin, short=short) for pin in PINS[: 1 if short else None])
        counts = [*found.values(), pins[len(pins) // 2], spare]
        row = [asked, f"{load.rate / service.capacity:.2f}", *map(str, counts)]
        rows.append([*row, ms(p99_ms(whole)), ms(p99_ms(left)), str(spare * 24)])
    columns = ["load", "cores busy", *WAYS, "pinned", "for a zone lost", "p99, ms"]
    columns += ["without it, ms", "core hours a day"]
    title = f"replicas of one core for three loads; a proxy that takes two choices, or {CLIENTS} clients"
    return Table("loads", title, columns, rows, misses)


def fewest(service: Service, load: Load, way: Way, *, short: bool) -> int:
    """By trying one more, from what can do the work at all."""
    for replicas in range(ceil(load.rate / service.capacity), _MOST):
        traffic = steady(load.rate, _count(load, short=short), clients=way.clients)
        if p99_ms(Fleet(service, way.make(), replicas).run(traffic)) <= load.budget_s * 1e3:
            return replicas
    raise RuntimeError(f"{_MOST} replicas are not enough for {load}")


def day(service: Service, hpa: Hpa, start_s: float, *, short: bool) -> Table:
    """From night to noon and back: a fixed fleet beside a scaled one; requests of the steepest ten minutes.

    Of the rest of the day only the controller's decisions are simulated, on what a replica has in flight and
    how long requests wait at its load.
    """
    load = LOADS["image"]
    fixed = ceil(fewest(service, load, WAYS["proxy"], short=short) * 3 / 2)
    rate = daily(NIGHT * load.rate, load.rate, _DAY_S)
    seen = _Seen(service)
    hours, least, most = _decided(seen, hpa, rate(np.arange(0, _DAY_S, SYNC_S)))
    since_s, seconds = _DAY_S / 4, 120.0 if short else 600.0
    span = varying(lambda at_s: rate(at_s + since_s), load.rate, seconds)
    rows = []
    for text, sizes, cost in (("fixed", (fixed, fixed), fixed * 24.0), (SHIPPED, (least, most), hours)):
        at_first = fixed if text != SHIPPED else _settled(hpa, seen, float(rate(np.array([since_s]))[0]))
        fleet = Fleet(service, PowerOfTwo(), at_first)
        if text == SHIPPED:
            Scaling(fleet, replace(hpa, most=_MOST), start_s + PROBE_S)
        result = fleet.run(span)
        row = [text, *map(str, sizes), f"{cost:.0f}"]
        rows.append([*row, ms(result.percentile_ms(99)), percent(result.over(load.budget_s))])
    columns = ["a day", "fewest", "most", "core hours", "p99 in the steepest minutes, ms", "over 20 ms"]
    title = f"{service.name}: {NIGHT * load.rate:.0f}/s at night, {load.rate:,.0f}/s at noon"
    return Table("day", title, columns, rows)


def bursts(service: Service, hpa: Hpa, start_s: float) -> Table:
    """Ten seconds of ten times as much, every five minutes: more replicas beside an autoscaler."""
    load = LOADS["text"]

    def rate(at_s: Floats) -> Floats:
        return np.where(at_s % BETWEEN_S >= BETWEEN_S - BURST_S, load.rate, CALM * load.rate)

    traffic = varying(rate, load.rate, BURSTS * BETWEEN_S)
    rows = []
    for size in (2, 3, 4, 5, 6, 8):
        result = Fleet(service, PowerOfTwo(), size).run(traffic)
        rows.append(_row(f"{size} replicas", size * 24.0, result, load))
    fleet = Fleet(service, PowerOfTwo(), hpa.least)
    Scaling(fleet, replace(hpa, most=_MOST), start_s + PROBE_S)
    result = fleet.run(traffic)
    hours = result.replica_s / 3600 / (BURSTS * BETWEEN_S / 3600) * 24
    rows.append(_row(SHIPPED, hours, result, load))
    columns = [f"{CALM * load.rate:g}/s, {load.rate:g}/s for {BURST_S:g} s of {BETWEEN_S:g}"]
    return Table(
        "bursts",
        f"{service.name} in bursts",
        [*columns, "core hours a day", "p99, ms", "over 200 ms"],
        rows,
    )


def _row(text: str, hours: float, result: Result, load: Load) -> list[str]:
    return [text, f"{hours:.0f}", ms(result.percentile_ms(99)), percent(result.over(load.budget_s))]


def _decided(seen: "_Seen", hpa: Hpa, rates: Floats) -> tuple[float, int, int]:
    """Core hours of a day, the fewest and the most replicas, by decisions alone."""
    autoscaler = Autoscaler(replace(hpa, most=_MOST))
    current = _settled(hpa, seen, float(rates[0]))
    sizes = []
    for number, rate in enumerate(rates):
        metrics = {name: [value] * current for name, value in seen.at(float(rate) / current).items()}
        current = autoscaler.decide(number * SYNC_S, current, metrics, 0)
        sizes.append(current)
    return sum(sizes) * SYNC_S / 3600, min(sizes), max(sizes)


def _settled(hpa: Hpa, seen: "_Seen", rate: float) -> int:
    """The fewest replicas at which no metric is over its target."""
    size = hpa.least
    while any(seen.at(rate / size)[name] > target for name, target in hpa.targets.items()):
        size += 1
    return size


class _Seen:
    """What a replica's metrics are at its rate, interpolated between loads that are simulated."""

    def __init__(self, service: Service) -> None:
        self._rates = [load * service.capacity for load in np.arange(0.05, 1.0, 0.05)]
        self._in_flight, self._waited_ms = [], []
        for rate in self._rates:
            fleet = Fleet(service, PowerOfTwo(), 4)
            result = fleet.run(steady(rate * 4, 8_000))
            started = sum(each.started for each in fleet.replicas)
            self._in_flight.append(float(result.latencies_s.sum()) / float(result.at_s[-1]) / 4)
            self._waited_ms.append(sum(each.waited_s for each in fleet.replicas) / started * 1e3)

    def at(self, rate: float) -> Mapping[str, float]:
        """Beyond what it can do, what it has just before that."""
        return {
            IN_FLIGHT: float(np.interp(rate, self._rates, self._in_flight)),
            QUEUE_MS: float(np.interp(rate, self._rates, self._waited_ms)),
        }


def _count(load: Load, *, short: bool) -> int:
    seconds = _SPAN_S / 10 if short else _SPAN_S
    return min(int(load.rate * seconds), 200_000)
