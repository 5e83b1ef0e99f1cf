"""What telemetry costs: CPU of the server for a request, with it and without.

    python -m benchmarks.telemetry_cost [--short] [--rounds N] [--in-flight N] [--wire WIRE ...]

One server (switching_server.py) is under load on a core of its own and changes its mode every few seconds,
so that what the machine does meanwhile meets all modes alike: use the ratios. They are medians over the
rounds of the ratio within a round. CPU is of all threads of the server, those that write the log and send
spans among them. The goals: `logged` to `untold` (all that is recorded, and a line as JSON for each request)
under 5 %, `traced` to `default` (one request in a hundred, and those that are slow) under 3 %.

Exits 1 when a request failed. The figures are printed, not judged: a machine that others use as well moves
them by more than what is measured, so look at the spread.
"""

import argparse
import json
import sys
from pathlib import Path
from statistics import median, quantiles
from typing import Final

from benchmarks import models
from benchmarks.harness import SERVER_CORE, baseline, scratch, server
from benchmarks.load import notes, run_load
from benchmarks.payloads import payload
from benchmarks.switching_server import MODES
from benchmarks.table import show

WIRES: Final = ("http binary", "grpc")
GOALS: Final = (("default", "untold", None), ("logged", "untold", 0.05), ("traced", "default", 0.03))
_TURN_S: Final = 3.3
_WARM_S: Final = 3
_LEAST_TURNS: Final = 2

Turns = dict[str, list[float]]
"""CPU microseconds of a request by mode, one for each round."""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="4 rounds: about two minutes")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--in-flight", type=int, default=32)
    parser.add_argument("--wire", nargs="+", choices=WIRES, default=list(WIRES))
    options = parser.parse_args()
    rounds: int = options.rounds or (4 if options.short else 20)
    failed = 0
    for note in notes():
        print(note)
    for wire in options.wire:
        turns, wrong = _measured(wire, rounds, options.in_flight)
        failed += wrong
        _report(wire, turns)
    if failed:
        print(f"{failed} requests failed")
    return 1 if failed else 0


def _measured(wire: str, rounds: int, in_flight: int) -> tuple[Turns, int]:
    with scratch() as directory, baseline("otlp_sink") as sink:
        repository, file = directory / "models", directory / "turns"
        models.publish(repository, "identity", models.identity(), models.BATCHED)
        arguments = (
            "--log-access", "1.0", "--log-format", "json",
            "--tracing-endpoint", f"http://127.0.0.1:{sink.grpc_port}", "--tracing-sample-ratio", "0.01",
        )  # fmt: skip
        with server(
            repository, directory / "state", *arguments,
            core=SERVER_CORE, program="benchmarks.switching_server", ONNXD_BENCH_TURNS=str(file),
        ) as running:  # fmt: skip
            asked = payload(wire, "identity", 4)
            run_load(running.port_of(wire), asked, in_flight, _WARM_S, directory)
            file.write_text("")
            seconds = int(_TURN_S * len(MODES) * rounds + _TURN_S)
            result = run_load(running.port_of(wire), asked, in_flight, seconds, directory)
            return _turns(file), result.failed


def _turns(file: Path) -> Turns:
    turns: Turns = {mode: [] for mode in MODES}
    for line in file.read_text().splitlines():
        mode, cpu_s, requests = json.loads(line)
        if requests > 100:  # else the load was not there for all of it
            turns[mode].append(cpu_s / requests * 1e6)
    whole = min(map(len, turns.values()))
    if whole < _LEAST_TURNS:
        raise RuntimeError(f"only {whole} whole rounds were under load: the server's turns are in {file}")
    return {mode: values[:whole] for mode, values in turns.items()}


def _report(wire: str, turns: Turns) -> None:
    rows = []
    for name, against, goal in GOALS:
        ratios = [mine / theirs - 1 for mine, theirs in zip(turns[name], turns[against], strict=True)]
        low, middle, high = quantiles(ratios, n=4)
        rows.append(
            (
                name, f"{median(turns[name]):.1f}", against, f"{100 * middle:+.1f} %",
                f"{100 * low:+.1f} to {100 * high:+.1f} %", f"under {100 * goal:.0f} %" if goal else "",
            )
        )  # fmt: skip
    columns = ("mode", "us CPU", "more than", "median", "half of the rounds", "goal")
    show(f"{wire}: CPU of a request; untold takes {median(turns['untold']):.1f} us", columns, rows)


if __name__ == "__main__":
    sys.exit(main())
