"""When requests come: steady, in bursts, over a day. Seeded."""

from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.fleet_sim.engine import Traffic
from benchmarks.simulation import Floats

Rate = Callable[[Floats], Floats]
"""Requests a second at these seconds."""


def steady(rate: float, count: int, *, clients: int = 1, seed: int = 1) -> Traffic:
    """Independent of one another, each from any of the clients."""
    chance = np.random.default_rng(seed)
    return Traffic(np.cumsum(chance.exponential(1 / rate, count)), chance.integers(0, clients, count))


def varying(
    rate: Rate, most: float, seconds: float, *, shares: Sequence[float] = (1.0,), seed: int = 1
) -> Traffic:
    """At a rate that changes and is never over `most`; `shares`: how much of it each client sends."""
    chance = np.random.default_rng(seed)
    at_s = np.sort(chance.uniform(0, seconds, chance.poisson(most * seconds)))
    at_s = at_s[chance.uniform(0, most, len(at_s)) < rate(at_s)]
    weights = np.asarray(shares) / sum(shares)
    return Traffic(at_s, chance.choice(len(weights), len(at_s), p=weights))


def stepped(low: float, high: float, since_s: float, until_s: float = np.inf) -> Rate:
    """`high` in between, `low` before and after."""
    return lambda at_s: np.where((at_s >= since_s) & (at_s < until_s), high, low)


def climbing(low: float, high: float, since_s: float, until_s: float) -> Rate:
    """From `low` up to `high` in the first two thirds of that time; `low` again at its end."""
    top_s = since_s + (until_s - since_s) * 2 / 3
    return lambda at_s: np.where(at_s < until_s, np.interp(at_s, [since_s, top_s], [low, high]), low)


def daily(low: float, high: float, day_s: float = 86_400.0) -> Rate:
    """A wave with its trough at midnight and its peak at noon."""
    return lambda at_s: low + (high - low) * (1 - np.cos(2 * np.pi * at_s / day_s)) / 2


def unequal(clients: int) -> list[float]:
    """Shares of clients of which few send most: the n-th a n-th of the first (Zipf)."""
    return [1 / (place + 1) for place in range(clients)]
