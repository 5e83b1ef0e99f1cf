"""Servers, baselines and load, round after round."""

import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc

from benchmarks import models
from benchmarks.harness import ROOT, SERVER_CORE, Running, baseline, on_core, scratch, server
from benchmarks.load import run_load
from benchmarks.payloads import Payload, ask_grpc, ask_http, ask_stream, get_json, get_text, payload
from benchmarks.wires.cells import CONSTANT, PLAIN, PLAIN_ROWS, WIDTHS, WIRES, Cell, Figure, Samples

_PLAIN_S: Final = 0.25
"""Of each batch size in a round."""
_GRAPHS: Final[Mapping[str, Callable[[], bytes]]] = {
    "identity": models.identity, "mlp": models.mlp, CONSTANT: models.constant, "convnet": models.convnet
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Bench:
    """What is up while it is measured."""

    targets: Mapping[str, Running]
    repository: Path
    scratch: Path

    def measure(self, cell: Cell, seconds: float, into: Samples) -> None:
        """One second, or so, of one cell."""
        target, asked = self.targets[cell.target], asked_of(cell)
        ours = cell.target not in WIRES[cell.wire]
        before = _statistics(target, cell.model) if ours else {}
        cpu_s = target.cpu_s()
        result = run_load(target.port_of(asked.wire), asked, cell.in_flight, seconds, self.scratch)
        cpu_s = target.cpu_s() - cpu_s
        into.failed += result.failed
        into.per_s.append(result.requests / seconds)
        into.cpu_us.append(max(cpu_s, 0.01) * 1e6 / max(result.requests, 1))
        into.p50_us.append(result.p50_us)
        into.p99_us.append(result.p99_us)
        if ours:
            after = _statistics(target, cell.model)
            runs = after["execution_count"] - before["execution_count"]
            into.batch.append((after["inference_count"] - before["inference_count"]) / max(runs, 1))

    def plain(self, model: str, into: Mapping[int, Samples]) -> None:
        """Plain ONNX Runtime, each batch size in turn."""
        path = self.repository / model / "1" / "model.onnx"
        sizes = [str(rows) for rows in into]
        command = [sys.executable, "-m", "benchmarks.baselines.plain_onnx", str(path), str(_PLAIN_S), *sizes]
        with on_core(SERVER_CORE):
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
        for (rows, samples), line in zip(into.items(), done.stdout.splitlines(), strict=True):
            total, cpu_s, wall_s = map(float, line.split())
            samples.per_s.append(total / wall_s)
            samples.cpu_us.append(cpu_s * 1e6 / total)
            samples.p50_us.append(wall_s * 1e6 * rows / total)
            samples.p99_us.append(samples.p50_us[-1])
            samples.batch.append(rows)

    def check(self, cell: Cell) -> None:
        """One request, whose answer is looked at: a load generator only counts. Raises RuntimeError."""
        target, asked = self.targets[cell.target], asked_of(cell)
        if asked.wire.startswith("grpc"):
            with grpc.insecure_channel(f"127.0.0.1:{target.grpc_port}") as channel:
                stream = asked.wire == "grpc stream"
                if not (ask_stream(channel, asked) if stream else ask_grpc(channel, asked)):
                    raise RuntimeError(f"an empty answer: {cell}")
            return
        status, body = ask_http(target.http_port, asked)
        if status != 200 or not body:
            raise RuntimeError(f"status {status} for {cell}: {body[:500]!r}")

    def failed(self, name: str) -> int:
        """Requests that a server has failed. Not those that a load generator has left at its end."""
        total = 0
        for line in get_text(self.targets[name].http_port, "/metrics").splitlines():
            if line.startswith("nv_inference_request_failure{") and 'reason="CANCELED"' not in line:
                total += int(float(line.rpartition(" ")[2]))
        return total


def measure(
    wanted: Sequence[Cell], flags: Mapping[str, Sequence[str]], rounds: int, seconds: float
) -> dict[Cell, Figure]:
    """Medians over the rounds. `flags` of each server by its name."""
    samples: defaultdict[Cell, Samples] = defaultdict(Samples)
    with _up(wanted, flags) as bench:
        for cell in wanted:
            bench.check(cell)
        for number in range(rounds):
            print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
            for model in sorted({cell.model for cell in wanted}):
                bench.plain(model, {rows: samples[Cell(PLAIN, model, "", rows)] for rows in PLAIN_ROWS})
            for cell in wanted:
                bench.measure(cell, seconds, samples[cell])
        for name in flags:
            first = next(cell for cell in wanted if cell.target == name)
            samples[first].failed += bench.failed(name)
    return {cell: each.figure() for cell, each in samples.items()}


def asked_of(cell: Cell) -> Payload:
    """The request that a cell is loaded with. What an echo is sent is for the model, too."""
    return payload(cell.wire, cell.model, WIDTHS[cell.model])


@contextmanager
def _up(wanted: Sequence[Cell], flags: Mapping[str, Sequence[str]]) -> Iterator[Bench]:
    with ExitStack() as resources:
        directory = resources.enter_context(scratch())
        repository = directory / "models"
        for name in {cell.model for cell in wanted}:
            models.publish(repository, name, _GRAPHS[name](), models.BATCHED)
        targets: dict[str, Running] = {}
        for name in dict.fromkeys(cell.target for cell in wanted):
            if name in flags:
                state = directory / f"state-{len(targets)}"
                run = server(repository, state, *flags[name], core=SERVER_CORE)
            else:
                run = baseline(name)
            targets[name] = resources.enter_context(run)
        yield Bench(targets, repository, directory)


def _statistics(target: Running, model: str) -> dict[str, Any]:
    (statistics,) = get_json(target.http_port, f"/v2/models/{model}/stats")["model_stats"]
    return dict(statistics)
