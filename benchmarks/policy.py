"""When to cut a batch: the server's scheduler in virtual time, against windows, theory, and deadlines.

    python -m benchmarks.policy [--short]

The scheduler is the real one (benchmarks/simulation.py); the model's runs take 4 + 0.5 ms a row unless a
table says otherwise, in batches of at most 32, and requests arrive independently of one another. Exits 1 when

- batching while busy has a worse mean than a window, by more than chance (`Length.tolerance`) explains
- its mean is above Inoue's bound for it (arXiv:1912.06322), or far below it, which it is known not to be
- Little's law does not hold: then the simulation is wrong
- the caps that follow from fitted run times make the mean worse, by more than chance explains
- with deadlines, fewer requests are answered in time for what the fit is used for, or most of the capacity is
  lost when too much is asked for
"""

import argparse
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from benchmarks.formers import WindowAtPickUp
from benchmarks.simulation import Arrivals, BatchWhileBusy, Outcome, Policy, poisson, simulate
from benchmarks.table import show
from onnxd.scheduler.line import Line

MODEL: Final = Line(0.004, 0.0005)
MAX_ROWS: Final = 32
RATES: Final = (20, 200, 800, 1200, 1500)
"""A second; the model can do 1,600."""
POLICIES: Final[Mapping[str, Policy]] = {
    "while busy": BatchWhileBusy(),
    "2 ms from arrival": BatchWhileBusy(0.002),
    "10 ms from arrival": BatchWhileBusy(0.010),
    "2 ms at pick-up": WindowAtPickUp(0.002),
    "10 ms at pick-up": WindowAtPickUp(0.010),
}
BOUNDED_RATES: Final = (50, 200, 800, 1500)
UNBOUNDED: Final = 1_000_000
"""Rows: the bound is for batches without a maximum."""
NEAR_THE_BOUND: Final = 0.9
SLOPES: Final = (Line(0.0, 0.001), Line(0.0001, 0.001), Line(0.001, 0.001), MODEL)
LOADS: Final = (0.2, 0.5, 0.8, 0.9, 0.95)
"""Of the model's capacity."""
ALLOWED_S: Final = (0.015, 0.030, 0.060)
OVERLOADS: Final = (0.25, 0.5, 1.0, 1.5, 2.0)
KEPT: Final = 0.45
"""Of the capacity, in answers in time, however much is asked for. The tightest deadline lets batches of 7
wait for one another, and those have 58 % of it."""


@dataclass(frozen=True, slots=True)
class Length:
    """How long a run of it is."""

    requests: int
    tolerance: float
    """What chance may do with so many."""


FULL: Final = Length(20_000, 0.03)
SHORT: Final = Length(2_000, 0.10)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="fewer requests, wider tolerances")
    length = SHORT if parser.parse_args().short else FULL
    misses = [*windows(length), *theory(length), *knees(length), *deadlines(length)]
    for miss in misses:
        print("MISS:", miss)
    return 1 if misses else 0


def windows(length: Length) -> Iterator[str]:
    """Batch while busy against windows."""
    rows = []
    for rate in RATES:
        arrivals = poisson(rate, length.requests)
        outcomes = {name: _simulated(arrivals, policy) for name, policy in POLICIES.items()}
        rows.append([str(rate), *(_latency(outcome) for outcome in outcomes.values())])
        busy = outcomes["while busy"]
        for name, outcome in outcomes.items():
            if busy.mean_ms > outcome.mean_ms * (1 + length.tolerance):
                yield f"at {rate}/s the mean is {busy.mean_ms:.2f} ms, with {name} {outcome.mean_ms:.2f}"
            expected = rate * outcome.mean_ms / 1e3
            if abs(outcome.mean_in_system / expected - 1) > length.tolerance:
                yield f"Little's law at {rate}/s, {name}: {outcome.mean_in_system:.3f} for {expected:.3f}"
    show("batching, mean / 99th percentile in ms", ["requests/s", *POLICIES], rows)


def theory(length: Length) -> Iterator[str]:
    """Batch while busy against the bound."""
    rows = []
    for rate in BOUNDED_RATES:
        outcome = _simulated(poisson(rate, length.requests), BatchWhileBusy(), max_rows=UNBOUNDED)
        bound_ms = inoue_bound_s(rate, MODEL) * 1e3
        rows.append([str(rate), f"{outcome.mean_ms:.2f}", f"{bound_ms:.2f}"])
        if not bound_ms * (NEAR_THE_BOUND - length.tolerance) <= outcome.mean_ms:
            yield f"at {rate}/s the mean is {outcome.mean_ms:.2f} ms, far below the bound of {bound_ms:.2f}"
        if outcome.mean_ms > bound_ms * (1 + length.tolerance):
            yield f"at {rate}/s the mean is {outcome.mean_ms:.2f} ms, above the bound of {bound_ms:.2f}"
    show("batches without a maximum", ["requests/s", "mean in ms", "Inoue's bound"], rows)


def inoue_bound_s(rate: float, model: Line) -> float:
    """Of the mean latency when everything that waits is taken whenever the server is idle."""
    base, slope = model.base_s, model.per_row_s
    load = rate * slope
    first = (slope + base) / (2 * (1 - load))
    first *= 1 + 2 * rate * base + (1 - rate * base) / (1 + load)
    second = 1.5 * base / (1 - load) + slope / 2 * (load + 2) / (1 - load**2)
    return min(first, second)


def knees(length: Length) -> Iterator[str]:
    """What the caps from fitted run times do to the mean."""
    rows = []
    for model in SLOPES:
        for load in LOADS:
            arrivals = poisson(load * _capacity(model), length.requests)
            without = _simulated(arrivals, BatchWhileBusy(), model)
            fitted = _simulated(arrivals, _fitted(model), model)
            shape = f"{model.base_s * 1e3:g} + {model.per_row_s * 1e3:g} ms a row"
            rows.append([f"{shape}, load {load:g}", _latency(without), _latency(fitted)])
            if fitted.mean_ms > without.mean_ms * (1 + length.tolerance):
                means = f"{fitted.mean_ms:.2f} ms with the cap, {without.mean_ms:.2f} without"
                yield f"{shape}, load {load:g}: {means}"
    show("cut at the knee, mean / 99th percentile in ms", ["runs take", "while busy", "fitted"], rows)


def deadlines(length: Length) -> Iterator[str]:
    """Answers in time, with and without what fitted run times are used for."""
    rows = []
    for allowed_s in ALLOWED_S:
        for load in OVERLOADS:
            rate = load * _capacity(MODEL)
            arrivals = poisson(rate, length.requests // 2, deadline_s=allowed_s)
            without = _in_time(_simulated(arrivals, BatchWhileBusy()), arrivals)
            fitted = _in_time(_simulated(arrivals, _fitted(MODEL)), arrivals)
            name = f"{allowed_s * 1e3:g} ms, {rate:g} requests/s"
            rows.append([name, f"{without * rate:.0f}", f"{fitted * rate:.0f}"])
            if fitted < without * (1 - length.tolerance):
                yield f"{name}: {fitted:.1%} in time, without the fit {without:.1%}"
            if fitted * load < min(load, KEPT) * (1 - length.tolerance):
                yield f"{name}: only {fitted:.1%} in time"
    show("answers in time, a second", ["allowed, asked for", "while busy", "fitted"], rows)


def _simulated(arrivals: Arrivals, policy: Policy, model: Line = MODEL, max_rows: int = MAX_ROWS) -> Outcome:
    return simulate(arrivals, model.at, policy, max_rows=max_rows)


def _fitted(model: Line) -> BatchWhileBusy:
    return BatchWhileBusy(warm_up={rows: model.at(rows) for rows in (1, MAX_ROWS)})


def _capacity(model: Line) -> float:
    return MAX_ROWS / model.at(MAX_ROWS)


def _in_time(outcome: Outcome, arrivals: Arrivals) -> float:
    return len(outcome.latencies_s) / len(arrivals.rows)


def _latency(outcome: Outcome) -> str:
    return f"{outcome.mean_ms:.1f} / {outcome.percentile_ms(99):.1f}"


if __name__ == "__main__":
    sys.exit(main())
