"""What a server with one small model holds: at rest, and after a million requests.

    python -m benchmarks.resident [--short] [--requests N] [--server FLAGS]

The MLP, asked by 64 connections over HTTP binary, by 64 calls in flight over gRPC, and by 64 messages in
flight on streams, in turns. Exits 1 when a request failed, when the server holds over MOST_MIB at rest, or
when it holds over MOST_GROWTH times as much at the end as after the first tenth of the requests.
"""

import argparse
import shlex
import sys
from itertools import cycle
from pathlib import Path
from typing import Final

from benchmarks import models
from benchmarks.harness import Running, scratch, server
from benchmarks.load import run_load
from benchmarks.payloads import payload
from benchmarks.table import show

MOST_MIB: Final = 114.4
"""120 MB."""
MOST_GROWTH: Final = 1.02
_IN_FLIGHT: Final = 64
_WIRES: Final = ("http binary", "grpc", "grpc stream")
_TENTHS: Final = 10


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="20,000 requests")
    parser.add_argument("--requests", type=int)
    parser.add_argument("--server", default="", metavar="FLAGS", help="of `onnxd serve`, in one word")
    options = parser.parse_args()
    wanted: int = options.requests or (20_000 if options.short else 1_000_000)
    with scratch() as directory:
        models.publish(directory / "models", "mlp", models.mlp(), models.BATCHED)
        flags = shlex.split(options.server)
        with server(directory / "models", directory / "state", *flags) as running:
            at_rest = _mib(running)
            held, failed = _under_load(running, wanted, directory)
    rows = [["at rest", "0", f"{at_rest:.1f}"]]
    rows += [[f"after tenth {tenth}", f"{sent:,}", f"{mib:.1f}"] for tenth, (sent, mib) in enumerate(held, 1)]
    show(f"one small model {options.server}", ["", "requests", "resident MiB"], rows)
    growth = held[-1][1] / held[0][1]
    print(f"grown since the first tenth: {100 * (growth - 1):.1f} %")
    misses = [f"{failed} requests failed"] if failed else []
    if at_rest > MOST_MIB:
        misses.append(f"{at_rest:.1f} MiB at rest, more than {MOST_MIB:g}")
    if growth > MOST_GROWTH:
        misses.append(f"{growth:.3f} times as much at the end as after a tenth of the requests")
    for miss in misses:
        print("MISS:", miss)
    return 1 if misses else 0


def _under_load(running: Running, wanted: int, directory: Path) -> tuple[list[tuple[int, float]], int]:
    """(requests so far, MiB) at each tenth, and how many failed."""
    held: list[tuple[int, float]] = []
    sent = failed = 0
    for wire in cycle(_WIRES):
        asked = payload(wire, "mlp", 784)
        done = run_load(running.port_of(wire), asked, _IN_FLIGHT, 2, directory)
        sent, failed = sent + done.requests, failed + done.failed
        while len(held) < _TENTHS and sent >= (len(held) + 1) * wanted / _TENTHS:
            held.append((sent, _mib(running)))
        if len(held) == _TENTHS:
            return held, failed
        if not done.requests:
            raise RuntimeError(f"no request over {wire} was answered in two seconds")
    raise AssertionError("cycle() ends only where there is nothing")


def _mib(running: Running) -> float:
    return running.resources().resident_bytes / 2**20


if __name__ == "__main__":
    sys.exit(main())
