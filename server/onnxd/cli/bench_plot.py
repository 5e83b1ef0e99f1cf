"""The drawing of `onnxd bench`, with matplotlib (the extra `plot`)."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from onnxd.cli.measured import QUANTILES, Measured
from onnxd.cli.mistake import Mistake

_FORMS: Final = (".png", ".svg", ".pdf")


def check_plot(path: Path) -> None:
    """Before anything is measured. Raises Mistake."""
    if path.suffix.lower() not in _FORMS:
        raise Mistake(f"--plot {path}: expected a file that ends in one of {', '.join(_FORMS)}")
    if find_spec("matplotlib") is None:
        raise Mistake("--plot needs matplotlib: pip install 'onnxd[plot]'")


def draw(path: Path, title: str, results: Sequence[Measured]) -> None:
    """Quantiles and requests a second over the levels. Raises Mistake."""
    # Not pyplot: it looks for a screen, and keeps figures of its own.
    from matplotlib.figure import Figure

    answered = [result for result in results if result.quantiles_s]
    figure = Figure(figsize=(9, 4), layout="constrained")
    figure.suptitle(title, parse_math=False)
    latency, throughput = figure.subplots(1, 2)
    at = [result.load for result in answered]
    names = (*(f"p{quantile * 100:g}" for quantile in QUANTILES), "max")
    for index, name in enumerate(names):
        latency.plot(at, [result.quantiles_s[index] * 1e3 for result in answered], marker="o", label=name)
    latency.set_ylabel("milliseconds")
    latency.set_yscale("log")
    throughput.bar(at, [result.requests_s for result in answered])
    throughput.set_ylabel("requests a second")
    for axes in (latency, throughput):
        axes.grid(visible=True, alpha=0.3)
    if answered:
        latency.legend()
    try:
        figure.savefig(path, dpi=120)
    except OSError as error:
        raise Mistake(f"{path} cannot be written: {error.strerror}") from error
