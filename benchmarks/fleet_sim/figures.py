"""The tables that are curves, drawn: docs/images/scale-*.png."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.fleet_sim.results import Table


@dataclass(frozen=True, slots=True)
class Axes:
    """How a table's series are drawn."""

    x: str
    y: str
    scale: str = "linear"
    steps: bool = False


DRAWN: Final[Mapping[str, Axes]] = {
    "balancing": Axes("replicas", "p99, ms", "log"),
    "cost": Axes("replicas", "core hours for a million requests", "log"),
    "targets": Axes("seconds", "replicas", steps=True),
    "outgrown": Axes("seconds", "% of requests to the new half"),
}
_DPI: Final = 80


def draw(table: Table, directory: Path) -> None:
    """One picture, where there is something to draw."""
    axes = DRAWN.get(table.name)
    if axes is None:
        return
    matplotlib: Any = importlib.import_module("matplotlib")
    matplotlib.use("agg")
    pyplot: Any = importlib.import_module("matplotlib.pyplot")
    drawing, axis = pyplot.subplots(figsize=(8, 4), layout="constrained")
    for name, points in table.series.items():
        dashes = "--" if name.endswith("a proxy") else "-"
        where = {"drawstyle": "steps-post"} if axes.steps else {"marker": "."}
        axis.plot(*zip(*points, strict=True), dashes, label=name, **where)
    axis.set(xlabel=axes.x, ylabel=axes.y, title=table.title)
    axis.set_xscale(axes.scale)
    axis.set_ylim(bottom=0)
    axis.legend(fontsize=7)
    directory.mkdir(parents=True, exist_ok=True)
    drawing.savefig(directory / f"scale-{table.name}.png", dpi=_DPI)
    pyplot.close(drawing)
