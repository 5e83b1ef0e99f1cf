"""What the rules for sharing threads cost: one model busy among idle ones, and all of them busy at once.

    python -m benchmarks.threads [--short] [--models N]

The sessions are the server's own, in this process; each figure is a median, and the rules take turns, so that
ratios hold on a machine that others use too. "alone" is a session that has the machine to itself. Exits 1
when under the default rule a model that is busy alone is slower than that by more than a quarter.
"""

import argparse
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np

from benchmarks import models
from benchmarks.harness import scratch
from benchmarks.table import show
from onnxd.runtime.onnx_session import OnnxSession
from onnxd.runtime.session_config import SessionConfig
from onnxd.runtime.thread_shares import Claim, Sharing, ThreadBudget, ThreadConfig
from onnxd.runtime.threads import cpu_budget
from onnxd.tensors import Array

ALLOWED: Final = 1.25
"""Medians of one run on a shared machine differ by a tenth without any cause."""
_GRAPHS: Final = {"wide": (512, 2048, 2048, 512), "deep": (256,) * 12}
"""A model with operators worth dividing, and one with many that are hardly."""
_ROWS: Final = 64
_RULES: Final[tuple[Sharing, ...]] = ("lend", "split")


@dataclass(slots=True)
class Times:
    """Seconds of each run under one rule."""

    one_busy: list[float] = field(default_factory=list)
    all_busy: list[float] = field(default_factory=list)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="a fifth of the rounds")
    parser.add_argument("--models", type=int, default=4)
    options = parser.parse_args()
    rounds = 5 if options.short else 25
    rows, misses = [], []
    for name, sizes in _GRAPHS.items():
        measured = measure(sizes, options.models, rounds)
        alone = median(measured["alone"].one_busy)
        together = median(measured["split"].all_busy)
        for rule in ("alone", *_RULES):
            times = measured[rule]
            busy = median(times.one_busy)
            row = [f"{name}, {rule}", f"{busy * 1e3:.2f}", f"{busy / alone:.2f}"]
            if times.all_busy:
                row += [f"{median(times.all_busy) * 1e3:.2f}", f"{median(times.all_busy) / together:.2f}"]
            rows.append(row + [""] * (5 - len(row)))
            if rule == ThreadConfig().sharing and busy > ALLOWED * alone:
                misses.append(f"{name}: busy alone it takes {busy / alone:.2f} times as long as by itself")
    columns = ["model and rule", "one busy, ms", "of alone", f"{options.models} busy, ms a run", "of split"]
    show(f"{options.models} models on {cpu_budget()} CPUs", columns, rows)
    for miss in misses:
        print("MISS:", miss)
    return 1 if misses else 0


def measure(sizes: Sequence[int], count: int, rounds: int) -> Mapping[str, Times]:
    """Times by rule, and of a session that is alone."""
    feed = {"x": np.random.default_rng(0).random((_ROWS, sizes[0]), np.float32)}
    with scratch() as directory, ExitStack() as opened:
        path = directory / "model.onnx"
        path.write_bytes(models.mlp(sizes=sizes))
        sessions: dict[str, list[OnnxSession]] = {
            rule: _sessions(path, rule, count, opened) for rule in _RULES
        }
        sessions["alone"] = _sessions(path, "lend", 1, opened)
        measured = {name: Times() for name in sessions}
        for group in sessions.values():
            for session in group:
                session.run(feed)
        for _ in range(rounds):
            for name, group in sessions.items():
                measured[name].one_busy += _runs(group[0], feed)
                if len(group) > 1:
                    measured[name].all_busy.append(_together(group, feed))
    return measured


def _sessions(path: Path, rule: Sharing, count: int, opened: ExitStack) -> list[OnnxSession]:
    """As many as the server would load at its start, with the pools that it would give them."""
    budget = ThreadBudget(cpu_budget(), rule)
    budget.expect(frozenset(map(str, range(count))))
    sessions = []
    for number in range(count):
        threads = opened.enter_context(budget.claim(str(number), Claim()))
        session = OnnxSession.open(path, SessionConfig(), threads)
        opened.callback(session.close)
        sessions.append(session)
    return sessions


def _runs(session: OnnxSession, feed: Mapping[str, Array], count: int = 20) -> list[float]:
    times = []
    for _ in range(count):
        start_s = time.perf_counter()
        session.run(feed)
        times.append(time.perf_counter() - start_s)
    return times


def _together(sessions: Sequence[OnnxSession], feed: Mapping[str, Array], count: int = 10) -> float:
    """Seconds a run, all of them running at once."""
    threads = [threading.Thread(target=_runs, args=(session, feed, count)) for session in sessions]
    start_s = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return (time.perf_counter() - start_s) / (count * len(sessions))


if __name__ == "__main__":
    sys.exit(main())
