"""What is measured, and what a measurement gives."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from benchmarks import models

ONNXD: Final = "onnxd"
PLAIN: Final = "plain ONNX Runtime"
CONSTANT: Final = "constant"
"""The MLP replaced by a constant: another model of the same server."""
HTTP_ECHOES: Final = ("aiohttp_echo", "protocol_echo")
GRPC_ECHOES: Final = ("grpc_echo", "http2_echo")
WIRES: Final = {
    "http json": HTTP_ECHOES, "http binary": HTTP_ECHOES, "grpc": GRPC_ECHOES, "grpc stream": GRPC_ECHOES
}  # fmt: skip
"""With the bare front ends of each, the usual one and the lean one."""
WIDTHS: Final = {"identity": 4, "mlp": 784, CONSTANT: 784, "convnet": models.CONVNET_WIDTH}
MODELS: Final = ("identity", "mlp", "convnet")
PLAIN_ROWS: Final = (1, 8, 64)
"""Batches of plain ONNX Runtime, of which the best counts."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One thing that is measured in each round."""

    target: str
    """A server, a baseline, or plain ONNX Runtime."""
    model: str
    wire: str
    """"" for plain ONNX Runtime."""
    in_flight: int
    """For plain ONNX Runtime the rows of a batch."""


Figures = Mapping[Cell, "Figure"]


@dataclass(frozen=True, slots=True)
class Figure:
    """Medians over the rounds."""

    per_s: float
    cpu_us: float
    """CPU time of the server for a request (plain ONNX Runtime: for a row)."""
    p50_us: float
    p99_us: float
    batch: float
    """Mean rows of a run; 0 = it is not known."""
    failed: int

    @property
    def per_cpu_s(self) -> float:
        return 1e6 / self.cpu_us


@dataclass(slots=True)
class Samples:
    """What the rounds gave."""

    per_s: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    p50_us: list[float] = field(default_factory=list)
    p99_us: list[float] = field(default_factory=list)
    batch: list[float] = field(default_factory=list)
    failed: int = 0

    def figure(self) -> Figure:
        return Figure(
            median(self.per_s),
            median(self.cpu_us),
            median(self.p50_us),
            median(self.p99_us),
            median(self.batch) if self.batch else 0.0,
            self.failed,
        )


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of it all."""

    servers: Sequence[str]
    models: Sequence[str]
    wires: Sequence[str]
    in_flight: Sequence[int]
    short: bool
    """At one in flight the MLP over HTTP binary only, and no echoes of what the conv net is sent."""

    def cells(self) -> Iterator[Cell]:
        """In the order of a round; plain ONNX Runtime is not among them."""
        for model in self.models:
            for wire in self.wires:
                for in_flight in self.in_flight:
                    if self.short and in_flight == 1 and (model, wire) != ("mlp", "http binary"):
                        continue
                    yield from self._compared(model, wire, in_flight)

    def _compared(self, model: str, wire: str, in_flight: int) -> Iterator[Cell]:
        for server in self.servers:
            yield Cell(server, model, wire, in_flight)
            if model == "mlp":
                yield Cell(server, CONSTANT, wire, in_flight)
        if not (self.short and model == "convnet"):
            for echo in WIRES[wire]:
                yield Cell(echo, model, wire, in_flight)


def best_plain(figures: Figures, model: str) -> Figure | None:
    """Plain ONNX Runtime at the batch size that gives most rows a second."""
    known = [each for cell, each in figures.items() if (cell.target, cell.model) == (PLAIN, model)]
    return max(known, key=lambda each: each.per_s, default=None)
