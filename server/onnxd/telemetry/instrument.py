"""What one metric is."""

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from onnxd.telemetry.histogram import HistogramSnapshot

Source = TypeVar("Source")
Number = int | float
Reading = Number | Mapping[tuple[str, ...], Number] | HistogramSnapshot | None
"""One value; one for each combination of the instrument's labels; a histogram; or nothing to tell."""


class Kind(enum.Enum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Instrument(Generic[Source]):
    """One metric."""

    name: str
    kind: Kind
    unit: str
    help: str
    read: Callable[[Source], Reading]
    labels: tuple[str, ...] = ()
    """Besides VERSION_LABELS, which every instrument of a version has."""
    bounds: tuple[int, ...] = ()
    """Of a histogram, in what is recorded."""
    per_unit: int = 1
    """Of a histogram: how many of what is recorded are one `unit`."""
    exemplars: str = ""
    """Of a histogram: under which name its exemplars are kept; empty = it has none."""

    @property
    def triton(self) -> bool:
        """Whether name and meaning are Triton's."""
        return self.name.startswith("nv_")

    @property
    def buckets(self) -> tuple[float, ...]:
        """The upper bounds in the unit, without the infinite one."""
        return tuple(bound / self.per_unit for bound in self.bounds)
