"""Charts as PNG: a few forms that the scripts' figures are drawn in.

Without pyplot: nothing is global, and nothing needs a screen.
"""

import io
from collections.abc import Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import StrMethodFormatter

Floats = npt.NDArray[np.float64]

_DPI: Final = 120
_WIDTH: Final = 8.0
_STYLE: Final[dict[Any, Any]] = {
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.constrained_layout.use": True,
    "font.size": 9,
    "grid.alpha": 0.3,
    # A policy's name may hold a dollar sign, which would begin a formula.
    "text.parse_math": False,
}
_COLOURS: Final = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#999999", "#f0e442")
"""Okabe and Ito's, which people tell apart whatever colours they see."""


def colour(place: int) -> str:
    return _COLOURS[place % len(_COLOURS)]


@dataclass(frozen=True, slots=True)
class Interval:
    """A value and where it may lie; None = it is not known."""

    name: str
    value: float | None
    low: float
    high: float


@contextmanager
def _chart(rows: int, columns: int, *, height: float, title: str) -> Iterator[tuple[Figure, list[Axes]]]:
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, height))
        axes = figure.subplots(rows, columns, squeeze=False)
        figure.suptitle(title)
        yield figure, list(axes.flat)


def _png(figure: Figure) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=_DPI)
    return content.getvalue()


def draw_intervals(
    title: str, unit: str, values: Sequence[Interval], *, middle: float | None = None
) -> bytes:
    """A point with a bar for each; `middle` is a line to compare with."""
    with _chart(1, 1, height=1.4 + 0.35 * max(len(values), 1), title=title) as (figure, (axes,)):
        if middle is not None:
            axes.axvline(middle, color="black", linewidth=0.8, linestyle=":")
        for place, each in enumerate(values):
            if each.value is not None:
                axes.plot([each.low, each.high], [place, place], color=colour(place), linewidth=2)
                axes.plot([each.value], [place], "o", color=colour(place))
        axes.set_yticks(range(len(values)), [_short(each.name) for each in values])
        axes.set_ylim(len(values) - 0.5, -0.5)
        axes.set_xlabel(unit)
        return _png(figure)


def draw_shares(
    title: str, unit: str, panels: Mapping[str, tuple[Sequence[float], Floats]], names: Sequence[str]
) -> bytes:
    """Stacked areas that add up to 1: for each panel the places on the axis, and [places, names]."""
    rows, columns = _grid(len(panels), 2)
    with _chart(rows, columns, height=0.8 + 2.2 * rows, title=title) as (figure, axes):
        for place, (panel, (along, shares)) in zip(axes, panels.items(), strict=False):
            if len(along) == 1:
                place.bar([along[0]] * len(names), shares[0], bottom=np.cumsum(shares[0]) - shares[0],
                          color=[colour(number) for number in range(len(names))])  # fmt: skip
            else:
                place.stackplot(along, shares.T, colors=[colour(number) for number in range(len(names))])
            place.set(title=_short(panel), ylim=(0, 1), xlabel=unit)
            place.margins(x=0)
        _blank(axes[len(panels) :])
        handles = [Patch(color=colour(number)) for number in range(len(names))]
        figure.legend(handles, list(names), loc="outside lower center", ncols=min(len(names), 8), fontsize=8)
        return _png(figure)


def draw_grounds(title: str, panels: Mapping[str, Floats]) -> bytes:
    """Heat maps, each with a scale of its own: [rows, columns], the top row first."""
    rows, columns = _grid(len(panels), 2)
    with _chart(rows, columns, height=0.8 + 2.4 * rows, title=title) as (figure, axes):
        for place, (panel, ground) in zip(axes, panels.items(), strict=False):
            place.grid(visible=False)
            image = place.imshow(ground, cmap="viridis", vmin=0, vmax=float(ground.max()) or 1.0)
            place.set(title=_short(panel), xticks=[], yticks=[])
            figure.colorbar(image, ax=place, shrink=0.8)
        _blank(axes[len(panels) :])
        return _png(figure)


def draw_steps(
    title: str, unit: str, upright: str, lines: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *, logarithmic: bool = False,
) -> bytes:  # fmt: skip
    """A line for each name, which stays as it is until the next place."""
    with _chart(1, 1, height=4.0, title=title) as (figure, (axes,)):
        for number, (name, (along, values)) in enumerate(lines.items()):
            axes.step(along, values, where="post", color=colour(number), label=_short(name))
        if logarithmic:
            axes.set_xscale("log")
            # Its own form of numbers is a formula, which `text.parse_math` has switched off.
            axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.set(xlabel=unit, ylabel=upright)
        _explain(axes, lines)
        return _png(figure)


def draw_bars(
    title: str,
    unit: str,
    upright: str,
    groups: Mapping[str, Mapping[float, float]],
    width: float,
    *,
    centred: bool = False,
) -> bytes:
    """Bars side by side at each place, one for each group: from the place on, or around it."""
    with _chart(1, 1, height=4.0, title=title) as (figure, (axes,)):
        each = width * 0.9 / max(len(groups), 1)
        shift = -width * 0.45 if centred else 0.0
        for number, (name, values) in enumerate(groups.items()):
            along = [place + shift + each * (number + 0.5) for place in values]
            axes.bar(along, list(values.values()), each, color=colour(number), label=_short(name))
        axes.set(xlabel=unit, ylabel=upright)
        _explain(axes, groups)
        return _png(figure)


def _explain(axes: Axes, drawn: Sized) -> None:
    if len(drawn):
        axes.legend(fontsize=8)
    else:
        axes.text(0.5, 0.5, "nothing to show", transform=axes.transAxes, ha="center", color="gray")


def _grid(panels: int, most: int) -> tuple[int, int]:
    columns = min(max(panels, 1), most)
    return -(-max(panels, 1) // columns), columns


def _blank(axes: Sequence[Axes]) -> None:
    for each in axes:
        each.set_axis_off()


def _short(name: str, most: int = 40) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"
