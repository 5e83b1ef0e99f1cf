"""Requests per CPU second of the server, over each wire, beside bare front ends and plain ONNX Runtime.

    python -m benchmarks.front_ends [--short] [--rounds N] [--in-flight N ...] [--json FILE]

All servers are up on one core, the load is on another, and each round visits every cell once, so that what
the machine does meanwhile meets them all alike: use the ratios. CPU seconds are user and system time of all
threads of the server's process; its child processes (trials of models) are not counted. Exits 1 when a
request failed, or when a baseline is too slow to prove anything.
"""

import argparse
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import grpc

from benchmarks import models
from benchmarks.front_end_report import ECHOES, OURS, PLAIN, Cell, Samples, report
from benchmarks.harness import ROOT, SERVER_CORE, Running, baseline, on_core, scratch, server
from benchmarks.load import run_load
from benchmarks.payloads import Payload, ask_grpc, ask_http, get_json, payload

WIRES: Final = ("http json", "http binary", "grpc")
WIDTHS: Final = {"identity": 4, "mlp": 784}


def cells(in_flights: list[int]) -> Iterator[Cell]:
    """In the order of a round."""
    for model in WIDTHS:
        for rows in (1, models.ROWS):
            yield Cell(PLAIN, model, "", rows)
        for wire in WIRES:
            for in_flight in in_flights:
                for target in (OURS, *ECHOES[wire]):
                    yield Cell(target, model, wire, in_flight)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="64 in flight only, 3 rounds: about a minute")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=int, default=1, help="of each cell in a round")
    parser.add_argument("--in-flight", type=int, nargs="+")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    rounds: int = options.rounds or (3 if options.short else 5)
    wanted = list(cells(options.in_flight or ([64] if options.short else [1, 8, 64])))
    figures = measure(wanted, rounds, options.seconds)
    return report(figures, rounds, options.json)


def measure(wanted: list[Cell], rounds: int, seconds: int) -> dict[Cell, dict[str, float]]:
    """Medians over the rounds."""
    samples: dict[Cell, Samples] = defaultdict(Samples)
    with ExitStack() as resources:
        directory = resources.enter_context(scratch())
        repository = directory / "models"
        graphs = {"identity": models.identity(), "mlp": models.mlp()}
        for name, graph in graphs.items():
            models.publish(repository, name, graph, models.BATCHED)
        targets = {OURS: resources.enter_context(server(repository, directory / "state", core=SERVER_CORE))}
        for name in ("aiohttp_echo", "protocol_echo", "grpc_echo"):
            targets[name] = resources.enter_context(baseline(name))
        payloads = {
            (model, wire): payload(wire, model, width) for model, width in WIDTHS.items() for wire in WIRES
        }
        for cell in wanted:
            if cell.target != PLAIN:
                _check(targets[cell.target], payloads[cell.model, cell.wire])
        for number in range(rounds):
            print(f"round {number + 1} of {rounds}", file=sys.stderr)
            for cell in wanted:
                if cell.target == PLAIN:
                    _plain(cell, repository, seconds, samples[cell])
                else:
                    asked = payloads[cell.model, cell.wire]
                    _loaded(cell, targets[cell.target], asked, seconds, directory, samples[cell])
        for model in WIDTHS:
            refused = _statistics(targets[OURS], model)["inference_stats"]["fail"]["count"]
            samples[
                next(cell for cell in wanted if cell.target == OURS and cell.model == model)
            ].failed += refused
    return {cell: each.medians() for cell, each in samples.items()}


def _plain(cell: Cell, repository: Path, seconds: int, into: Samples) -> None:
    path = repository / cell.model / "1" / "model.onnx"
    width, rows = str(WIDTHS[cell.model]), str(cell.in_flight)
    command = [sys.executable, "-m", "benchmarks.baselines.plain_onnx", str(path), width, rows, str(seconds)]
    with on_core(SERVER_CORE):
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=60 + seconds, check=True
        )
    total, cpu_s, wall_s = map(float, done.stdout.split())
    into.per_cpu_s.append(total / cpu_s)
    into.per_s.append(total / wall_s)
    into.latency_us.append(wall_s / (total / cell.in_flight) * 1e6)


def _loaded(cell: Cell, target: Running, asked: Payload, seconds: int, scratch: Path, into: Samples) -> None:
    ours = cell.target == OURS
    before = _statistics(target, cell.model) if ours else {}
    cpu_s = target.cpu_s()
    result = run_load(target.port_of(asked.wire), asked, cell.in_flight, seconds, scratch)
    cpu_s = target.cpu_s() - cpu_s
    into.failed += result.failed
    into.per_cpu_s.append(result.requests / max(cpu_s, 0.01))
    into.per_s.append(result.requests / seconds)
    into.latency_us.append(result.latency_us)
    if ours:
        after = _statistics(target, cell.model)
        runs = after["execution_count"] - before["execution_count"]
        into.batch.append((after["inference_count"] - before["inference_count"]) / max(runs, 1))


def _check(target: Running, asked: Payload) -> None:
    """One request, whose answer is looked at: a load generator only counts."""
    if asked.wire == "grpc":
        with grpc.insecure_channel(f"127.0.0.1:{target.grpc_port}") as channel:
            if not ask_grpc(channel, asked):
                raise RuntimeError("an empty answer over gRPC")
        return
    status, body = ask_http(target.http_port, asked)
    if status != 200 or not body:
        raise RuntimeError(f"status {status} for {asked.path} as {asked.wire}: {body[:500]!r}")


def _statistics(target: Running, model: str) -> dict[str, Any]:
    (statistics,) = get_json(target.http_port, f"/v2/models/{model}/stats")["model_stats"]
    return dict(statistics)


if __name__ == "__main__":
    sys.exit(main())
