"""Too much to do, from two callers: who is answered, how soon, and what refusals cost; in virtual time.

    python -m benchmarks.overload [--short]

The scheduler is the real one (benchmarks/simulation.py). A light caller asks for a quarter of what a model
can do, half of its share, and a flood for the rest of three times as much. Exits 1 when

- fewer than 90 % of the answers are given that the model can give, with deadlines or without
- a request of the light caller is refused (of those with a deadline, more than one in a thousand), or its
  99th percentile is beyond 1.5 times that of being alone, or where that cannot be, 1.25 times the least that
  can: on one instance that gives 90 % of what it can it waits for a run in progress, and for its own
- an answer comes after its deadline, or where rows share runs more than 1 % of the refusals take 5 ms or more
- with overload.target_delay the answers that come within the callers' patience are fewer than with any other
  way to shed, by more than chance explains, or somebody is refused though the model is not overloaded

The same over HTTP, with a real model: python -m benchmarks.soak --only overload
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.shedders import DropOldest, NewestFirst
from benchmarks.simulation import Arrivals, BatchWhileBusy, Floats, Outcome, Policy, poisson, simulate
from benchmarks.table import show
from onnxd.messages import Principal
from onnxd.scheduler.line import Line
from onnxd.scheduler.overload import OverloadConfig

FLOOD: Final = Principal("flood")
LIGHT: Final = Principal("light")
LOAD: Final = 3.0
LIGHT_LOAD: Final = 0.25
GOODPUT: Final = 0.9
NEAR: Final = 1.5
CLOSE: Final = 1.25
"""To the least that can be."""
SETTLING: Final = 10
SERVED: Final = 0.999
"""Where there are deadlines: a burst of its own may be more than fits into ten runs."""
REFUSED_WITHIN_S: Final = 0.005
PATIENCE_S: Final = 0.25
"""After which a caller has gone, of which the server knows nothing."""
TARGET: Final = OverloadConfig(target_delay=0.1, interval=0.5)
TOLERANCE: Final = 0.05
"""Newest first is better in the half second in which nobody can say yet that a queue stands."""


@dataclass(frozen=True, slots=True)
class Model:
    """How long its runs take, and how big they may be; 0 = it does not batch."""

    line: Line
    max_rows: int

    @property
    def capacity(self) -> float:
        """Rows a second."""
        return max(self.max_rows, 1) / self.full_s

    @property
    def full_s(self) -> float:
        return self.line.at(max(self.max_rows, 1))

    @property
    def least_p99_s(self) -> float:
        """Of whoever comes at any time to one instance whose runs all take the same and do GOODPUT of what it
        can: 99 % of such a run, and one. With runs of unequal length it is more."""
        rows = 1.0
        if self.max_rows:
            wanted = GOODPUT * self.capacity
            rows = max(1.0, wanted * self.line.base_s / (1 - wanted * self.line.per_row_s))
        return 1.99 * (self.line.base_s + self.line.per_row_s * rows)

    def policy(self, overload: OverloadConfig | None = None) -> BatchWhileBusy:
        sizes = {1, max(self.max_rows, 1)}
        return BatchWhileBusy(
            max_queue_size=1024,
            warm_up={rows: self.line.at(rows) for rows in sizes},
            overload=overload or OverloadConfig(),
        )


MODELS: Final[Mapping[str, Model]] = {
    "5 ms, one by one": Model(Line(0.005, 0.0), 0),
    "4 + 0.5 ms a row, up to 8": Model(Line(0.004, 0.0005), 8),
    "4 + 0.5 ms a row, up to 32": Model(Line(0.004, 0.0005), 32),
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="fewer requests")
    requests = 1_000 if parser.parse_args().short else 5_000
    misses = [*fairness(requests), *shedding(requests)]
    for miss in misses:
        print("MISS:", miss)
    return 1 if misses else 0


def fairness(requests: int, names: Sequence[str] = tuple(MODELS)) -> Iterator[str]:
    """Two callers, with deadlines and without; `requests` of the light one."""
    rows = []
    for name in names:
        model = MODELS[name]
        for deadline_s in (None, 10 * model.full_s):
            light, both = _two_callers(model, requests, deadline_s)
            alone = simulate(light, model.line.at, model.policy(), max_rows=model.max_rows)
            outcome = simulate(both, model.line.at, model.policy(), max_rows=model.max_rows)
            its_own = outcome.each_s[_sent_by(LIGHT, both)]
            served = float(np.isfinite(its_own).mean())
            goodput = _answered_by(_last_of_flood(both), both, outcome) / model.capacity
            # From when the model's run times are known.
            p99_s, alone_s = _p99(its_own[len(its_own) // SETTLING :]), _p99(alone.latencies_s)
            refused_s = _p99(outcome.refused_after_s)
            text = name if deadline_s is None else f"{name}, deadlines of {deadline_s * 1e3:.0f} ms"
            row = [text, f"{goodput:.1%}", f"{served:.2%}", f"{alone_s * 1e3:.1f} / {p99_s * 1e3:.1f}"]
            row.append(f"{model.least_p99_s * 1e3:.1f}")
            rows.append([*row, f"{_p99(outcome.latencies_s) * 1e3:.0f}", f"{refused_s * 1e3:.2f}"])
            if goodput < GOODPUT:
                yield f"{text}: {goodput:.1%} of the answers that there could be"
            if served < (1 if deadline_s is None else SERVED):
                yield f"{text}: the light caller had {served:.2%} of its answers"
            if p99_s > max(NEAR * alone_s, CLOSE * model.least_p99_s):
                yield f"{text}: the light caller's p99 is {p99_s * 1e3:.1f} ms, alone {alone_s * 1e3:.1f}"
            if deadline_s is not None and outcome.latencies_s.max() > deadline_s:
                yield f"{text}: an answer took {outcome.latencies_s.max() * 1e3:.0f} ms"
            if model.max_rows and refused_s >= REFUSED_WITHIN_S:
                yield f"{text}: refusals take {refused_s * 1e3:.1f} ms"
    columns = [
        "runs take",
        "goodput",
        "light: answered",
        "p99 alone / beside",
        "at least",
        "of all",
        "of refusals",
    ]
    show(f"{LOAD:g} times too much, from two callers; ms", columns, rows)


def shedding(requests: int, loads: Sequence[float] = (0.5, 0.9, 1.2, 3.0)) -> Iterator[str]:
    """One caller, whose patience the server does not know: answers within it."""
    model = MODELS["4 + 0.5 ms a row, up to 32"]
    ways: Mapping[str, Policy] = {
        "first come, a full queue refuses": model.policy(),
        "refused at the door (onnxd)": model.policy(TARGET),
        "oldest dropped": DropOldest(TARGET.target_delay, TARGET.interval),
        "newest first": NewestFirst(PATIENCE_S),
    }
    rows = []
    for load in loads:
        arrivals = poisson(load * model.capacity, int(8 * load * requests))
        found = {}
        for name, policy in ways.items():
            outcome = simulate(arrivals, model.line.at, policy, max_rows=model.max_rows)
            in_time = float((outcome.latencies_s <= PATIENCE_S).sum() / outcome.span_s / model.capacity)
            found[name] = in_time
            refused_s = _p99(outcome.refused_after_s) if len(outcome.refused_after_s) else 0.0
            refused = len(outcome.refused_after_s) / len(arrivals.rows)
            row = [f"{load:g}", name, f"{in_time:.1%}", f"{_p99(outcome.latencies_s) * 1e3:.0f}"]
            rows.append([*row, f"{refused:.1%}", f"{refused_s * 1e3:.0f}"])
            if load < 1 and "onnxd" in name and outcome.refused:
                yield f"at {load:g} of the capacity {outcome.refused} requests were refused"
        ours = found.pop("refused at the door (onnxd)")
        if ours < max(found.values()) - TOLERANCE:
            yield f"at {load:g} of the capacity {ours:.1%} in time, another way {max(found.values()):.1%}"
    columns = ["load", "way", f"in {PATIENCE_S * 1e3:.0f} ms, of capacity", "p99", "refused", "p99 of that"]
    show("one caller, a queue that stands; ms", columns, rows)


def _two_callers(model: Model, requests: int, deadline_s: float | None) -> tuple[Arrivals, Arrivals]:
    light = poisson(LIGHT_LOAD * model.capacity, requests, seed=3, deadline_s=deadline_s, principal=LIGHT)
    rest = LOAD - LIGHT_LOAD
    flood = poisson(
        rest * model.capacity, int(requests * rest / LIGHT_LOAD), deadline_s=deadline_s, principal=FLOOD
    )
    return light, light.and_also(flood)


def _last_of_flood(arrivals: Arrivals) -> float:
    return float(arrivals.at_s[_sent_by(FLOOD, arrivals)][-1])


def _answered_by(end_s: float, arrivals: Arrivals, outcome: Outcome) -> float:
    """Answers a second until then, each request being one row."""
    began_s = float(arrivals.at_s[0])
    return float((arrivals.at_s + outcome.each_s <= end_s).sum()) / (end_s - began_s)


def _sent_by(principal: Principal, arrivals: Arrivals) -> list[bool]:
    return [each is principal for each in arrivals.principals]


def _p99(seconds: Floats) -> float:
    return float(np.nanpercentile(seconds, 99)) if len(seconds) else 0.0


if __name__ == "__main__":
    sys.exit(main())
