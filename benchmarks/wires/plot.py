"""The figures as bars: CPU time of a request, ours beside the bare front ends."""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.wires.cells import WIRES, Figures

_COLUMNS = 3


def plot(figures: Figures, servers: Sequence[str], file: Path) -> None:
    """A picture for each model and number in flight. Its kind follows the file's name (.svg, .png)."""
    matplotlib: Any = importlib.import_module("matplotlib")
    matplotlib.use("agg")
    pyplot: Any = importlib.import_module("matplotlib.pyplot")
    kinds = sorted({(c.model, c.in_flight) for c in figures if c.target in servers and c.model != "constant"})
    rows = -(-len(kinds) // _COLUMNS)
    drawing, axes = pyplot.subplots(
        rows, min(_COLUMNS, len(kinds)), squeeze=False, figsize=(15, 3.5 * rows), layout="constrained"
    )
    for (model, in_flight), axis in zip(kinds, axes.flat, strict=False):
        _draw(axis, figures, [*servers, "usual echo", "lean echo"], model, in_flight)
    for axis in axes.flat[len(kinds) :]:
        axis.set_axis_off()
    drawing.savefig(file)
    pyplot.close(drawing)


def _draw(axis: Any, figures: Figures, names: Sequence[str], model: str, in_flight: int) -> None:
    known = {
        (cell.target, cell.wire): each
        for cell, each in figures.items()
        if (cell.model, cell.in_flight) == (model, in_flight)
    }
    wires = [wire for wire in WIRES if any(wire == each for _, each in known)]
    width = 0.8 / len(names)
    for at, name in enumerate(names):
        found = [
            known.get((WIRES[wire][name == "lean echo"] if "echo" in name else name, wire)) for wire in wires
        ]
        heights = [each.cpu_us if each else 0.0 for each in found]
        axis.bar([place + at * width for place in range(len(wires))], heights, width, label=name)
    axis.set_xticks([place + 0.4 - width / 2 for place in range(len(wires))], wires)
    axis.set_title(f"{model}, {in_flight} in flight")
    axis.set_ylabel("CPU µs of a request")
    axis.legend()
