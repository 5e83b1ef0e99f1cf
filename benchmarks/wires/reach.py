"""What is to be reached, as ratios of figures of one run; and what must hold, or the run proves nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from benchmarks.wires.cells import CONSTANT, PLAIN, Cell, Figures, best_plain

PROTOCOL_OVER_AIOHTTP: Final = 5.0
HTTP2_OVER_GRPC: Final = 4.0
"""What the lean front ends do at least of the usual ones, in small requests, or the baselines are wrong."""


@dataclass(frozen=True, slots=True)
class Goal:
    """A ratio with its bound."""

    what: str
    measured: float
    bound: float
    at_least: bool = True
    """False: at most."""

    @property
    def reached(self) -> bool:
        return self.measured >= self.bound if self.at_least else self.measured <= self.bound


def goals(figures: Figures, server: str) -> Iterator[Goal]:
    """Those that were measured. Ratios are of requests per CPU second unless they say otherwise."""
    for wire, usual, lean, share in (
        ("http binary", "aiohttp_echo", "protocol_echo", 0.60),
        ("grpc", "grpc_echo", "http2_echo", 0.70),
    ):
        ours = Cell(server, "identity", wire, 64)
        for echo, bound in ((usual, 4.0), (lean, share)):
            beside = Cell(echo, "identity", wire, 64)
            if ratio := _rates(figures, ours, beside):
                yield Goal(f"identity, {wire}, 64 in flight, of {echo}", ratio, bound)
    for wire in ("http binary", "grpc"):
        replaced = Cell(server, CONSTANT, wire, 64)
        if ratio := _rates(figures, Cell(server, "mlp", wire, 64), replaced):
            yield Goal(f"MLP, {wire}, 64 in flight, of the same server with a constant", ratio, 0.85)
    plain = best_plain(figures, "convnet")
    for wire in ("http binary", "grpc"):
        conv = figures.get(Cell(server, "convnet", wire, 64))
        if conv and plain:
            what = f"conv net, {wire}, 64 in flight, of plain ONNX Runtime: requests/s"
            yield Goal(what, conv.per_s / plain.per_s, 0.97)
    one, bare, run = (
        figures.get(cell)
        for cell in (
            Cell(server, "mlp", "http binary", 1),
            Cell("protocol_echo", "mlp", "http binary", 1),
            Cell(PLAIN, "mlp", "", 1),
        )
    )
    if one and bare and run:
        ratio = one.p50_us / (bare.p50_us + run.p50_us)
        yield Goal("MLP, http binary, 1 in flight, of protocol_echo and session.run: p50", ratio, 1.5, False)


def relations(figures: Figures) -> Iterator[Goal]:
    """Those of the baselines."""
    for wire, lean, usual, bound in (
        ("http json", "protocol_echo", "aiohttp_echo", PROTOCOL_OVER_AIOHTTP),
        ("grpc", "http2_echo", "grpc_echo", HTTP2_OVER_GRPC),
    ):
        most = max((c.in_flight for c in figures if (c.target, c.wire) == (lean, wire)), default=0)
        pair = (Cell(name, "identity", wire, most) for name in (lean, usual))
        if most >= 8 and (ratio := _rates(figures, *pair)):
            yield Goal(f"{lean} of {usual}, identity, {most} in flight", ratio, bound)


def misses(figures: Figures) -> list[str]:
    """What makes the run worthless, as sentences: failed requests, and baselines that are not lean."""
    found = [f"{each.failed} requests failed: {cell}" for cell, each in figures.items() if each.failed]
    return found + [
        f"{each.what}: {each.measured:.2f}, expected {each.bound:g} or more: a slow baseline proves nothing"
        for each in relations(figures)
        if not each.reached
    ]


def _rates(figures: Figures, one: Cell, other: Cell) -> float:
    """Requests per CPU second of the one as a share of the other's; 0 = not measured."""
    if one not in figures or other not in figures:
        return 0.0
    return figures[other].cpu_us / figures[one].cpu_us
