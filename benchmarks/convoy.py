"""What it costs a run to be on a thread while another thread keeps the interpreter busy.

    python -m benchmarks.convoy [--short]

A session's run gives the interpreter up, and at its end waits to have it back: until the busy thread polls,
or, when it never does, for the switch interval. The MLP, one row, runs on a thread beside a loop that does
nothing but compute, and beside one that polls after each 30 µs of work, as a server's does; for several
intervals, in turns. It also shows what the loop loses by each interval. Exits 1 when nothing was measured.
"""

import argparse
import os
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np

from benchmarks import models
from benchmarks.harness import scratch
from benchmarks.table import show
from onnxd.runtime.onnx_session import OnnxSession
from onnxd.runtime.session_config import SessionConfig

INTERVALS_S: Final = (5e-3, 1e-3, 1e-4, 1e-5)
"""The first is Python's own."""
_WORK_S: Final = 30e-6
_FOR_S: Final = 0.15
_X: Final = {"x": np.ones((1, 784), np.float32)}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="3 rounds")
    rounds = 3 if parser.parse_args().short else 9
    runs_us: defaultdict[tuple[bool, float], list[float]] = defaultdict(list)
    turns: defaultdict[tuple[bool, float], list[int]] = defaultdict(list)
    alone_us: list[float] = []
    before_s = sys.getswitchinterval()
    with scratch() as directory:
        session = _session(directory)
        try:
            for _ in range(rounds):
                alone_us.append(_alone(session))
                for polls in (False, True):
                    for interval_s in INTERVALS_S:
                        sys.setswitchinterval(interval_s)
                        run_us, count = _beside(session, polls=polls)
                        runs_us[polls, interval_s].append(run_us)
                        turns[polls, interval_s].append(count)
        finally:
            sys.setswitchinterval(before_s)
            session.close()
    rows = [["alone", "", f"{median(alone_us):.0f}", ""]]
    for (polls, interval_s), each in runs_us.items():
        loop = "that polls" if polls else "that only computes"
        lost = median(turns[polls, interval_s]) / median(turns[polls, INTERVALS_S[0]])
        rows.append(
            [f"beside a loop {loop}", f"{1e6 * interval_s:.0f}", f"{median(each):.0f}", f"{lost:.2f}"]
        )
    title = f"a run of the MLP on a thread, medians of {rounds} rounds"
    show(title, ["", "switch interval us", "run us", "work of the loop, of that with 5 ms"], rows)
    return 0 if alone_us else 1


def _session(directory: Path) -> OnnxSession:
    path = directory / "model.onnx"
    path.write_bytes(models.mlp())
    session = OnnxSession.open(path, SessionConfig(), threads=1)
    session.run(_X)
    return session


def _alone(session: OnnxSession) -> float:
    runs, start_s = 0, time.monotonic()
    while time.monotonic() - start_s < _FOR_S:
        session.run(_X)
        runs += 1
    return (time.monotonic() - start_s) / runs * 1e6


def _beside(session: OnnxSession, *, polls: bool) -> tuple[float, int]:
    """Microseconds of a run, and how often the loop has done its work meanwhile."""
    taken_us: list[float] = []
    thread = threading.Thread(target=lambda: taken_us.append(_alone(session)))
    readable, writable = os.pipe()
    thread.start()
    turns = 0
    while thread.is_alive():
        end_s = time.perf_counter() + _WORK_S
        while time.perf_counter() < end_s:
            pass
        if polls:
            os.write(writable, b"1")
            os.read(readable, 1)
        turns += 1
    thread.join()
    os.close(readable)
    os.close(writable)
    return taken_us[0], turns


if __name__ == "__main__":
    sys.exit(main())
