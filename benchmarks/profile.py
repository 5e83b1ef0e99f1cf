"""The share that each layer has of a request's CPU time in the server.

    python -m benchmarks.profile [--model M] [--wire W ...] [--in-flight N] [--seconds S] [--server FLAGS]
                                 [--lines N]

The server runs with a sampler in it (sampled_server.py), and what it says is put together by module
(layers.py). "other threads" are those of ONNX Runtime, of instances beside the loop, and of grpc.aio.
`--lines` shows the dearest lines as well. Exits 1 when a request failed.
"""

import argparse
import json
import linecache
import os
import shlex
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks import models
from benchmarks.harness import SERVER_CORE, Running, scratch, server
from benchmarks.layers import LAYERS, layer_of
from benchmarks.load import run_load
from benchmarks.payloads import payload
from benchmarks.table import show
from benchmarks.wires.cells import MODELS, WIDTHS, WIRES

_GRAPHS: Final[Mapping[str, Callable[[], bytes]]] = {
    "identity": models.identity,
    "mlp": models.mlp,
    "convnet": models.convnet,
}
_TRIES: Final = 200
Line = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Profile:
    """Of one wire, for a request."""

    cpu_us: float
    layers: Mapping[str, float]
    """Microseconds."""
    lines: Mapping[Line, float]
    failed: int


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", choices=MODELS, default="mlp")
    parser.add_argument("--wire", nargs="+", choices=tuple(WIRES), default=list(WIRES))
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--server", default="", metavar="FLAGS", help="of `onnxd serve`, in one word")
    parser.add_argument("--lines", type=int, default=0, help="show so many of the dearest lines")
    options = parser.parse_args()
    profiles = {}
    with scratch() as directory:
        repository, samples = directory / "models", directory / "samples.json"
        models.publish(repository, options.model, _GRAPHS[options.model](), models.BATCHED)
        with server(
            repository,
            directory / "state",
            *shlex.split(options.server),
            core=SERVER_CORE,
            program="benchmarks.sampled_server",
            SAMPLES=str(samples),
        ) as running:
            for wire in options.wire:
                profiles[wire] = measure(
                    running, samples, options.model, wire, options.in_flight, options.seconds
                )
    title = f"{options.model}, {options.in_flight} in flight {options.server}: CPU us of a request (share)"
    show(title, ["layer", *profiles], _rows(profiles))
    for wire, each in profiles.items():
        _show_lines(wire, each, options.lines)
    failed = sum(each.failed for each in profiles.values())
    if failed:
        print(f"MISS: {failed} requests failed")
    return 1 if failed else 0


def measure(running: Running, samples: Path, model: str, wire: str, in_flight: int, seconds: int) -> Profile:
    """One wire under load, after a second of it that does not count."""
    asked = payload(wire, model, WIDTHS[model])
    port = running.port_of(wire)
    run_load(port, asked, in_flight, 1, samples.parent)
    _read(running, samples)
    result = run_load(port, asked, in_flight, seconds, samples.parent)
    process_ns, spent = _read(running, samples)
    us = 1e-3 / max(result.requests, 1)
    lines = {line: spent_ns * us for line, spent_ns in spent.items()}
    layers: defaultdict[str, float] = defaultdict(float)
    for (path, number), spent_us in lines.items():
        layers[layer_of(path, linecache.getline(path, number))] += spent_us
    cpu_us = process_ns * us
    layers["other threads"] = max(0.0, cpu_us - sum(lines.values()))
    return Profile(cpu_us, layers, lines, result.failed)


def _read(running: Running, samples: Path) -> tuple[int, dict[Line, int]]:
    """CPU time of the process, and that of each line, since it was read last."""
    samples.unlink(missing_ok=True)
    os.kill(running.pid, signal.SIGUSR2)
    for _ in range(_TRIES):
        if samples.exists():
            content = json.loads(samples.read_text())
            return content["process_ns"], {(p, n): spent for p, n, spent in content["lines"]}
        time.sleep(0.02)
    raise RuntimeError("the server did not write its samples")


def _rows(profiles: Mapping[str, Profile]) -> list[list[str]]:
    rows = []
    for layer in LAYERS:
        spent = [(each.layers.get(layer, 0.0), each.cpu_us) for each in profiles.values()]
        rows.append([layer, *(f"{us:.1f} ({100 * us / cpu_us:.0f} %)" for us, cpu_us in spent)])
    return [*rows, ["all", *(f"{each.cpu_us:.1f}" for each in profiles.values())]]


def _show_lines(wire: str, profile: Profile, count: int) -> None:
    dearest: Sequence[tuple[Line, float]] = sorted(profile.lines.items(), key=lambda each: -each[1])[:count]
    if dearest:
        rows = [
            [
                f"{'/'.join(Path(path).parts[-2:])}:{number}",
                f"{spent_us:.2f}",
                linecache.getline(path, number).strip()[:90],
            ]
            for (path, number), spent_us in dearest
        ]
        show(wire, ["line", "us", ""], rows)


if __name__ == "__main__":
    sys.exit(main())
