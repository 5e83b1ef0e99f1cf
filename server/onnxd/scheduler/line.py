"""A straight line through run times that a few of them cannot bend: weighted Theil-Sen, pure.

The slope is the weighted median of the slopes between all pairs of points, so that points of less than about
a quarter of the weight may be anything (Theil 1950, Sen 1968). Least squares would follow a single stall.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from operator import itemgetter
from typing import NamedTuple


class Point(NamedTuple):
    """How long runs of one size took."""

    rows: int
    seconds: float
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Line:
    """base_s + per_row_s * rows; neither is negative."""

    base_s: float
    per_row_s: float

    def at(self, rows: int) -> float:
        return self.base_s + self.per_row_s * rows


def robust_line(points: Sequence[Point]) -> Line:
    """Through at least one point. All of one size: a level line, since nothing is known of the slope."""
    slopes = [
        ((b.seconds - a.seconds) / (b.rows - a.rows), abs(b.rows - a.rows) * a.weight * b.weight)
        for a, b in combinations(points, 2)
        if a.rows != b.rows
    ]
    per_row_s = max(0.0, weighted_median(slopes)) if slopes else 0.0
    base_s = weighted_median((point.seconds - per_row_s * point.rows, point.weight) for point in points)
    if base_s >= 0:
        return Line(base_s, per_row_s)
    return Line(0.0, weighted_median((point.seconds / point.rows, point.weight) for point in points))


def weighted_median(values: Iterable[tuple[float, float]]) -> float:
    """Of (value, weight), at least one: the lowest that has half of the weight at or below it."""
    ordered = sorted(values, key=itemgetter(0))
    half = sum(weight for _, weight in ordered) / 2
    below = 0.0
    for value, weight in ordered:
        below += weight
        if below >= half:
            return value
    return ordered[-1][0]
