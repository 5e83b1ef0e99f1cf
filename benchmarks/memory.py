"""What comes back of memory: after one run out of the ordinary, and after an unload.

    python -m benchmarks.memory [--short]

A server runs a small model and is watched from outside: resident memory after each step. Exits 1 when a big
run, once small ones have followed, or an unload leaves more than a quarter of what it took.
"""

import argparse
import itertools
import shutil
import sys
import time
from typing import Final

from benchmarks import models
from benchmarks.harness import Running, scratch, server
from benchmarks.payloads import ask_http, payload
from benchmarks.table import show

ALLOWED_SHARE: Final = 0.25
_SIZES: Final = (256, 4096, 4096, 256)
_TIMEOUT_S: Final = 60.0
_CONFIG: Final = "max_batch_size: 100000\nwarmup: {batch_sizes: [1]}\n"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="a big run of 2,000 rows instead of 6,000")
    rows = 2_000 if parser.parse_args().short else 6_000
    steps = measure(rows)
    start, small, _, later, gone = (size for _, size in steps)
    show(
        f"resident memory of the server, a model of {_weights_bytes() / 2**20:.0f} MiB",
        ["after", "MiB", "more than before"],
        [
            [name, f"{size / 2**20:.0f}", f"{(size - before) / 2**20:+.0f}"]
            for (name, size), before in zip(steps, [start, *(size for _, size in steps)], strict=False)
        ],
    )
    misses = []
    needed = rows * max(_SIZES) * 4
    if later - small > ALLOWED_SHARE * needed:
        misses.append(f"of about {needed / 2**20:.0f} MiB that the big run needed, too much stayed")
    if gone - start > ALLOWED_SHARE * (small - start):
        misses.append("too much of the model's memory stayed after its unload")
    for miss in misses:
        print("MISS:", miss)
    return 1 if misses else 0


def measure(rows: int) -> list[tuple[str, int]]:
    """Resident bytes after each step."""
    with scratch() as directory:
        repository = directory / "models"
        models.publish(repository, "small", models.mlp(), models.BATCHED)
        limits = ("--http-max-body", "-1", "--trial-memory", "-1")
        with server(repository, directory / "state", *limits) as running:
            steps = [("the start", running.resources().resident_bytes)]

            def note(step: str) -> None:
                steps.append((step, running.resources().resident_bytes))

            models.publish(repository, "wide", models.mlp(sizes=_SIZES), _CONFIG)
            _until(running, 200)
            for _ in range(20):
                _ask(running, 1)
            note("the load and 20 runs of one row")
            _ask(running, rows)
            note(f"a run of {rows} rows")
            for _ in range(100):
                _ask(running, 1)
            note("100 runs of one row")
            shutil.rmtree(repository / "wide")
            _until(running, 404)
            time.sleep(1)
            note("the unload")
            return steps


def _ask(running: Running, rows: int) -> int:
    status, _ = ask_http(running.http_port, payload("http binary", "wide", _SIZES[0], rows=rows))
    return status


def _until(running: Running, status: int) -> None:
    end_s = time.monotonic() + _TIMEOUT_S
    while _ask(running, 1) != status:
        if time.monotonic() > end_s:
            raise RuntimeError(f"the model did not answer {status} in {_TIMEOUT_S:g} s")
        time.sleep(0.1)


def _weights_bytes() -> int:
    return 4 * sum(wide * narrow for wide, narrow in itertools.pairwise(_SIZES))


if __name__ == "__main__":
    sys.exit(main())
