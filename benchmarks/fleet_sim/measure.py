"""How long a run of a one-core replica is, front end and all, and its start: measured on real servers.

    python -m benchmarks.fleet --measure

A server on one core is loaded over HTTP with more and more in flight. Its CPU time, divided by its runs, is
the time of a run with its mean rows: what is received, batched, computed and sent for them. A robust line
through these points is what the simulated replicas take. CPU time and not a clock's, so that what else the
machine does is mostly left out.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.fleet_sim.encoder import TOKENS, encoder
from benchmarks.harness import SERVER_CORE, Running, scratch, server
from benchmarks.load import run_load
from benchmarks.models import CONVNET_WIDTH, convnet, mlp, publish
from benchmarks.payloads import JSON_LENGTH_HEADER, Payload, get_text, payload
from onnxd.scheduler.line import Line, Point, robust_line

MEASURED: Final = Path(__file__).with_name("measured.json")
_STARTS: Final = 3
_IN_FLIGHT: Final = (1, 4, 16, 64)
_SECONDS: Final = 3.0
_MLP_WIDTH: Final = 784


@dataclass(frozen=True, slots=True)
class Service:
    """A model on a replica of one core: how long its runs are and how many rows they may have."""

    name: str
    what: str
    line: Line
    max_rows: int
    points: tuple[tuple[float, float], ...] = ()
    """What was measured: mean rows and CPU seconds of a run."""

    @property
    def capacity(self) -> float:
        """Requests a second of a replica whose runs are all full."""
        return self.max_rows / self.line.at(self.max_rows)


@dataclass(frozen=True, slots=True)
class Measured:
    """All that the simulation takes from real servers."""

    services: Mapping[str, Service]
    start_s: float
    """From the command until a server with the three models is ready."""


def read(path: Path = MEASURED) -> Measured:
    """What was measured last."""
    document: Any = json.loads(path.read_text())
    services = {
        each["name"]: Service(
            each["name"],
            each["what"],
            Line(**each["line"]),
            each["max_rows"],
            tuple((rows, seconds) for rows, seconds in each["points"]),
        )
        for each in document["services"]
    }
    return Measured(services, document["start_s"])


def write(measured: Measured, path: Path = MEASURED) -> None:
    """For `read`, in figures of five digits."""
    services = [asdict(each) for each in measured.services.values()]
    document = _rounded({"start_s": measured.start_s, "services": services})
    path.write_text(json.dumps(document, indent=1) + "\n")


def measure() -> Measured:
    """About a minute and a half."""
    asked = {
        "mlp": payload("http binary", "mlp", _MLP_WIDTH),
        "image": payload("http binary", "image", CONVNET_WIDTH),
        "text": _text_payload(),
    }
    kinds = {
        "mlp": ("MLP 784-256-10", mlp(), 64),
        "image": ("five convolutions on 3 x 32 x 32", convnet(), 16),
        "text": (f"six layers of attention, {TOKENS} tokens", encoder(), 8),
    }
    with scratch() as directory:
        for name, (_, graph, max_rows) in kinds.items():
            publish(directory / "models", name, graph, f"max_batch_size: {max_rows}\n")
        starts = []
        for number in range(_STARTS):
            start_s = time.monotonic()
            with server(
                directory / "models", directory / f"s{number}", core=SERVER_CORE, ONNXD_THREADS_BUDGET="1"
            ) as running:
                starts.append(time.monotonic() - start_s)
                if number < _STARTS - 1:
                    continue
                services = {
                    name: _service(running, name, what, max_rows, asked[name], directory)
                    for name, (what, _, max_rows) in kinds.items()
                }
    return Measured(services, median(starts))


def _service(
    running: Running, name: str, what: str, max_rows: int, asked: Payload, directory: Path
) -> Service:
    points = []
    run_load(running.http_port, asked, 8, 1.0, directory)  # the first runs of a model are its slowest
    for in_flight in _IN_FLIGHT:
        rows, runs, cpu_s = (-before for before in _counted(running, name))
        result = run_load(running.http_port, asked, in_flight, _SECONDS, directory)
        if result.failed:
            raise RuntimeError(f"{result.failed} requests to {name} failed")
        after = _counted(running, name)
        rows, runs, cpu_s = rows + after[0], runs + after[1], cpu_s + after[2]
        points.append((rows / runs, cpu_s / runs))
    # Of a thousand runs, since the line is one through whole rows.
    line = robust_line([Point(round(1000 * rows), 1000 * seconds) for rows, seconds in points])
    return Service(name, what, Line(line.base_s / 1000, line.per_row_s), max_rows, tuple(points))


def _counted(running: Running, model: str) -> tuple[float, float, float]:
    """Rows, runs and CPU seconds so far."""
    found = {"nv_inference_count": 0.0, "nv_inference_exec_count": 0.0}
    for family in text_string_to_metric_families(get_text(running.http_port, "/metrics")):
        for sample in family.samples:
            name = sample.name.removesuffix("_total")
            if sample.labels.get("model") == model and name in found:
                found[name] += sample.value
    return found["nv_inference_count"], found["nv_inference_exec_count"], running.cpu_s()


def _text_payload() -> Payload:
    ids = np.arange(TOKENS, dtype=np.int64)
    tensor = {"name": "ids", "shape": [1, TOKENS], "datatype": "INT64"}
    document = {
        "inputs": [{**tensor, "parameters": {"binary_data_size": ids.nbytes}}],
        "parameters": {"binary_data_output": True},
    }
    head = json.dumps(document, separators=(",", ":")).encode()
    headers = {"Content-Type": "application/octet-stream", JSON_LENGTH_HEADER: str(len(head))}
    return Payload("http binary", "/v2/models/text/infer", head + ids.tobytes(), headers)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    return value
