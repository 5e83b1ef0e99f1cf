"""Connections that stay where they are: HTTP/2 through a Service's address, beside calls that are spread."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from benchmarks.fleet_sim.balancers import Balancer, Pinned, PowerOfTwo, RoundRobin
from benchmarks.fleet_sim.engine import Fleet, Result
from benchmarks.fleet_sim.loads import stepped, unequal, varying
from benchmarks.fleet_sim.measure import Service
from benchmarks.fleet_sim.results import Table, ms, percent

REPLICAS: Final = 8
SECONDS: Final = 120.0
AGES_S: Final = (1800.0, 300.0, 60.0)
GROWN_S: Final = 120.0
"""When a fleet is twice as big."""
UNTIL_S: Final = 720.0
_NEVER_S: Final = 1e9
_LOAD: Final = 0.6
_DRAWS: Final = 9
"""Ways in which connections may have fallen; the median is shown."""


def imbalance(service: Service, budget_s: float, *, short: bool) -> Table:
    """Eight replicas, at the same load."""
    rate = _LOAD * REPLICAS * service.capacity
    rows = []
    for clients in (8, 128) if short else (8, 32, 128, 1024):
        for text, shares in (("alike", [1.0] * clients), ("unequal", unequal(clients))):
            traffic = varying(stepped(rate, rate, 0.0), rate, SECONDS, shares=shares)
            row = [f"{clients:,} clients, {text}"]
            found = [
                Fleet(service, Pinned(_NEVER_S, seed), REPLICAS) for seed in range(1 if short else _DRAWS)
            ]
            results = sorted((fleet.run(traffic) for fleet in found), key=_busiest)
            row += _figures(results[len(results) // 2], budget_s)
            row += _figures(Fleet(service, RoundRobin(), REPLICAS).run(traffic), budget_s)
            rows.append(row)
    columns = [f"{REPLICAS} replicas, {_LOAD:.0%} load".replace("%", " %")]
    for text in ("pinned", "each call spread"):
        columns += [f"{text}: the busiest has", "p99, ms", f"over {budget_s * 1e3:g} ms"]
    title = f"{service.name}: one connection for each client, or a choice for each call"
    return Table("pinned", title, columns, rows)


def outgrown(service: Service, budget_s: float, *, short: bool) -> Table:
    """From four replicas to eight: when the new ones have their share, by the age of connections."""
    rows, series = [], {}
    rate = 1.2 * REPLICAS / 2 * service.capacity
    traffic = varying(stepped(rate * 2 / 3, rate, GROWN_S), rate, UNTIL_S, shares=[1.0] * 64)
    ways: Mapping[str, Callable[[], Balancer]] = {
        **{f"pinned for {age_s / 60:g} min": _pinned(age_s) for age_s in (AGES_S[1:2] if short else AGES_S)},
        "each call spread": PowerOfTwo,
    }
    for name, make in ways.items():
        fleet = Fleet(service, make(), REPLICAS // 2)
        shares = _Shares(fleet)
        result = fleet.run(traffic)
        late = [result.over(budget_s, GROWN_S + at_s, GROWN_S + at_s + 60) for at_s in (0, 120, 480)]
        rows.append([name, *map(percent, late), percent(shares.last), ms(result.percentile_ms(99, GROWN_S))])
        series[name] = shares.seen
    columns = ["connections", f"over {budget_s * 1e3:g} ms: 1st minute", "3rd", "9th"]
    columns += ["the new ones have at the end", "p99, ms"]
    title = f"{service.name}: 4 replicas become 8 as the load goes from 80 % of 4 to 60 % of 8; 64 clients"
    return Table("outgrown", title, columns, rows, series=series)


@dataclass(slots=True)
class _Counts:
    """Of requests at one moment."""

    all: int = 0
    new: int = 0


class _Shares:
    """Doubles a fleet, and looks at what the new replicas have of the requests."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._before = _Counts()
        self.seen: list[tuple[float, float]] = []
        """Share of the last 15 s, in percent."""
        fleet.at(GROWN_S, lambda: fleet.admit([fleet.create() for _ in range(REPLICAS // 2)]))
        fleet.every(15.0, self._look)

    @property
    def last(self) -> float:
        return self.seen[-1][1] / 100

    def _look(self) -> None:
        replicas = self._fleet.replicas
        now = _Counts(
            sum(each.offered for each in replicas), sum(each.offered for each in replicas[REPLICAS // 2 :])
        )
        share = (now.new - self._before.new) / max(1, now.all - self._before.all)
        self.seen.append((self._fleet.now_s, 100 * share))
        self._before = now


def _pinned(age_s: float) -> Callable[[], Balancer]:
    return lambda: Pinned(age_s)


def _busiest(result: Result) -> float:
    return max(result.offered) / sum(result.offered) * len(result.offered)


def _figures(result: Result, budget_s: float) -> list[str]:
    share = f"{_busiest(result):.1f} times the mean"
    return [share, ms(result.percentile_ms(99)), percent(result.over(budget_s))]
