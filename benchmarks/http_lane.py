"""What the HTTP lane saves: requests per CPU second of the server, with it and without, beside bare echoes.

    python -m benchmarks.http_lane [--rounds N] [--seconds N] [--connections N]

Identity in HTTP binary: a row of 16 bytes, and 600 KB in 16 connections. All servers are up on one core, the
load is on another, and each round visits every cell once: use the ratios. Exits 1 when a request failed or
the lane does not save anything.
"""

import argparse
import sys
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import replace
from statistics import median
from typing import Final

from benchmarks import models
from benchmarks.harness import SERVER_CORE, Running, baseline, scratch, server
from benchmarks.load import notes, run_load
from benchmarks.payloads import Payload, ask_http, payload
from benchmarks.table import show

_LARGE: Final = 150_000
"""FP32 numbers: 600 KB."""
_LARGE_CONNECTIONS: Final = 16
LANE: Final = "onnxd, lane"
AIOHTTP: Final = "onnxd, aiohttp"
_ECHOES: Final = ("aiohttp_echo", "protocol_echo")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=1)
    parser.add_argument("--connections", type=int, default=64)
    options = parser.parse_args()
    rates: dict[tuple[str, str], list[float]] = defaultdict(list)
    failed = 0
    with ExitStack() as resources:
        directory = resources.enter_context(scratch())
        repository = directory / "models"
        models.publish(repository, "identity", models.identity(), models.BATCHED)
        wide = models.identity(_LARGE)
        models.publish(repository, "wide", wide, models.BATCHED)
        targets: dict[str, Running] = {
            LANE: resources.enter_context(server(repository, directory / "lane", core=SERVER_CORE)),
            AIOHTTP: resources.enter_context(
                server(repository, directory / "aiohttp", "--no-http-lane", core=SERVER_CORE)
            ),
        }
        targets |= {name: resources.enter_context(baseline(name)) for name in _ECHOES}
        cells: dict[str, tuple[Payload, int]] = {
            "16 bytes": (payload("http binary", "identity", 4), options.connections),
            "600 KB": (
                replace(payload("http binary", "identity", _LARGE), path="/v2/models/wide/infer"),
                _LARGE_CONNECTIONS,
            ),
        }
        for asked, _ in cells.values():
            for target in targets.values():
                status, body = ask_http(target.http_port, asked)
                if status != 200 or not body:
                    raise RuntimeError(f"status {status}: {body[:500]!r}")
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
            for size, (asked, connections) in cells.items():
                for name, target in targets.items():
                    cpu_s = target.cpu_s()
                    result = run_load(target.http_port, asked, connections, options.seconds, directory)
                    rates[size, name].append(result.requests / max(target.cpu_s() - cpu_s, 0.01))
                    failed += result.failed
    medians = {cell: median(each) for cell, each in rates.items()}
    lines = [
        [
            size,
            name,
            f"{rate:.0f}",
            f"{1e6 / rate:.1f}",
            *(f"{rate / medians[size, echo]:.2f}" for echo in _ECHOES),
            f"{rate / medians[size, AIOHTTP]:.2f}",
        ]
        for (size, name), rate in medians.items()
    ]
    columns = ["row", "server", "req/CPU s", "CPU us", "x aiohttp echo", "x protocol echo", "x without lane"]
    title = f"identity, HTTP binary, {options.connections} connections (600 KB: {_LARGE_CONNECTIONS})"
    show(title, columns, lines)
    for note in notes():
        print("note:", note)
    slower = [size for size in ("16 bytes", "600 KB") if medians[size, LANE] < medians[size, AIOHTTP]]
    for size in slower:
        print(f"MISS: the lane is slower than aiohttp at {size}")
    return 1 if failed or slower else 0


if __name__ == "__main__":
    sys.exit(main())
