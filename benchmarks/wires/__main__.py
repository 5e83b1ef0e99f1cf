"""What a request costs over each wire, beside bare front ends and plain ONNX Runtime: `make bench`.

    python -m benchmarks.wires [--short] [--rounds N] [--models M ...] [--wires W ...] [--in-flight N ...]
                               [--server FLAGS] [--variant NAME FLAGS] [--json FILE] [--plot FILE]

All servers are up on one core, the load is on another, and each round visits every cell once, so that what
the machine does meanwhile meets them all alike: use the ratios. CPU time is user and system time of all
threads of the server's process; its child processes (trials of models) are not counted. FLAGS are of
`onnxd serve`; a variant is another server beside the first.

Exits 1 when a request failed, or when a baseline is too slow to prove anything; what is to be reached is
printed, reached or not.
"""

import argparse
import shlex
import sys
from pathlib import Path

from benchmarks.wires.cells import MODELS, ONNXD, WIRES, Wanted
from benchmarks.wires.measure import measure
from benchmarks.wires.plot import plot
from benchmarks.wires.report import report


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="3 rounds of what is to be reached: 2 minutes")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=int, default=1, help="of each cell in a round")
    parser.add_argument("--models", nargs="+", choices=MODELS)
    parser.add_argument("--wires", nargs="+", choices=tuple(WIRES))
    parser.add_argument("--in-flight", type=int, nargs="+")
    parser.add_argument("--server", default="", metavar="FLAGS", help="of the server, in one word")
    parser.add_argument("--variant", nargs=2, action="append", default=[], metavar=("NAME", "FLAGS"))
    parser.add_argument("--baselines", action="store_true", help="print the baselines' own figures too")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--plot", type=Path, help="draw them into this file")
    options = parser.parse_args()
    flags = {ONNXD: shlex.split(options.server)}
    flags.update((name, shlex.split(words)) for name, words in options.variant)
    rounds: int = options.rounds or (3 if options.short else 5)
    wanted = Wanted(
        servers=tuple(flags),
        models=options.models or MODELS,
        wires=options.wires or tuple(WIRES),
        in_flight=options.in_flight or ((1, 64) if options.short else (1, 8, 64)),
        short=options.short,
    )
    figures = measure([*wanted.cells()], flags, rounds, options.seconds)
    if options.plot is not None:
        plot(figures, tuple(flags), options.plot)
    return report(figures, tuple(flags), rounds, baselines=options.baselines, file=options.json)


if __name__ == "__main__":
    sys.exit(main())
