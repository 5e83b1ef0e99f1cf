"""Histograms of whole numbers (nanoseconds, bytes, rows): bounds, and frozen counts that merge.

Who records into one keeps a plain list with a place for each bound and one for what lies beyond, so that
recording is `counts[bisect_left(bounds, value)] += 1` and nothing else.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, Self

_MS: Final = 1_000_000

DURATION_BOUNDS_NS: Final = tuple(
    _MS * hundredths // 100
    for hundredths in (
        10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000,
        10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    )
)  # fmt: skip
"""From 100 µs to 10 s: a small graph on an idle server, and a large one behind a full queue."""
BYTES_BOUNDS: Final = tuple(4**power for power in range(4, 15))
"""From 256 bytes to 256 MiB."""
ROWS_BOUNDS: Final = tuple(2**power for power in range(11))
"""From 1 to 1,024."""


@dataclass(frozen=True, slots=True)
class HistogramSnapshot:
    """How many values fell between which bounds."""

    bounds: tuple[int, ...]
    """Ascending; a value belongs to the first bound that is not below it."""
    counts: tuple[int, ...]
    """One for each bound, and one for what is above the last."""
    total: int = 0
    """All values together."""

    @classmethod
    def empty(cls, bounds: tuple[int, ...]) -> Self:
        return cls(bounds, (0,) * (len(bounds) + 1))

    @property
    def count(self) -> int:
        return sum(self.counts)

    def cumulative(self) -> Iterable[int]:
        """For each bound how many values are not above it; at last, the count."""
        return accumulate(self.counts)

    def merged(self, other: Self) -> Self:
        """What one histogram would hold that had recorded the values of both. They have the same bounds."""
        if self.bounds != other.bounds:
            raise ValueError(f"histograms of different bounds: {self.bounds} and {other.bounds}")
        counts = tuple(map(sum, zip(self.counts, other.counts, strict=True)))
        return type(self)(self.bounds, counts, self.total + other.total)
