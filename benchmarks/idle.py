"""What a server costs that has nothing to do: its start, its memory, its CPU time.

    python -m benchmarks.idle [--short] [--starts N]

The shipped models, default settings. A start lasts from the command to the banner: listening, and the models
loaded. Exits 1 when an idle server uses more than 1 % of a core.
"""

import argparse
import sys
import time
from statistics import median
from typing import Final

from benchmarks.harness import ROOT, scratch, server
from benchmarks.table import show

CPU_LIMIT: Final = 0.01
_PAUSE_S: Final = 12.0
"""Longer than the server keeps an idle trial process (10 s)."""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="one start")
    parser.add_argument("--starts", type=int)
    options = parser.parse_args()
    starts: int = options.starts or (1 if options.short else 5)
    seconds, memory = [], []
    cpu_share = 0.0
    with scratch() as directory:
        for number in range(starts):
            start_s = time.monotonic()
            with server(ROOT / "model_repository", directory / f"state-{number}") as running:
                seconds.append(time.monotonic() - start_s)
                memory.append(running.resources().resident_bytes / 2**20)
                if number == starts - 1:
                    time.sleep(_PAUSE_S)
                    before_s = running.cpu_s()
                    time.sleep(_PAUSE_S)
                    cpu_share = (running.cpu_s() - before_s) / _PAUSE_S
                    rest = running.resources()
    rows = [
        ["seconds from the command to the banner", f"{median(seconds):.2f}", f"{max(seconds):.2f}"],
        ["resident MiB at the banner", f"{median(memory):.1f}", f"{max(memory):.1f}"],
        ["resident MiB at rest", f"{rest.resident_bytes / 2**20:.1f}", ""],
        ["threads at rest", str(rest.threads), ""],
        ["descriptors at rest", str(rest.descriptors), ""],
        ["share of a core at rest", f"{100 * cpu_share:.2f} %", ""],
    ]
    show(f"a server with the shipped models, {starts} starts", ["", "median", "worst"], rows)
    if cpu_share > CPU_LIMIT:
        print(f"MISS: an idle server uses over {100 * CPU_LIMIT:.0f} % of a core")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
